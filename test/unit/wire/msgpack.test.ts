import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EVENT_FRAME_BYTES_MAX } from '#contracts/limits.js';
import { seededRandom } from '#contracts/random.js';
import { goldenFile } from '#test/support/paths.js';
import { decodeMsgpack } from '#wire/msgpack.js';
import {
  type EncodableBatch,
  encodeEventBatch,
  encodeMsgpack,
  type MsgpackValue,
  WideMap,
} from '#wire/msgpack-encode.js';
import { scanMsgpack } from '#wire/msgpack-scan.js';

const GOLDEN = [
  'vllm-0.11.0',
  'vllm-0.18.1',
  'vllm-0.23.0',
  'vllm-0.33.0',
  'sglang-0.5.5',
  'sglang-0.5.23',
];

interface GoldenCase {
  readonly name: string;
  readonly payload_hex: string;
  readonly raw: unknown;
}

function goldenCases(version: string): readonly GoldenCase[] {
  const file = goldenFile(`${version}-event-batches.json`);
  return JSON.parse(readFileSync(file, 'utf8')).cases;
}

/** `{"$int": …}` and `{"$bytes": …}` of the golden files as bigint and bytes. */
function revive(value: unknown): MsgpackValue {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== 'object') return value as MsgpackValue;
  const record = value as { $int?: string; $bytes?: string };
  if (record.$int !== undefined) return BigInt(record.$int);
  if (record.$bytes !== undefined) return Buffer.from(record.$bytes, 'hex');
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, revive(item)]));
}

/** vLLM 0.33's BlockStored has 16 declared fields, so msgspec writes its map with a wide header. */
function widenStored(event: MsgpackValue): MsgpackValue {
  const record = event as { readonly type: string };
  return record.type === 'BlockStored' ? new WideMap(record) : event;
}

/** Small bigints and Buffers made comparable with decoded values. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') };
  if (typeof value === 'bigint') return { int: value.toString() };
  if (typeof value === 'number') return Number.isInteger(value) ? { int: `${value}` } : value;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

for (const version of GOLDEN) {
  test(`${version}: every recorded batch passes the scan, decodes, and encodes to the same bytes`, () => {
    const cases = goldenCases(version);
    assert.ok(cases.length > 0);
    for (const { name, payload_hex, raw } of cases) {
      const payload = Buffer.from(payload_hex, 'hex');
      assert.equal(scanMsgpack(payload), null, name);
      const result = decodeMsgpack(payload);
      assert.ok(result.ok, name);
      const revived = revive(raw);
      assert.deepEqual(plain(result.value), plain(revived), name);
      const [timestamp, events, dataParallelRank] = revived as [number, MsgpackValue[], null];
      const batch: EncodableBatch = {
        timestamp,
        events: version === 'vllm-0.33.0' ? events.map(widenStored) : events,
        dataParallelRank,
      };
      assert.equal(Buffer.from(encodeEventBatch(batch)).toString('hex'), payload_hex, name);
    }
  });
}

/** Frames that cost a naive decoder seconds, gigabytes or the process. */
const BOMBS: Readonly<Record<string, () => Uint8Array>> = {
  'array32 of 2^32-1 in 5 bytes': () => Buffer.from('ddffffffff', 'hex'),
  'map32 of 2^32-1 in 5 bytes': () => Buffer.from('dfffffffff', 'hex'),
  'bin32 of 2^32-1 in 5 bytes': () => Buffer.from('c6ffffffff', 'hex'),
  'str32 of 2^32-1 in 5 bytes': () => Buffer.from('dbffffffff', 'hex'),
  'ext32 of 2^32-1 in 6 bytes': () => Buffer.from('c9ffffffff01', 'hex'),
  'array16(65535) nested 2,000 deep': () => Buffer.from('dcffff'.repeat(2000), 'hex'),
  'array16(65535) nested 24,000 deep': () => Buffer.from('dcffff'.repeat(24_000), 'hex'),
  'array16(16384) nested in a 1 MB frame': () => Buffer.from('dc4000'.repeat(350_000), 'hex'),
  '0x91 512,000 times': () => Buffer.alloc(512_000, 0x91),
  '0x91 512,000 times and a nil': () =>
    Buffer.concat([Buffer.alloc(512_000, 0x91), Buffer.of(0xc0)]),
  'siblings that borrow each other’s bytes': () =>
    Buffer.concat([Buffer.from('dc0100'.repeat(4), 'hex'), Buffer.alloc(400, 0xc0)]),
  'a frame of 64 MB': () => Buffer.alloc(64 * 1024 * 1024, 0xc0),
};

test('bombs are refused by the scan with a reason and without memory', () => {
  for (const [name, build] of Object.entries(BOMBS)) {
    const bytes = build();
    const before = process.memoryUsage();
    const result = decodeMsgpack(bytes);
    const after = process.memoryUsage();
    assert.ok(!result.ok, name);
    assert.equal(result.reason, scanMsgpack(bytes), `${name}: refused by the scan itself`);
    const grown = after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers;
    assert.ok(grown < 1024 * 1024, `${name} took ${grown} bytes`);
  }
});

test('a __proto__ key is refused and changes no prototype', () => {
  const bytes = encodeMsgpack(JSON.parse('{"__proto__": {"polluted": 1}}'));
  assert.equal(scanMsgpack(bytes), null, 'structure is fine');
  const result = decodeMsgpack(bytes);
  assert.ok(!result.ok);
  assert.match(result.reason, /__proto__/);
  assert.equal(Reflect.get({}, 'polluted'), undefined);
});

test('every truncation of a legal frame is refused, and so are trailing bytes', () => {
  for (const { name, payload_hex } of goldenCases('vllm-0.33.0')) {
    const payload = Buffer.from(payload_hex, 'hex');
    for (let length = 0; length < payload.length; length += 1) {
      assert.ok(!decodeMsgpack(payload.subarray(0, length)).ok, `${name} cut to ${length}`);
    }
    assert.match(String(scanMsgpack(Buffer.concat([payload, Buffer.of(0)]))), /1 bytes follow/);
  }
});

test('random and mutated bytes never throw; what the scan lets pass costs little', () => {
  const seed = 20_260_101;
  const random = seededRandom(seed);
  const base = Buffer.from(goldenCases('vllm-0.33.0')[0]?.payload_hex ?? '', 'hex');
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(base);
    const changes = 1 + Math.floor(random.next() * 4);
    for (let change = 0; change < changes; change += 1) {
      bytes[Math.floor(random.next() * bytes.length)] = Math.floor(random.next() * 256);
    }
    const result = decodeMsgpack(bytes);
    if (!result.ok) assert.ok(result.reason.length > 0, `seed ${seed}, round ${round}`);
  }
});

test('depth: eight levels pass, nine do not', () => {
  const nest = (levels: number) => Buffer.concat([Buffer.alloc(levels, 0x91), Buffer.of(0xc0)]);
  assert.equal(scanMsgpack(nest(8)), null);
  assert.match(String(scanMsgpack(nest(9))), /nested deeper than 8/);
});

test('the largest legal frame passes', () => {
  const count = EVENT_FRAME_BYTES_MAX - 5;
  const bytes = Buffer.alloc(EVENT_FRAME_BYTES_MAX);
  bytes[0] = 0xdd;
  bytes.writeUInt32BE(count, 1);
  assert.equal(scanMsgpack(bytes), null);
});

test('numbers take their shortest form at every boundary', () => {
  const expected: readonly (readonly [number | bigint, string])[] = [
    [127, '7f'],
    [128, 'cc80'],
    [255, 'ccff'],
    [256, 'cd0100'],
    [65_535, 'cdffff'],
    [65_536, 'ce00010000'],
    [4_294_967_295, 'ceffffffff'],
    [4_294_967_296, 'cf0000000100000000'],
    [255n, 'ccff'],
    [2n ** 64n - 1n, 'cfffffffffffffffff'],
    [-32, 'e0'],
    [-33, 'd0df'],
    [-128, 'd080'],
    [-129, 'd1ff7f'],
    [-32_769, 'd2ffff7fff'],
    [-(2 ** 31), 'd280000000'],
    [-(2n ** 63n), 'd38000000000000000'],
    [-7046029254386353131n, 'd39e3779b97f4a7c15'],
  ];
  for (const [value, hex] of expected) {
    assert.equal(Buffer.from(encodeMsgpack(value)).toString('hex'), hex, String(value));
  }
  assert.throws(() => encodeMsgpack(2n ** 64n), /64 bits/);
  assert.throws(() => encodeMsgpack(1.5), /safe integer/);
});

test('values of every size survive the buffer growing under them', () => {
  for (let filler = 490; filler < 530; filler += 1) {
    const values = ['x'.repeat(filler), 1, 300, 70_000, 2n ** 60n, -5, 'tail', [null, true]];
    const result = decodeMsgpack(encodeMsgpack(values));
    assert.ok(result.ok);
    assert.deepEqual(result.value, values);
  }
  const batch = { timestamp: 0.5, events: [['x'.repeat(5000), 1]], dataParallelRank: 3 };
  assert.ok(decodeMsgpack(encodeEventBatch(batch)).ok);
});
