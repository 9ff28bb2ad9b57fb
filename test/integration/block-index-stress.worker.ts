// One thread of the block-index stress: a writer that lets its chain grow and shrink in a known
// rhythm, or a reader that checks what it sees against the operations counted meanwhile.

import { parentPort, workerData } from 'node:worker_threads';
import type { TierNumber } from '#contracts/block.js';
import type { BlockIndexWriter } from '#contracts/block-index.js';
import { PREAMBLE, STATE } from '#contracts/index-layout.js';
import { seededRandom } from '#contracts/random.js';
import { openIndexReader as openNativeReader } from '#core/native/index/reader.js';
import { openIndexWriter as openNativeWriter } from '#core/native/index/writer.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { type Chain, matchAll, randomChain } from '#test/support/index-checks.js';
import { nativeAddon } from '#test/support/native-addon.js';
import { type Sabotage, stepAtomics } from '#test/support/stepped-atomics.js';

interface StressSizes {
  readonly writers: number;
  /** Blocks of the chain that all writers share. */
  readonly chainBlocks: number;
  /** Blocks only one writer touches, to move slots around. */
  readonly privateBlocks: number;
  /** Blocks that are always there, for the permanent endpoint. */
  readonly permanentBlocks: number;
}

export const STRESS: StressSizes = {
  writers: 3,
  chainBlocks: 60,
  privateBlocks: 100,
  permanentBlocks: 480,
};
/** Endpoint slot that always holds the chain; writers use the slots below. */
export const PERMANENT_SLOT: number = STRESS.writers;

/** Words: operations completed per writer, then: stop at once, writers still at work. */
export const STRESS_WORDS = { stop: 8, working: 9, count: 16 } as const;

export interface StressTask {
  readonly role: 'writer' | 'reader';
  readonly core: 'portable' | 'native';
  readonly index: SharedArrayBuffer;
  readonly words: SharedArrayBuffer;
  readonly seed: number;
  /** Which writer, and how many operations it makes. */
  readonly number: number;
  readonly operations: number;
  /** Of the portable core only: it replaces functions of `Atomics`. */
  readonly sabotage: Sabotage;
}

export interface StressReport {
  readonly role: 'writer' | 'reader';
  readonly checked: number;
  /** What was wrong, at most a few. */
  readonly errors: readonly string[];
}

export interface StressChains {
  readonly chain: Chain;
  readonly permanent: Chain;
  readonly never: Chain;
  readonly own: readonly Chain[];
}

/** The keys of a stress, the same on every thread. */
export function stressChains(seed: number): StressChains {
  const random = seededRandom(seed);
  return {
    chain: randomChain(random, STRESS.chainBlocks),
    permanent: randomChain(random, STRESS.permanentBlocks),
    never: randomChain(random, STRESS.chainBlocks),
    own: Array.from({ length: STRESS.writers }, () => randomChain(random, STRESS.privateBlocks)),
  };
}

/** Times a match is begun anew before it reports nothing (`reader.ts`, `reader.rs`). */
const MATCH_ATTEMPTS = 3;
/** Milliseconds a writer keeps trying; a table that leaks slots stays full. */
const FULL_ROUNDS_MAX = 3000;
const BLOCKS = STRESS.chainBlocks;
/** Grow, shrink, grow, then drop the whole generation. */
const PERIOD = 3 * BLOCKS + 1;

/** Blocks of the chain a writer holds after `operations` operations. */
function lengthAfter(operations: number): number {
  const phase = operations % PERIOD;
  if (phase <= BLOCKS) return phase;
  return phase <= 2 * BLOCKS ? 2 * BLOCKS - phase : phase - 2 * BLOCKS;
}

function write(task: StressTask): StressReport {
  const words = new Int32Array(task.words);
  if (task.sabotage !== 'none') {
    // Long enough for another thread to come in between.
    let steps = 0;
    stepAtomics(task.index, { loads: false, sabotage: task.sabotage }, () => {
      if (++steps % 64 === 0) Atomics.wait(pause, 0, 0, 1);
    });
  }
  const writer =
    task.core === 'native'
      ? openNativeWriter(nativeAddon(), task.index, task.number)
      : openIndexWriter(task.index, task.number);
  const errors: string[] = [];
  const run = new StressWriter(task, writer, errors);
  let done = 0;
  while (done < task.operations && Atomics.load(words, STRESS_WORDS.stop) === 0) {
    run.operation(done);
    done++;
    Atomics.store(words, task.number, done);
    if (errors.length > 0) Atomics.store(words, STRESS_WORDS.stop, 1);
  }
  // Told before anything is removed: from here on the count says nothing about the length.
  Atomics.sub(words, STRESS_WORDS.working, 1);
  run.removeAll(lengthAfter(done));
  return { role: 'writer', checked: done, errors };
}

/** Nobody wakes who waits here. */
const pause = new Int32Array(new SharedArrayBuffer(4));

class StressWriter {
  readonly #writer: BlockIndexWriter;
  readonly #errors: string[];
  readonly #tier: TierNumber;
  readonly #slot: number;
  readonly #chains: StressChains;
  readonly #random: ReturnType<typeof seededRandom>;
  readonly #owned: Set<number> = new Set();
  #virtualId: number;

  constructor(task: StressTask, writer: BlockIndexWriter, errors: string[]) {
    this.#writer = writer;
    this.#errors = errors;
    this.#slot = task.number;
    this.#tier = task.number as TierNumber;
    this.#chains = stressChains(task.seed);
    this.#random = seededRandom(task.seed + task.number + 1);
    this.#virtualId = writer.openEndpoint(this.#slot);
  }

  /** The next change of the chain, and one of a private block. */
  operation(done: number): void {
    const length = lengthAfter(done);
    const next = lengthAfter(done + 1);
    if (next > length) this.#change('add', length);
    else if (length - next === 1 && done % PERIOD !== PERIOD - 1) this.#change('remove', next);
    else this.#renew();
    this.#togglePrivate(Math.floor(this.#random.next() * STRESS.privateBlocks));
    if (done % 32 === 0) this.#writer.sweep(100);
  }

  removeAll(length: number): void {
    for (const block of [...this.#owned]) this.#togglePrivate(block);
    for (let block = length - 1; block >= 0; block--) this.#change('remove', block);
    this.#writer.dropEndpoint(this.#virtualId);
  }

  #renew(): void {
    // Left to the sweep, private blocks would each have a history of generations of their own.
    for (const block of [...this.#owned]) this.#togglePrivate(block);
    this.#writer.dropEndpoint(this.#virtualId);
    do {
      this.#writer.sweep(100);
      this.#virtualId = this.#writer.openEndpoint(this.#slot);
    } while (this.#virtualId < 0);
  }

  #change(operation: 'add' | 'remove', block: number): void {
    const key = this.#chains.chain.keys[block] ?? { low: 0, high: 0 };
    this.#expectDone(operation, block, key.low, key.high);
  }

  #togglePrivate(block: number): void {
    const key = this.#chains.own[this.#slot]?.keys[block] ?? { low: 0, high: 0 };
    const operation = this.#owned.delete(block) ? 'remove' : 'add';
    if (operation === 'add') this.#owned.add(block);
    this.#expectDone(operation, 1000 + block, key.low, key.high);
  }

  #expectDone(operation: 'add' | 'remove', block: number, low: number, high: number): void {
    const status = this.#writeUnlessFull(operation, low, high);
    if (status === 'done' || this.#errors.length > 5) return;
    this.#errors.push(`writer ${this.#slot}: ${operation} of block ${block} was ${status}`);
  }

  /** While the thread that sweeps waits for a core, the others may use up all set ids. */
  #writeUnlessFull(operation: 'add' | 'remove', low: number, high: number): string {
    for (let round = 0; round < FULL_ROUNDS_MAX; round++) {
      const status = this.#writer[operation](this.#virtualId, this.#tier, 0, low, high);
      if (status !== 'full') return status;
      this.#writer.sweep(1000);
      Atomics.wait(pause, 0, 0, 1);
    }
    return 'full';
  }
}

function read(task: StressTask): StressReport {
  const words = new Int32Array(task.words);
  const reader =
    task.core === 'native'
      ? openNativeReader(nativeAddon(), task.index)
      : openIndexReader(task.index);
  const { chain, never, own } = stressChains(task.seed);
  const errors: string[] = [];
  const expect = (fine: boolean, text: () => string): void => {
    if (fine) return;
    Atomics.store(words, STRESS_WORDS.stop, 1);
    if (errors.length < 5) errors.push(`reader: ${text()}`);
  };
  const counts = (): number[] =>
    Array.from({ length: STRESS.writers }, (_, writer) => Atomics.load(words, writer));
  const indexWords = new Int32Array(task.index);
  const generationAt = (indexWords[PREAMBLE.state] ?? 0) + STATE.setsGeneration;
  let checked = 0;
  for (; ; checked++) {
    const before = counts();
    const generation = Atomics.load(indexWords, generationAt);
    const matches = matchAll(reader, chain, PERMANENT_SLOT + 1);
    const generations = Atomics.load(indexWords, generationAt) - generation;
    const after = counts();
    if (Atomics.load(words, STRESS_WORDS.working) < STRESS.writers) break;
    // A reader that was held up in every attempt while sets were freed reports nothing, as it may.
    if (generations >= MATCH_ATTEMPTS && matches.every(({ raw }) => raw === 0)) continue;
    for (const [slot, { usable, raw, tiers }] of matches.entries()) {
      const [least, most] =
        slot === PERMANENT_SLOT ? [BLOCKS, BLOCKS] : bounds(before[slot] ?? 0, after[slot] ?? 0);
      expect(raw >= least && raw <= most, () => `slot ${slot} ${raw}, not ${least} to ${most}`);
      const tier = slot === PERMANENT_SLOT ? 3 : slot;
      expect(usable === raw && tiers[tier] === raw, () => `slot ${slot}: tiers ${tiers} of ${raw}`);
    }
    for (const match of matchAll(reader, never, PERMANENT_SLOT + 1)) {
      expect(match.raw === 0, () => 'a block never added is claimed');
    }
    const owner = checked % STRESS.writers;
    const mine = own[owner] ?? never;
    for (const [slot, match] of matchAll(reader, mine, PERMANENT_SLOT + 1).entries()) {
      expect(slot === owner || match.raw === 0, () => `slot ${slot} claims blocks of ${owner}`);
    }
  }
  return { role: 'reader', checked, errors };
}

/** Least and most blocks a writer can have held from `before` completed operations to `after`. */
function bounds(before: number, after: number): readonly [number, number] {
  // The operation after the last completed one may be under way.
  let least = BLOCKS;
  let most = 0;
  for (let done = before; done <= Math.min(after + 1, before + PERIOD); done++) {
    least = Math.min(least, lengthAfter(done));
    most = Math.max(most, lengthAfter(done));
  }
  return [least, most];
}

if (parentPort !== null) {
  const task = workerData as StressTask;
  parentPort.postMessage(task.role === 'writer' ? write(task) : read(task));
}
