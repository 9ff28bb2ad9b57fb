// How long a start takes, everything built: from the spawn of the process to the ready line, to the
// first answer (asked for at that line), and to the first decision that matched its prompt, for which
// the tokenizer must be loaded and the engines' events applied. Nothing is pinned.

import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { repositoryRoot } from '#test/support/paths.js';
import { startProcess } from '#test/support/processes.js';
import { median, printMachine, printTable } from '../support/measure.js';
import { corpusBodies, startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { startResidents, TOKENIZER_DIRECTORY } from './residents.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const ENGINES = 2;
const CORES = ['native', 'portable'] as const;
/** Between requests until one is matched. */
const ASK_MS = 25;
const MATCHED_WITHIN_MS = 60_000;

/** Milliseconds since the spawn. */
interface Start {
  readonly ready: number;
  readonly answered: number;
  readonly matched: number;
}

printMachine();
const engines = await startEngines({ engines: ENGINES, model: MODEL });
const [body = ''] = corpusBodies(
  { model: MODEL, 'body-bytes': 4096, messages: 4, variety: 'seen', pool: 1 },
  1,
);
const residents = await startResidents(ENGINES, MODEL, [body]);
const { only, rounds } = loadOptions();
const rows: (readonly (string | number)[])[] = [];
for (const core of CORES) {
  if (only.length > 0 && !only.some((part) => core.includes(part))) continue;
  const starts: Start[] = [];
  try {
    // One more than asked for: the first reads files that the others find in memory.
    for (let round = 0; round <= rounds; round += 1) starts.push(await startOnce(core));
  } catch (error) {
    console.log(`  ${core} is skipped: ${error instanceof Error ? error.message : String(error)}`);
    continue;
  }
  const later = starts.slice(1);
  rows.push([
    core,
    median(later.map(({ ready }) => ready)),
    median(later.map(({ answered }) => answered)),
    median(later.map(({ matched }) => matched)),
    Math.max(...later.map(({ matched }) => matched)),
  ]);
}
residents.stop();
await engines.stop();
console.log(`\n${ENGINES} engines, ${rounds} starts of each core, ms since the spawn`);
printTable(['core', 'ready', 'first answer', 'first matched', 'latest matched'], rows);

async function startOnce(core: (typeof CORES)[number]): Promise<Start> {
  const spawned = performance.now();
  const since = (): number => performance.now() - spawned;
  const endpoints = engines.ports.map((port, at) => {
    const sockets = residents.eventSockets[at];
    return `--endpoint=http://127.0.0.1:${port},events=${sockets?.events},replay=${sockets?.replay}`;
  });
  const router = startProcess(
    process.execPath,
    [
      path.join(repositoryRoot, 'scripts/warmpath.js'),
      'serve',
      '--listen=127.0.0.1:0',
      '--admin=127.0.0.1:0',
      `--tokenizer=${MODEL}=${TOKENIZER_DIRECTORY}`,
      ...endpoints,
    ],
    { ...process.env, WARMPATH_CORE: core },
  );
  try {
    const line = await router.waitForLine(/ready on/);
    const ready = since();
    const url = /ready on (http:\S+),/.exec(line)?.[1] ?? '';
    await matchedTokens(url);
    const answered = since();
    while ((await matchedTokens(url)) === 0) {
      if (since() > MATCHED_WITHIN_MS) throw new Error('no prompt was matched');
      await pause(ASK_MS);
    }
    return { ready, answered, matched: since() };
  } finally {
    await router.end();
  }
}

/** Asks for one completion; the prompt tokens that its decision found in an engine's cache. */
async function matchedTokens(url: string): Promise<number> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`the first request was answered ${answer.status}`);
  return Number(/^\d+/.exec(answer.headers.get('x-warmpath-matched-tokens') ?? '')?.[0] ?? 0);
}
