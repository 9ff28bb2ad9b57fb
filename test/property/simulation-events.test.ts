// An independent consumer that counts copies predicts the engine model's own lookup exactly from
// nothing but its events, under random requests, aborts and resets in a cache that is too small.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Random } from '#contracts/random.js';
import { seededRandom } from '#contracts/random.js';
import type { EngineEvent } from '#simulation/engine-event.js';
import type { EngineModel } from '#simulation/engine-model.js';
import { BASE, smallModel } from '#test/support/engine-model.js';

const BLOCK = 4;
const SEEDS = 12;
const STEPS = 250;

/** Prefixes as text → copies. Knows engine hashes only as opaque names from events. */
class Consumer {
  readonly #prefixOf = new Map<string, string>();
  readonly #copies = new Map<string, number>();
  readonly #countsCopies: boolean;

  constructor(countsCopies: boolean) {
    this.#countsCopies = countsCopies;
  }

  apply(event: EngineEvent): void {
    if (event.type === 'AllBlocksCleared') {
      this.#copies.clear();
      return;
    }
    if (event.type === 'BlockRemoved') {
      const prefix = this.#prefixOf.get(event.hash.key) ?? '';
      this.#copies.set(prefix, Math.max(0, (this.#copies.get(prefix) ?? 0) - 1));
      return;
    }
    let prefix = event.parent === null ? '' : (this.#prefixOf.get(event.parent.key) ?? '?');
    for (const [block, hash] of event.hashes.entries()) {
      prefix += `${event.tokenIds.slice(block * BLOCK, (block + 1) * BLOCK).join(',')};`;
      this.#prefixOf.set(hash.key, prefix);
      const copies = this.#countsCopies ? (this.#copies.get(prefix) ?? 0) : 0;
      this.#copies.set(prefix, copies + 1);
    }
  }

  predict(tokenIds: readonly number[]): number {
    let prefix = '';
    let blocks = 0;
    while (blocks < Math.floor((tokenIds.length - 1) / BLOCK)) {
      prefix += `${tokenIds.slice(blocks * BLOCK, (blocks + 1) * BLOCK).join(',')};`;
      if ((this.#copies.get(prefix) ?? 0) === 0) break;
      blocks += 1;
    }
    return blocks * BLOCK;
  }
}

interface Tally {
  probes: number;
  wrong: number;
  /** Seed of the last wrong prediction, to repeat it. */
  wrongSeed: number;
  hits: number;
  removed: number;
  preemptions: number;
}

test('counting copies predicts every lookup', () => {
  const tally = runAll({ countsCopies: true, loses: () => false });
  assert.equal(tally.wrong, 0, JSON.stringify(tally));
  // The property says something only if there were hits, evictions and preemptions.
  assert.ok(
    tally.hits > 1000 && tally.removed > 1000 && tally.preemptions > 10,
    JSON.stringify(tally),
  );
});

test('control: a set instead of counts, or lost events, are found out', () => {
  assert.ok(runAll({ countsCopies: false, loses: () => false }).wrong > 0);
  assert.ok(runAll({ countsCopies: true, loses: (random) => random.next() < 0.01 }).wrong > 0);
});

function runAll(consumer: { countsCopies: boolean; loses: (random: Random) => boolean }): Tally {
  const tally = { probes: 0, wrong: 0, wrongSeed: 0, hits: 0, removed: 0, preemptions: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) runOne(seed, consumer, tally);
  return tally;
}

function runOne(
  seed: number,
  { countsCopies, loses }: { countsCopies: boolean; loses: (random: Random) => boolean },
  tally: Tally,
): void {
  const random = seededRandom(seed);
  const model = smallModel({ gpuBlocks: 25, batchedTokensMax: 24, runningMax: 5 });
  const consumer = new Consumer(countsCopies);
  for (let round = 0; round < STEPS; round++) {
    act(model, random, round);
    if (model.beginStep() === null) continue;
    for (const event of model.endStep().events) {
      if (event.type === 'BlockRemoved') tally.removed += 1;
      if (!loses(random)) consumer.apply(event);
    }
    for (let probe = 0; probe < 4; probe++) {
      const prompt = randomPrompt(random);
      const actual = model.lookup(prompt, BASE);
      tally.probes += 1;
      if (actual > 0) tally.hits += 1;
      if (consumer.predict(prompt) === actual) continue;
      tally.wrong += 1;
      tally.wrongSeed = seed;
    }
  }
  tally.preemptions += model.stats().preemptions;
}

/** Submits, aborts or resets; a reset only takes effect when nothing runs. */
function act(model: EngineModel, random: Random, round: number): void {
  const dice = random.next();
  if (dice < 0.6 && model.requests < 12) {
    const outputTokens = 1 + Math.floor(random.next() * 20);
    const promptTokenIds = randomPrompt(random);
    model.submit({ id: `r${round}`, promptTokenIds, outputTokens, identity: BASE });
  } else if (dice < 0.7) {
    model.abort(`r${Math.max(0, round - Math.floor(random.next() * 10))}`);
  } else if (dice < 0.75) {
    model.resetPrefixCache();
  }
}

/** Few families with many common prefixes, block-aligned ones often. */
function randomPrompt(random: Random): number[] {
  const family = Math.floor(random.next() * 4);
  const aligned = random.next() < 0.4;
  const length = 1 + Math.floor(random.next() * 40);
  const tokens = aligned ? Math.ceil(length / BLOCK) * BLOCK : length;
  const turn = Math.floor(random.next() * tokens * 2);
  return Array.from({ length: tokens }, (_, i) => (i < turn ? family : 7) * 100 + i);
}
