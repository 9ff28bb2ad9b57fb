// Other routers for LLM engines, from the package registry: installed on request into a cache
// folder of their own, skipped with a sentence where they are missing.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { freePort } from '#test/support/free-port.js';
import type { Contender, ContenderKind, Field } from './contender.js';
import { answers } from './plain-proxies.js';
import { processTree, startChild, stopChild, until } from './processes.js';

/** Versions that figures are quoted for. */
const PACKAGES = ['sglang-router==0.3.2', 'vllm-router==0.1.17'] as const;
const WARM_UP_MS = 1000;

/** Where peers live: `WARMPATH_BENCH_PEERS`, else the user's cache folder. */
function peersFolder(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  return process.env['WARMPATH_BENCH_PEERS'] ?? path.join(cache, 'warmpath-bench/peers');
}

/** Makes a virtual environment with all peers; says so when it cannot. */
export function installPeers(): void {
  const folder = peersFolder();
  if (programs(folder).every(existsSync)) return;
  console.log(`installing ${PACKAGES.join(' and ')} into ${folder} …`);
  mkdirSync(folder, { recursive: true });
  const made = spawnSync('python3', ['-m', 'venv', folder], { stdio: ['ignore', 2, 2] });
  const pip = path.join(folder, 'bin/pip');
  const installed =
    made.status === 0 &&
    spawnSync(pip, ['install', '--quiet', ...PACKAGES], { stdio: ['ignore', 2, 2] }).status === 0;
  if (!installed) console.log('the peers could not be installed');
}

function programs(folder: string): readonly string[] {
  return ['sglang-router', 'vllm-router'].map((name) => path.join(folder, 'bin', name));
}

/** SGLang's router with one of its policies. */
export function sglangRouter(policy: 'random' | 'cache_aware'): ContenderKind {
  const name = `sglang ${policy}`;
  return { name, start: (field) => startPeer(name, 'sglang-router', ['launch'], policy, field) };
}

/** vLLM's router with one of its policies; kv_aware follows the engines' events. */
export function vllmRouter(policy: 'round_robin' | 'cache_aware' | 'kv_aware'): ContenderKind {
  const name = `vllm ${policy}`;
  return { name, start: (field) => startPeer(name, 'vllm-router', [], policy, field) };
}

function eventFlags({ engines, model, eventSockets }: Field): readonly string[] {
  return [
    ...['--kv-event-model', model],
    ...engines.ports.flatMap((port, at) => {
      const url = `http://127.0.0.1:${port}`;
      const { events = '', replay = '' } = eventSockets[at] ?? {};
      return [
        '--kv-event-source',
        `${url}=${events}`,
        '--kv-event-replay-source',
        `${url}=${replay}`,
      ];
    }),
  ];
}

async function startPeer(
  name: string,
  program: string,
  command: readonly string[],
  policy: string,
  field: Field,
): Promise<Contender> {
  const file = path.join(peersFolder(), 'bin', program);
  if (!existsSync(file)) {
    throw new Error(`${program} is not installed (--install-peers does it)`);
  }
  const port = await freePort();
  const started = startChild('contender', [
    file,
    ...command,
    ...['--host', '127.0.0.1', '--port', String(port)],
    ...['--prometheus-port', String(await freePort()), '--log-level', 'error'],
    ...(policy === 'kv_aware' ? eventFlags(field) : []),
    ...['--policy', policy, '--worker-urls'],
    ...field.engines.ports.map((engine) => `http://127.0.0.1:${engine}`),
  ]);
  await until(started, () => answers(port));
  return {
    name,
    port,
    pids: processTree(started.child.pid ?? 0),
    adminUrl: null,
    warmUpMs: WARM_UP_MS,
    output: started.output,
    stop: () => stopChild(started),
  };
}
