// `warmpath engine-sim`: simulated vLLM engines on this machine, for trying the router and for
// tests without a GPU. Reads flags, starts the fleet, prints where it is, ends on SIGINT or SIGTERM
// with every socket closed.

import type { EngineServer } from '#simulation/engine-server.js';
import { parseFaults } from '#simulation/faults.js';
import { type EngineSimFleet, startEngineSims } from '#simulation/fleet.js';
import {
  SettingsError,
  type EngineSimOptions as SimulationOptions,
} from '#simulation/sim-options.js';
import { processClock } from '#workers/process-clock.js';

/** Flags as commander gives them: text as typed, absent when not given. */
export interface EngineSimOptions {
  readonly replicas?: string;
  readonly host?: string;
  readonly port?: string;
  readonly model?: string;
  /** Repeatable `--lora NAME`. */
  readonly lora?: readonly string[];
  /** Repeatable `--resolvable-lora NAME`. */
  readonly resolvableLora?: readonly string[];
  readonly maxLoras?: string;
  readonly tokenizer?: string;
  readonly blockSize?: string;
  readonly gpuBlocks?: string;
  readonly maxModelLen?: string;
  readonly maxNumSeqs?: string;
  readonly maxNumBatchedTokens?: string;
  readonly dataParallelSize?: string;
  readonly encoding?: string;
  readonly hashes?: string;
  readonly hashSeed?: string;
  readonly eventPort?: string;
  readonly replayPort?: string;
  readonly eventConnect?: string;
  readonly timeScale?: string;
  readonly seed?: string;
  readonly apiKey?: string;
  /** JSON as for `POST /admin/faults`. */
  readonly faults?: string;
}

/** A flag that cannot be used; the message is for the user. */
class FlagError extends Error {}

/**
 * Runs the engines until a signal. Returns the exit code: 0 after a signal, 1 when they cannot
 * start, 2 for bad flags.
 */
export async function engineSim(
  options: EngineSimOptions,
  output: (line: string) => void,
): Promise<number> {
  let simulation: SimulationOptions;
  try {
    simulation = simulationOptions(options);
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    output(`engine-sim: ${error.message}`);
    return 2;
  }
  let fleet: EngineSimFleet;
  try {
    fleet = await startEngineSims(simulation);
  } catch (error) {
    output(`engine-sim: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof SettingsError ? 2 : 1;
  }
  for (const line of fleet.engines.flatMap(describe)) output(line);
  const signal = await nextSignal();
  output(`engine-sim: ${signal}, closing`);
  await fleet.stop();
  return 0;
}

function describe(engine: EngineServer): readonly string[] {
  const events = engine.eventAddresses.map(
    ({ address, replayAddress }, rank) =>
      `  rank ${rank}  events ${address}  replay ${replayAddress}`,
  );
  return [`${engine.url}  model ${engine.modelId}`, ...events];
}

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => resolve(signal));
    }
  });
}

/** Flags → options; only what was given, so that every default lives in one place. */
function simulationOptions(flags: EngineSimOptions): SimulationOptions {
  const given = {
    replicas: numberFlag('--replicas', flags.replicas),
    host: flags.host,
    port: numberFlag('--port', flags.port),
    modelId: flags.model,
    loras: flags.lora,
    resolvableLoras: flags.resolvableLora,
    lorasMax: numberFlag('--max-loras', flags.maxLoras),
    tokenizerDirectory: flags.tokenizer,
    blockSize: numberFlag('--block-size', flags.blockSize),
    gpuBlocks: numberFlag('--gpu-blocks', flags.gpuBlocks),
    maxModelLen: numberFlag('--max-model-len', flags.maxModelLen),
    runningMax: numberFlag('--max-num-seqs', flags.maxNumSeqs),
    batchedTokensMax: numberFlag('--max-num-batched-tokens', flags.maxNumBatchedTokens),
    dataParallelRanks: numberFlag('--data-parallel-size', flags.dataParallelSize),
    encoding: choiceFlag('--encoding', flags.encoding, ['map', 'array'] as const),
    hashForm: choiceFlag('--hashes', flags.hashes, ['integer', 'bytes'] as const),
    hashSeed: flags.hashSeed,
    eventPort: numberFlag('--event-port', flags.eventPort),
    replayPort: numberFlag('--replay-port', flags.replayPort),
    eventConnect: flags.eventConnect,
    timeScale: numberFlag('--time-scale', flags.timeScale),
    seed: numberFlag('--seed', flags.seed),
    apiKey: flags.apiKey,
    faults: faultsFlag(flags.faults),
  };
  const present = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  );
  return { clock: processClock, unixTimeMs: () => Date.now(), ...present };
}

function numberFlag(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new FlagError(`${name} must be a number, not ${JSON.stringify(text)}`);
  }
  return value;
}

function choiceFlag<Choice extends string>(
  name: string,
  text: string | undefined,
  choices: readonly Choice[],
): Choice | undefined {
  if (text === undefined) return undefined;
  const choice = choices.find((known) => known === text);
  if (choice === undefined) throw new FlagError(`${name} must be ${choices.join(' or ')}`);
  return choice;
}

function faultsFlag(text: string | undefined): SimulationOptions['faults'] {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FlagError(`--faults is not JSON: ${String(error)}`);
  }
  const faults = parseFaults(value);
  if (typeof faults === 'string') throw new FlagError(`--faults: ${faults}`);
  return faults;
}
