// The protocol of the block index, one atomic write at a time: a writer stopped at every step is
// looked at by readers and worked around by other writers, and one ended at every step is
// recovered from, on either core: the stopped writer is portable, because only its steps can be
// stopped at; those who look and work around it are of both. Deliberately broken writers and readers show that these checks can fail.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { BlockIndexReader, BlockIndexWriter } from '#contracts/block-index.js';
import type { BlockIndexOwner } from '#contracts/core.js';
import { BUCKET_SLOTS, LOAD_FACTOR, PREAMBLE, STATE } from '#contracts/index-layout.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexOwner as openNativeOwner } from '#core/native/index/owner.js';
import { openIndexReader as openNativeReader } from '#core/native/index/reader.js';
import { openIndexWriter as openNativeWriter } from '#core/native/index/writer.js';
import { homeOf } from '#core/portable/index/buckets.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import type { Command } from '#test/integration/block-index-steps.worker.js';
import {
  addChain,
  chainOf,
  NO_RESIDUE,
  removeChain,
  residue,
  sweepAll,
  usableOf,
} from '#test/support/index-checks.js';
import type { ModelKey } from '#test/support/model-index.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { type Sabotage, SUBJECT_TAG } from '#test/support/stepped-atomics.js';
import { SteppedWorker } from '#test/support/stepped-worker.js';

const BUCKETS = 16;
const HOME = 10;
/** Endpoint slots: whose residencies must never change, and the stepped thread's own. */
const BYSTANDER = 0;
const STEPPED = 1;
/** More writes than any one operation here makes. */
const STEPS_MAX = 400;
const LOCK_ROUNDS = 2;

/** Keys homed at a bucket, told apart by `number`. */
function keyAt(home: number, number: number): ModelKey {
  const low = (Math.ceil((home * 2 ** 28) / BUCKETS) << 4) >>> 0;
  assert.equal(homeOf(low, BUCKETS), home);
  return { low, high: SUBJECT_TAG + number };
}

const SUBJECT = keyAt(HOME, 0);
const fillers = (home: number, count: number): readonly ModelKey[] =>
  Array.from({ length: count }, (_, i) => keyAt(home, 100 + i));

interface Scenario {
  readonly name: string;
  /** Keys the bystander holds throughout. */
  readonly held: readonly ModelKey[];
  /** Run before the stepped command, which is the last one. */
  readonly commands: readonly Command[];
  /** Whether the subject is there, for the stepped endpoint, before and after. */
  readonly before: boolean;
  readonly after: boolean;
  /** Steps from one ended thread to the next; starting a thread is slow. */
  readonly stride: number;
}

const open: Command = { kind: 'open', slot: STEPPED };
const add: Command = { kind: 'add', key: SUBJECT, tier: 0 };
const remove: Command = { kind: 'remove', key: SUBJECT, tier: 0 };
const twoFull = [...fillers(HOME, BUCKET_SLOTS), ...fillers(HOME + 1, BUCKET_SLOTS)];
const allFull = Array.from({ length: BUCKETS }, (_, i) => fillers(i, BUCKET_SLOTS)).flat();

const drop: Command = { kind: 'drop' };
const sweep: Command = { kind: 'sweep', bucketCount: BUCKETS };

const scenarios: readonly Scenario[] = [
  scenario('add past full buckets', twoFull, [open, add], { before: false, after: true }),
  scenario('add to a full table', allFull, [open, add], { before: false, after: false, stride: 7 }),
  scenario('add to a block', [SUBJECT], [open, add], { before: false, after: true }),
  scenario('remove of two', [SUBJECT], [open, add, remove], {
    before: true,
    after: false,
    stride: 2,
  }),
  scenario('remove', twoFull, [open, add, remove], { before: true, after: false }),
  scenario('open', [], [open], { before: false, after: false }),
  scenario('drop', [], [open, add, drop], { before: true, after: false }),
  scenario('sweep', twoFull, [open, add, drop, sweep], { before: false, after: false, stride: 4 }),
];

function scenario(
  name: string,
  held: readonly ModelKey[],
  commands: readonly Command[],
  rest: { readonly before: boolean; readonly after: boolean; readonly stride?: number },
): Scenario {
  return { name, held, commands, stride: 1, ...rest };
}

/** How one core looks at an index. */
interface Observer {
  readonly name: string;
  readonly skip: string | false;
  readonly writer: (index: SharedArrayBuffer, writerId: number) => BlockIndexWriter;
  readonly reader: (index: SharedArrayBuffer) => BlockIndexReader;
  readonly owner: (index: SharedArrayBuffer) => BlockIndexOwner;
}

const PORTABLE: Observer = {
  name: 'portable',
  skip: false,
  writer: (index, writerId) => openIndexWriter(index, writerId, LOCK_ROUNDS),
  reader: openIndexReader,
  owner: openIndexOwner,
};
const NATIVE: Observer = {
  name: 'native',
  skip: nativeSkip,
  writer: (index, writerId) => openNativeWriter(nativeAddon(), index, writerId, LOCK_ROUNDS),
  reader: (index) => openNativeReader(nativeAddon(), index),
  owner: (index) => openNativeOwner(nativeAddon(), index),
};

/** An index of BUCKETS buckets with the scenario's bystander in it. */
function prepare(scenario: Pick<Scenario, 'held'>, observer: Observer = PORTABLE) {
  const index = createBlockIndex({
    blockCapacity: Math.floor(BUCKETS * BUCKET_SLOTS * LOAD_FACTOR),
    endpointCapacity: 64,
  });
  assert.equal(new Int32Array(index)[PREAMBLE.bucketCount], BUCKETS);
  const writer = observer.writer(index, 0);
  const bystander = writer.openEndpoint(BYSTANDER);
  const held = chainOf(scenario.held);
  addChain(writer, bystander, held, 1);
  const reader = observer.reader(index);
  const owner = observer.owner(index);
  return { index, writer, bystander, held, reader, owner };
}

/** Neighbour keys whose buckets overlap the subject's path, on this thread's own endpoint. */
const NEIGHBOURS = [keyAt(HOME - 1, 1), keyAt(HOME + 2, 1)] as const;

const observed = [PORTABLE, NATIVE].flatMap((observer) =>
  scenarios.map((scenario) => ({ observer, ...scenario })),
);
for (const { observer, name, held: heldKeys, commands, before, after, stride } of observed) {
  test(`${name}: stopped at each step, others (${observer.name}) see before or after and work on`, {
    skip: observer.skip,
  }, async () => {
    const { index, writer, bystander, held, reader } = prepare({ held: heldKeys }, observer);
    const worker = new SteppedWorker(index);
    const present = (): number => usableOf(reader, chainOf([SUBJECT]), STEPPED);
    let step = 1;
    for (; await worker.run(commands, step); step++) {
      assert.ok(step < STEPS_MAX, 'the operation ends');
      const seen = present();
      assert.ok(seen === Number(before) || seen === Number(after));
      assert.equal(usableOf(reader, held, BYSTANDER), heldKeys.length);
      workAround(index, writer, bystander, reader);
      await worker.resume();
      assert.equal(present(), Number(after));
      assert.equal(usableOf(reader, held, BYSTANDER), heldKeys.length);
      writer.dropSlot(STEPPED);
      sweepAll(writer);
    }
    assert.ok(step > 2, 'the operation was stopped at some step');
    await worker.end();
    writer.dropSlot(STEPPED);
    removeChain(writer, bystander, held, 1);
    sweepAll(writer);
    assert.deepEqual(residue(index), NO_RESIDUE);
  });

  test(`${name}: ended at each step, the index is recovered (${observer.name})`, {
    skip: observer.skip,
  }, async () => {
    let stopped = true;
    for (let step = 1; stopped; step += stride) {
      assert.ok(step < STEPS_MAX, 'the operation ends');
      const { index, writer, bystander, held, reader, owner } = prepare(
        { held: heldKeys },
        observer,
      );
      const worker = new SteppedWorker(index);
      stopped = await worker.run(commands, step);
      await worker.end();
      if (!stopped) break;
      const locked = residue(index).locks > 0;
      const status = writer.add(bystander, 2, 0, SUBJECT.low, SUBJECT.high);
      if (locked && name !== 'sweep') assert.equal(status, 'stuck');
      if (status === 'stuck') {
        assert.equal(usableOf(reader, held, BYSTANDER), 0, 'readers report no match');
        assert.equal(writer.add(bystander, 2, 0, SUBJECT.low, SUBJECT.high), 'stuck');
      }
      const { epoch } = owner.stats();
      owner.suspend();
      assert.equal(usableOf(reader, chainOf([SUBJECT]), BYSTANDER), 0);
      owner.recover();
      assert.ok(owner.stats().epoch > epoch);
      assert.deepEqual(residue(index), NO_RESIDUE);
      rebuilt(index, held.keys, observer);
    }
  });
}

/** Other homes are open while one home is locked, unless a new set would have to be interned. */
function workAround(
  index: SharedArrayBuffer,
  writer: BlockIndexWriter,
  bystander: number,
  reader: BlockIndexReader,
): void {
  if (internLock(index) !== 0) return;
  const words = new Int32Array(index);
  for (const key of NEIGHBOURS) {
    const bucket = (words[PREAMBLE.buckets] ?? 0) + homeOf(key.low, BUCKETS) * 16;
    if (words[bucket] !== 0) continue;
    const status = writer.add(bystander, 0, 0, key.low, key.high);
    assert.notEqual(status, 'stuck');
    assert.equal(usableOf(reader, chainOf([key]), BYSTANDER), status === 'done' ? 1 : 0);
    if (status === 'done') removeChain(writer, bystander, chainOf([key]));
  }
}

/** After recovery everything works as in a new index. */
function rebuilt(index: SharedArrayBuffer, held: readonly ModelKey[], observer: Observer): void {
  const writer = observer.writer(index, 2);
  const chain = chainOf(held.includes(SUBJECT) || held.length > 50 ? held : [...held, SUBJECT]);
  const endpoint = writer.openEndpoint(BYSTANDER);
  addChain(writer, endpoint, chain);
  assert.equal(usableOf(observer.reader(index), chain, BYSTANDER), chain.keys.length);
  removeChain(writer, endpoint, chain);
  assert.deepEqual(residue(index), NO_RESIDUE);
  writer.dropEndpoint(endpoint);
  sweepAll(writer);
  assert.equal(observer.owner(index).stats().blocks, 0);
}

function internLock(index: SharedArrayBuffer): number {
  const words = new Int32Array(index);
  return words[(words[PREAMBLE.state] ?? 0) + STATE.internLock] ?? 0;
}

/** Stops the last of `commands` at every step there is and calls `meanwhile` each time. */
async function atEveryStep(
  worker: SteppedWorker,
  commands: readonly Command[],
  meanwhile: (resume: () => Promise<number>) => Promise<void>,
): Promise<void> {
  for (let step = 1; await worker.run(commands, step); step++) {
    assert.ok(step < STEPS_MAX, 'the operation ends');
    await meanwhile(() => worker.resume());
  }
  await worker.end();
}

/**
 * A writer adds the subject past two full buckets; at every step another adds a key of the bucket
 * before, which overflows through the same buckets. Whether anything is left once all is removed.
 */
async function somethingLeft(sabotage: Sabotage): Promise<boolean> {
  const held = [...fillers(HOME - 1, BUCKET_SLOTS), ...fillers(HOME, BUCKET_SLOTS)];
  const { index, writer, bystander, held: chain } = prepare({ held });
  const other = chainOf([keyAt(HOME - 1, 1)]);
  await atEveryStep(new SteppedWorker(index, { sabotage }), [open, add], async (resume) => {
    const free = internLock(index) === 0;
    if (free) addChain(writer, bystander, other, 1);
    await resume();
    if (free) removeChain(writer, bystander, other, 1);
    writer.dropSlot(STEPPED);
    sweepAll(writer);
  });
  writer.dropSlot(STEPPED);
  removeChain(writer, bystander, chain, 1);
  sweepAll(writer);
  return !isDeepStrictEqual(residue(index), NO_RESIDUE);
}

test('two writers count overflow on one path; counted without atomics, blocks are lost', async () => {
  assert.equal(await somethingLeft('none'), false);
  assert.equal(await somethingLeft('overflow-not-atomic'), true);
});

/** A writer deletes the subject while another adds a key that takes the first free slot there. */
async function addedKeyLost(sabotage: Sabotage): Promise<boolean> {
  const { index, writer, bystander, reader } = prepare({ held: fillers(HOME - 1, BUCKET_SLOTS) });
  const other = chainOf([keyAt(HOME - 1, 1)]);
  let lost = false;
  const worker = new SteppedWorker(index, { sabotage });
  await atEveryStep(worker, [open, add, remove], async (resume) => {
    if (lost) return void (await resume());
    addChain(writer, bystander, other, 1);
    await resume();
    lost = usableOf(reader, other, BYSTANDER) === 0;
    if (!lost) removeChain(writer, bystander, other, 1);
    writer.dropSlot(STEPPED);
    sweepAll(writer);
  });
  return lost;
}

test('a slot is taken again only when wholly free; freed set word first, a key is lost', async () => {
  assert.equal(await addedKeyLost('none'), false);
  assert.equal(await addedKeyLost('delete-set-first'), true);
});

/** A reader looks the subject up while its slot goes to another key, of another endpoint. */
async function strangerClaimed(sabotage: Sabotage): Promise<boolean> {
  const { index, writer, bystander, held } = prepare({ held: [SUBJECT] });
  const stranger = writer.openEndpoint(2);
  const strange = chainOf([keyAt(HOME, 1)]);
  let claimed = false;
  const worker = new SteppedWorker(index, { loads: true, sabotage });
  await atEveryStep(worker, [{ kind: 'match', key: SUBJECT, slot: 2 }], async (resume) => {
    removeChain(writer, bystander, held, 1);
    addChain(writer, stranger, strange);
    claimed = (await resume()) !== 0 || claimed;
    removeChain(writer, stranger, strange);
    addChain(writer, bystander, held, 1);
  });
  return claimed;
}

test('a reader never takes the set of another key; without a second look at the tag it does', async () => {
  assert.equal(await strangerClaimed('none'), false);
  assert.equal(await strangerClaimed('reader-unchecked'), true);
});
