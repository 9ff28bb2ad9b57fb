import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { goldenFile } from '#test/support/paths.js';
import { blockPreimage, type CborValue, encodeCbor } from '#wire/cbor.js';

interface Preimage {
  readonly what: string;
  readonly seed?: string;
  readonly parent?: string;
  readonly tokens?: readonly number[];
  readonly extra_keys?: CborValue;
  readonly cbor_hex: string;
  readonly sha256: string;
}

function reviveBytes(value: unknown): CborValue {
  if (Array.isArray(value)) return value.map(reviveBytes);
  if (value !== null && typeof value === 'object' && '$bytes' in value) {
    return Buffer.from(String(value.$bytes), 'hex');
  }
  return value as CborValue;
}

test('every recorded preimage of vLLM 0.33.0 is reproduced', () => {
  const file = goldenFile('vllm-0.33.0-sha256-cbor-preimages.json');
  const preimages: readonly Preimage[] = JSON.parse(readFileSync(file, 'utf8'));
  assert.ok(preimages.length > 5);
  for (const preimage of preimages) {
    const bytes =
      preimage.tokens === undefined
        ? encodeCbor(preimage.seed ?? '')
        : blockPreimage(
            Buffer.from(preimage.parent ?? '', 'hex'),
            preimage.tokens,
            reviveBytes(preimage.extra_keys ?? null),
          );
    assert.equal(Buffer.from(bytes).toString('hex'), preimage.cbor_hex, preimage.what);
    assert.equal(createHash('sha256').update(bytes).digest('hex'), preimage.sha256);
  }
});

test('integers take the shortest form (RFC 8949, appendix A)', () => {
  const expected: readonly (readonly [CborValue, string])[] = [
    [0, '00'],
    [23, '17'],
    [24, '1818'],
    [255, '18ff'],
    [256, '190100'],
    [65_536, '1a00010000'],
    [4_294_967_295, '1affffffff'],
    [1_000_000_000_000, '1b000000e8d4a51000'],
    [-1, '20'],
    [-10, '29'],
    [-100, '3863'],
    [-1000, '3903e7'],
    [null, 'f6'],
    [true, 'f5'],
    ['IETF', '6449455446'],
    [Uint32Array.of(1, 2, 3), '83010203'],
    [[1, [2, 3]], '8201820203'],
  ];
  for (const [value, hex] of expected) {
    assert.equal(Buffer.from(encodeCbor(value)).toString('hex'), hex);
  }
  assert.throws(() => encodeCbor(1.5), /safe integer/);
});
