import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECORD, RECORD_DETAIL_BYTES_MAX, requestMemoryLayout } from '#contracts/shared-layout.js';
import { fallbackOutcome } from '#core/portable/prompt/fallback.js';
import { emptyOutcome, newMatch, RecordTable } from '#core/portable/prompt/record.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';

const CAPACITY = 64;
const memory = createRequestMemory(CAPACITY);
const store = openRequestStore(memory);
const records = new RecordTable(memory);

function stored(body: string): { slot: number; generation: number } {
  const bytes = Buffer.from(body);
  const handle = store.open(bytes.length);
  assert.ok(handle !== null);
  assert.equal(store.append(handle, bytes), 'done');
  return handle;
}

test('an outcome is read back as it was written', () => {
  const body = '{"model":"m\\u00e9"}';
  const handle = stored(body);
  assert.equal(records.copyBody(handle)?.toString(), body);
  const match = newMatch(CAPACITY);
  match.usableBlocks[3] = 7;
  match.rawBlocks[63] = 9;
  match.tierBlocks[4 * 3 + 1] = 5;
  match.speculativeBlocks[3] = 8;
  const keys = Uint32Array.from({ length: 20 }, (_, at) => at);
  const outcome = {
    ...emptyOutcome(),
    modelIndex: 2,
    modelOffset: 9,
    modelBytes: 9,
    stream: true,
    priority: -4,
    promptTokens: 170,
    totalBlocks: 10,
    blockSize: 16,
    cuts: [{ offset: 5, length: 6 }],
    keys,
    media: { keys: [1n, 0xfedcba9876543210n], leftOut: 3 },
    indexEpoch: 4_000_000_000,
    micros: { parse: 1, render: 2, tokenize: 3, hash: 4, match: 5 },
  };
  assert.ok(records.write(handle, outcome, match));
  const read = records.read(handle);
  assert.deepEqual(
    { ...read, match: null },
    {
      error: null,
      model: 'mé',
      modelIndex: 2,
      modelOffset: 9,
      modelBytes: 9,
      stream: true,
      priority: -4,
      promptTokens: 170,
      totalBlocks: 10,
      blockSize: 16,
      noMatchReason: null,
      match: null,
      patches: [{ offset: 5, length: 6, text: '' }],
      media: ['0000000000000001', 'fedcba9876543210'],
      mediaLeftOut: 3,
      indexEpoch: 4_000_000_000,
      micros: outcome.micros,
    },
  );
  assert.deepEqual(read.match, match);
  assert.deepEqual([...records.keys(handle)], [...keys]);
  store.release(handle);
});

test('a record is overwritten whole by the next request in its slot', () => {
  const first = stored('{}');
  const match = newMatch(CAPACITY);
  match.usableBlocks.fill(9);
  records.write(first, { ...emptyOutcome(), stream: true, keys: new Uint32Array(8) }, match);
  store.release(first);
  const second = stored('{}');
  assert.equal(second.slot, first.slot);
  records.write(second, { ...emptyOutcome(), noMatchReason: 'index-cold' }, null);
  const read = records.read(second);
  assert.equal(read.noMatchReason, 'index-cold');
  assert.deepEqual([read.stream, read.match.usableBlocks[0]], [false, 0]);
  assert.equal(records.keys(second).length, 0);
  store.release(second);
});

test('a late encoder of a released handle writes nothing', () => {
  const handle = stored('{"model":"a"}');
  store.release(handle);
  const next = stored('{"model":"b"}');
  assert.equal(next.slot, handle.slot);
  const keys = new Uint32Array(100).fill(0xffffffff);
  assert.equal(records.write(handle, { ...emptyOutcome(), keys }, null), false);
  assert.equal(records.copyBody(handle), null);
  assert.equal(store.body(next) === null, false);
  assert.equal(Buffer.from(store.body(next) ?? []).toString(), '{"model":"b"}');
  assert.throws(() => records.read(next), /after it was encoded/);
  store.release(next);
});

test('bytes a writing encoder may touch are not given away before it has stopped', () => {
  const handle = stored('{}');
  const layout = requestMemoryLayout(CAPACITY);
  const word = (layout.records + handle.slot * layout.recordBytes) / 4 + RECORD.writing;
  const before = store.usage().slots;
  Atomics.store(new Int32Array(memory), word, 1);
  store.release(handle);
  assert.equal(store.usage().slots, before);
  records.clearWriting(handle.slot);
  assert.equal(store.usage().slots, before - 1);
});

test('errors keep code, param and as much of the detail as fits', () => {
  const handle = stored('{}');
  const detail = 'é'.repeat(RECORD_DETAIL_BYTES_MAX);
  const refusal = { code: 'invalid_body', detail, param: 'messages[0].role' } as const;
  records.write(handle, { ...emptyOutcome(), refusal }, null);
  const { error } = records.read(handle);
  assert.deepEqual([error?.code, error?.param], ['invalid_body', 'messages[0].role']);
  assert.equal(error?.detail, 'é'.repeat(RECORD_DETAIL_BYTES_MAX / 2));
  store.release(handle);
});

test('keys beyond the room of the record are left out, the first ones kept', () => {
  const handle = stored('{}');
  const keys = Uint32Array.from({ length: 100_000 }, (_, at) => at);
  records.write(handle, { ...emptyOutcome(), keys }, null);
  const kept = records.keys(handle);
  assert.ok(kept.length > 500 && kept.length < keys.length);
  assert.deepEqual([...kept], [...keys.subarray(0, kept.length)]);
  store.release(handle);
});

test('a request no worker could encode keeps its model', () => {
  const model = {
    index: 4,
    id: 'm',
    pool: 'm',
    adapter: '',
    tokenizer: null,
    proven: false,
    matched: true,
    implied: false,
    blockSize: null,
    maxModelLen: null,
  };
  const outcome = fallbackOutcome(Buffer.from('{"model":"\\u006d","stream":true}'), [model]);
  assert.deepEqual(
    [outcome.modelIndex, outcome.stream, outcome.noMatchReason],
    [4, true, 'encoder-failed'],
  );
  assert.equal(fallbackOutcome(Buffer.from('{"model":"x"}'), [model]).modelIndex, -1);
  assert.equal(fallbackOutcome(Buffer.from('"'.repeat(9)), []).modelIndex, -1);
});
