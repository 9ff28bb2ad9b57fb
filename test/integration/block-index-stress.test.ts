// Several writer threads and readers on one small, full block index: no wrong answer, and nothing
// left over when all has been removed, whichever cores the threads run on. The same checks fail when
// one writer breaks the protocol.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { LOAD_FACTOR } from '#contracts/index-layout.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import {
  PERMANENT_SLOT,
  STRESS,
  STRESS_WORDS,
  type StressReport,
  type StressTask,
  stressChains,
} from '#test/integration/block-index-stress.worker.js';
import {
  addChain,
  NO_RESIDUE,
  removeChain,
  residue,
  sweepAll,
} from '#test/support/index-checks.js';
import { nativeSkip } from '#test/support/native-addon.js';
import type { Sabotage } from '#test/support/stepped-atomics.js';

/** Operations per writer; raise it to stress longer. */
const OPERATIONS = 60_000;
/** A broken writer is found long before. */
const SABOTAGED_OPERATIONS = 400_000;
type Core = StressTask['core'];

/** Which core each thread runs on. */
interface Cores {
  readonly writers: readonly [Core, Core, Core];
  readonly readers: readonly Core[];
}

const PORTABLE: Cores = { writers: ['portable', 'portable', 'portable'], readers: ['portable'] };
const NATIVE: Cores = { writers: ['native', 'native', 'native'], readers: ['native'] };
const MIXED: Cores = {
  writers: ['portable', 'native', 'native'],
  readers: ['portable', 'native'],
};

async function stress(cores: Cores, seed: number, operations: number, sabotage: Sabotage) {
  // 840 keys for 861 slots, about 690 in use: full buckets and long paths.
  const blockCapacity = Math.floor(861 * LOAD_FACTOR);
  const index = createBlockIndex({ blockCapacity, endpointCapacity: 64 });
  const words = new SharedArrayBuffer(STRESS_WORDS.count * 4);
  new Int32Array(words)[STRESS_WORDS.working] = STRESS.writers;
  const { chain, permanent } = stressChains(seed);
  const main = openIndexWriter(index, 60);
  const endpoint = main.openEndpoint(PERMANENT_SLOT);
  addChain(main, endpoint, chain, 3);
  addChain(main, endpoint, permanent, 3);

  const start = async (task: Pick<StressTask, 'role' | 'core' | 'number' | 'sabotage'>) => {
    const workerData: StressTask = { ...task, index, words, seed, operations };
    const file = new URL('./block-index-stress.worker.js', import.meta.url);
    const [report] = (await once(new Worker(file, { workerData }), 'message')) as [StressReport];
    return report;
  };
  const reports = await Promise.all([
    ...cores.writers.map((core, number) =>
      start({ role: 'writer', core, number, sabotage: number === 0 ? sabotage : 'none' }),
    ),
    ...cores.readers.map((core) => start({ role: 'reader', core, number: 0, sabotage: 'none' })),
  ]);
  const errors = reports.flatMap((report) => report.errors);
  if (errors.length > 0) {
    const { blocks, sets } = openIndexOwner(index).stats();
    errors.push(`${blocks} blocks, ${sets} sets, left ${JSON.stringify(residue(index))}`);
    return { errors, reports };
  }

  for (const part of [chain, permanent]) removeChain(main, endpoint, part, 3);
  main.dropEndpoint(endpoint);
  sweepAll(main);
  const left = residue(index);
  if (JSON.stringify(left) !== JSON.stringify(NO_RESIDUE))
    errors.push(`left ${JSON.stringify(left)}`);
  const { blocks } = openIndexOwner(index).stats();
  if (blocks !== 0) errors.push(`${blocks} blocks counted`);
  return { errors, reports };
}

const seed = Math.floor(Math.random() * 2 ** 31);

for (const [name, cores, skip] of [
  ['portable', PORTABLE, false],
  ['native', NATIVE, nativeSkip],
  ['both cores', MIXED, nativeSkip],
] as const) {
  test(`${name}: writers and readers at once, no wrong answer, nothing left (seed ${seed})`, {
    skip,
  }, async (context) => {
    const { errors, reports } = await stress(cores, seed, OPERATIONS, 'none');
    assert.deepEqual(errors, []);
    for (const { role, checked } of reports) {
      assert.ok(checked > 0);
      context.diagnostic(`${role}: ${checked} checked`);
    }
  });
}

for (const [name, cores, skip] of [
  ['portable', PORTABLE, false],
  ['both cores', MIXED, nativeSkip],
] as const) {
  test(`${name}: a writer that frees slots in the wrong order is found out (seed ${seed})`, {
    skip,
  }, async (context) => {
    const { errors } = await stress(cores, seed, SABOTAGED_OPERATIONS, 'delete-set-first');
    assert.notDeepEqual(errors, []);
    context.diagnostic(errors[0] ?? '');
  });
}
