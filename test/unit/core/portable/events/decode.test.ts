import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodeEventBatch } from '#core/portable/events/decode.js';
import { goldenFile } from '#test/support/paths.js';
import { encodeEventBatch, encodeMsgpack, type MsgpackValue } from '#wire/msgpack-encode.js';

interface GoldenCase {
  readonly name: string;
  readonly payload_hex: string;
  readonly raw: readonly unknown[];
  readonly expect?: { ts: number; data_parallel_rank?: number | null; events: readonly unknown[] };
}

interface Expected {
  readonly type?: unknown;
  readonly block_hashes?: unknown;
  readonly parent_block_hash?: unknown;
  readonly token_ids?: unknown;
  readonly block_size?: unknown;
  readonly medium?: unknown;
  readonly locality?: unknown;
  readonly lora_id?: unknown;
  readonly lora_name?: unknown;
  readonly cache_salt?: unknown;
  readonly extra_keys?: unknown;
  readonly group_idx?: unknown;
  readonly kv_cache_spec_kind?: unknown;
  readonly kv_cache_spec_sliding_window?: unknown;
}

function casesOf(version: string): readonly GoldenCase[] {
  return JSON.parse(readFileSync(goldenFile(`${version}-event-batches.json`), 'utf8')).cases;
}

/** A golden hash: number, `{"$int"}` or `{"$bytes"}`. */
function engineKey(value: unknown): bigint | string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return BigInt(value);
  const record = value as { $int?: string; $bytes?: string };
  return record.$int === undefined ? String(record.$bytes) : BigInt(record.$int);
}

const TIER_OF: Readonly<Record<string, number>> = {
  GPU: 0,
  CPU: 1,
  CPU_PINNED: 1,
  STORAGE: 2,
  DISK: 2,
  EXTERNAL: 3,
};

function tierOf({ medium, locality }: Expected): number {
  if (typeof medium !== 'string') return 0;
  return locality === 'REMOTE' ? 3 : (TIER_OF[medium] ?? 3);
}

/** Our event for a golden one: the typed decode for vLLM, the map for SGLang. */
function toEvent(event: Expected): unknown {
  const { type, block_hashes: hashes } = event;
  if (type === 'AllBlocksCleared') return { type };
  const blockHashes = (hashes as unknown[]).map(engineKey);
  const group = event.group_idx ?? 0;
  if (type === 'BlockRemoved') return { type, blockHashes, tier: tierOf(event), group };
  const id = event.lora_id ?? null;
  return {
    type,
    blockHashes,
    parentBlockHash: engineKey(event.parent_block_hash),
    tokenIds: event.token_ids,
    blockSize: event.block_size,
    tier: tierOf(event),
    loraName: event.lora_name ?? (id === null ? null : `\0lora-id:${id}`),
    cacheSalt: event.cache_salt ?? null,
    extraKeys: event.extra_keys ?? null,
    group,
    specKind: event.kv_cache_spec_kind ?? null,
    slidingWindow: event.kv_cache_spec_sliding_window ?? null,
  };
}

/** Bytes inside extra keys in the golden files' form. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

for (const version of ['vllm-0.11.0', 'vllm-0.18.1', 'vllm-0.23.0', 'vllm-0.33.0']) {
  test(`${version}: every recorded batch decodes to what the engine meant`, () => {
    const cases = casesOf(version);
    assert.ok(cases.length > 10);
    for (const { name, payload_hex, expect } of cases) {
      const result = decodeEventBatch(Buffer.from(payload_hex, 'hex'));
      assert.ok(result.ok && expect !== undefined, name);
      assert.equal(result.batch.timestamp, expect.ts, name);
      assert.equal(result.batch.dataParallelRank, expect.data_parallel_rank ?? null, name);
      const expected = expect.events.map((event) => toEvent(event as Expected));
      assert.deepEqual(result.batch.events.map(plain), expected, name);
      assert.equal(result.batch.unknownEvents, 0, name);
    }
  });
}

const SGLANG_FIELDS = [
  'type',
  'block_hashes',
  'parent_block_hash',
  'token_ids',
  'block_size',
  'lora_id',
  'medium',
];

for (const version of ['sglang-0.5.5', 'sglang-0.5.23']) {
  test(`${version}: every recorded batch decodes; bigram pairs are counted and left out`, () => {
    for (const { name, payload_hex, raw } of casesOf(version)) {
      const result = decodeEventBatch(Buffer.from(payload_hex, 'hex'));
      assert.ok(result.ok, name);
      const [timestamp, events, rank] = raw as [number, unknown[], number | null];
      assert.equal(result.batch.timestamp, timestamp);
      assert.equal(result.batch.dataParallelRank, rank);
      if (name === 'stored_bigram_tokens') {
        assert.deepEqual([result.batch.events.length, result.batch.unknownEvents], [0, 1]);
        continue;
      }
      const expected = events.map((event) => {
        if (!Array.isArray(event)) return toEvent(event as Expected);
        const names = event[0] === 'BlockRemoved' ? ['type', 'block_hashes'] : SGLANG_FIELDS;
        return toEvent(Object.fromEntries(event.map((item, i) => [names[i] ?? '', item])));
      });
      assert.deepEqual(result.batch.events, expected, name);
    }
  });
}

function batchOf(...events: MsgpackValue[]): Uint8Array {
  return encodeEventBatch({ timestamp: 1.5, events, dataParallelRank: 0 });
}

function decoded(...events: MsgpackValue[]) {
  const result = decodeEventBatch(batchOf(...events));
  assert.ok(result.ok, result.ok ? '' : result.reason);
  return result.batch;
}

test('the same integer is one engine key in every width, and bytes never equal integers', () => {
  const uint64Five = Buffer.from('93cb000000000000000091', 'hex');
  const event = Buffer.concat([
    Buffer.from('93', 'hex'),
    encodeMsgpack('BlockRemoved'),
    Buffer.from('94', 'hex'),
    Buffer.from('05', 'hex'),
    Buffer.from('cf0000000000000005', 'hex'),
    Buffer.from('d30000000000000005', 'hex'),
    Buffer.from('c4080000000000000005', 'hex'),
    encodeMsgpack('GPU'),
  ]);
  const result = decodeEventBatch(Buffer.concat([uint64Five, event, Buffer.from('c0', 'hex')]));
  assert.ok(result.ok);
  const [removed] = result.batch.events;
  assert.ok(removed?.type === 'BlockRemoved');
  assert.deepEqual(removed.blockHashes, [5n, 5n, 5n, '0000000000000005']);
});

test('short and long arrays, unknown keys and unknown tags are accepted', () => {
  const short = decoded(['BlockStored', [1], null, [7, 8], 2]);
  const long = decoded([
    'BlockStored',
    [1],
    null,
    [7, 8],
    2,
    null,
    'GPU',
    null,
    null,
    0,
    null,
    null,
    'new',
    9,
  ]);
  assert.deepEqual(short.events, long.events);
  const map = decoded({
    type: 'BlockStored',
    block_hashes: [1],
    parent_block_hash: null,
    token_ids: [7, 8],
    block_size: 2,
    colour: 'blue',
  });
  assert.deepEqual(map.events, short.events);
  const unknown = decoded(
    { type: 'BlockMoved', block_hashes: [1] },
    ['Else', 1],
    ['AllBlocksCleared'],
  );
  assert.deepEqual([unknown.events.length, unknown.unknownEvents], [1, 2]);
  const twoElements = encodeMsgpack([1, [['AllBlocksCleared']]]);
  assert.ok(decodeEventBatch(twoElements).ok, 'vLLM 0.9 sends no rank');
});

test('media become tiers whatever their case; an unknown one is shared and counted', () => {
  const tiers = ['gpu', null, 'Cpu', 'CPU_PINNED', 'disk', 'STORAGE', 'EXTERNAL', 'TAPE'].map(
    (medium) => {
      const batch = decoded(['BlockRemoved', [1], medium]);
      const [event] = batch.events;
      assert.ok(event?.type === 'BlockRemoved');
      return [event.tier, batch.unknownEvents];
    },
  );
  assert.deepEqual(tiers, [
    [0, 0],
    [0, 0],
    [1, 0],
    [1, 0],
    [2, 0],
    [2, 0],
    [3, 0],
    [3, 1],
  ]);
});

test('malformed batches name the event, the field and what was wrong', () => {
  const stored = ['BlockStored', [1], null, [7, 8], 2, null, 'GPU'] as const;
  const withField = (position: number, value: MsgpackValue) =>
    batchOf(['AllBlocksCleared'], stored.toSpliced(position, 1, value as never));
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [withField(1, 5), 'event 1: block_hashes is a number, expected an array'],
    [
      withField(1, ['x']),
      'event 1: block_hashes holds a string, expected an integer or a short bin',
    ],
    [withField(2, 'x'), 'event 1: parent_block_hash holds a string, expected an integer'],
    [withField(3, null), 'event 1: token_ids is missing, expected an array'],
    [withField(4, -1), 'event 1: block_size is a number, expected a count'],
    [withField(6, 3), 'event 1: medium is a number, expected a string or nil'],
    [batchOf(['BlockRemoved']), 'event 0: block_hashes is missing, expected an array'],
    [batchOf(7), 'event 0: a number without a tag'],
    [encodeMsgpack([1]), 'batch is not an array of timestamp, events, rank'],
    [encodeMsgpack([1, 2, 0]), 'batch: events is a number, expected an array'],
    [encodeMsgpack(['x', [], 0]), 'batch: timestamp is a string, expected a number'],
    [
      Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff),
      'value at byte 5 declares more than the 0 bytes left',
    ],
  ];
  for (const [payload, reason] of cases) {
    const result = decodeEventBatch(payload);
    assert.ok(!result.ok, reason);
    assert.ok(result.reason.startsWith(reason), `${result.reason} | ${reason}`);
  }
});
