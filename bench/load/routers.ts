// Warmpath itself as a contender, a process of its own for each core. A core that is asked for and
// does not run is a skipped contender, never another core under its name.

import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { repositoryRoot } from '#test/support/paths.js';
import type { Contender, ContenderKind, Field } from './contender.js';
import { processTree, startChild, stopChild, until, untilOutput } from './processes.js';
import { TOKENIZER_DIRECTORY } from './residents.js';

/** Until the router's JavaScript is compiled; its first seconds cost several times as much. */
const WARM_UP_MS = 4000;
const CORES = ['native', 'portable'] as const;

export interface RouterSettings {
  readonly policy: 'precise' | 'load-aware' | 'round-robin';
  /** Modules that are loaded before the router, in its process. */
  readonly imports?: readonly string[];
  /** Threads of the native data plane; as many as it takes itself when not given. */
  readonly threads?: number;
}

/** The native core with so many data-plane threads each: how it scales. */
export function threadedRouters(
  settings: RouterSettings,
  counts: readonly number[],
): readonly ContenderKind[] {
  return counts.map((threads) => {
    const name = `warmpath native ${settings.policy}, ${threads} threads`;
    return { name, start: (field) => startRouter(name, 'native', { ...settings, threads }, field) };
  });
}

/** One contender per core. */
export function warmpathRouters(settings: RouterSettings): readonly ContenderKind[] {
  return CORES.map((core) => {
    const name = `warmpath ${core} ${settings.policy}`;
    return { name, start: (field) => startRouter(name, core, settings, field) };
  });
}

async function startRouter(
  name: string,
  core: (typeof CORES)[number],
  { policy, imports = [], threads }: RouterSettings,
  { engines, model, folder, eventSockets, residentBlocks }: Field,
): Promise<Contender> {
  const own = threads === undefined ? [] : [`--config=${threadsFile(folder, threads)}`];
  const started = startChild(
    'contender',
    [
      process.execPath,
      ...imports.flatMap((file) => ['--import', file]),
      path.join(repositoryRoot, 'scripts/warmpath.js'),
      'serve',
      '--listen=127.0.0.1:0',
      '--admin=127.0.0.1:0',
      `--policy=${policy}`,
      ...own,
      // Decisions are logged one line each; no contender logs here.
      '--log-level=warn',
      `--tokenizer=${model}=${TOKENIZER_DIRECTORY}`,
      ...engines.ports.map((port, at) => {
        const sockets = eventSockets[at];
        const events = sockets && `,events=${sockets.events},replay=${sockets.replay}`;
        return `--endpoint=http://127.0.0.1:${port}${events ?? ''}`;
      }),
    ],
    { WARMPATH_CORE: core },
  );
  try {
    const line = await untilOutput(started, /ready on/);
    const [port = '', admin = ''] = [...line.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, own]) => own);
    const adminUrl = `http://127.0.0.1:${admin}`;
    const wanted = {
      core,
      healthy: engines.ports.length,
      trusted: policy === 'precise',
      blocks: policy === 'precise' ? residentBlocks : 0,
    };
    await until(started, async () => serves(await statusOf(adminUrl), wanted));
    return {
      name,
      port: Number(port),
      pids: processTree(started.child.pid ?? 0),
      adminUrl,
      warmUpMs: WARM_UP_MS,
      output: started.output,
      stop: () => stopChild(started),
    };
  } catch (error) {
    await stopChild(started);
    throw error;
  }
}

/** A configuration with so many data-plane threads; throws where the machine has fewer cores. */
function threadsFile(folder: string, threads: number): string {
  const cores = availableParallelism();
  if (threads > cores) throw new Error(`${threads} threads need as many cores; here are ${cores}`);
  const file = path.join(folder, `threads-${threads}.yaml`);
  writeFileSync(file, `dataPlane:\n  threads: ${threads}\n`);
  return file;
}

/** The parts of /status that matter here. */
interface Status {
  readonly core: { readonly name: string; readonly reason: string | null };
  readonly endpoints: readonly { readonly healthy: boolean }[];
  readonly models: readonly { readonly proof: string }[];
  readonly index: { readonly blocks: number };
}

async function statusOf(adminUrl: string): Promise<Status> {
  return (await (await fetch(`${adminUrl}/status`)).json()) as Status;
}

/** What a router must have before it is measured. */
interface Wanted {
  readonly core: string;
  readonly healthy: number;
  readonly trusted: boolean;
  readonly blocks: number;
}

function serves({ core, endpoints, models, index }: Status, wanted: Wanted): boolean {
  if (core.name !== wanted.core) {
    throw new Error(`the router runs on the ${core.name} core (${core.reason})`);
  }
  const healthy = endpoints.filter((endpoint) => endpoint.healthy).length;
  const trusted = models.every(({ proof }) => /^(proven|unverified)/.test(proof));
  return (
    healthy === wanted.healthy &&
    models.length > 0 &&
    (trusted || !wanted.trusted) &&
    index.blocks >= wanted.blocks
  );
}

/** Share of prompt tokens that the last `count` decisions predicted to be held, in percent. */
export async function predictedShare(adminUrl: string, count: number): Promise<string> {
  // Decisions are recorded a moment after their requests.
  await pause(100);
  const answer = await fetch(`${adminUrl}/debug/decisions?last=${Math.min(count, 500)}`);
  const { decisions } = (await answer.json()) as {
    readonly decisions: readonly {
      readonly decision: { readonly promptTokens: number; readonly predictedCachedTokens: number };
    }[];
  };
  let prompt = 0;
  let cached = 0;
  for (const { decision } of decisions) {
    prompt += decision.promptTokens;
    cached += decision.predictedCachedTokens;
  }
  return `${((100 * cached) / prompt).toFixed(0)} %`;
}
