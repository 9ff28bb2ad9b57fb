// Request keys against vectors made with another implementation of XXH3.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  type BlockKey,
  chainKeys,
  countedBytes,
  hashBlock,
  namespaceSeed,
} from '#core/portable/keys.js';
import { repositoryRoot } from '#test/support/paths.js';

interface Case {
  readonly secret: string;
  readonly namespace: {
    readonly pool: string;
    readonly adapter: string;
    readonly cacheSalt: string;
  };
  readonly seed: string;
  readonly blockSize: number;
  readonly tokenIds: readonly number[];
  readonly extraKeys: readonly (readonly string[])[] | null;
  readonly keys: readonly string[];
}

const file = path.join(repositoryRoot, 'test/vectors/request-keys.json');
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { readonly cases: readonly Case[] };

test('a hundred vectors give their seeds', () => {
  assert.equal(cases.length, 100);
  for (const { secret, namespace, seed } of cases) {
    assert.equal(hex(namespaceSeed(BigInt(`0x${secret}`), namespace)), seed);
  }
});

test('a hundred vectors give their keys, whole prompts at once and block by block', () => {
  for (const vector of cases) {
    const seed = namespaceSeed(BigInt(`0x${vector.secret}`), vector.namespace);
    const tokenIds = Uint32Array.from(vector.tokenIds);
    if (vector.extraKeys === null) {
      const keys = new Uint32Array(2 * vector.keys.length);
      assert.equal(chainKeys(seed, tokenIds, vector.blockSize, keys), vector.keys.length);
      assert.deepEqual(
        vector.keys.map((_, block) =>
          hex({ low: at(keys, 2 * block), high: at(keys, 2 * block + 1) }),
        ),
        vector.keys,
      );
    }
    let parent = seed;
    for (const [block, key] of vector.keys.entries()) {
      const first = block * vector.blockSize;
      const extraKeys = (vector.extraKeys?.[block] ?? []).map((text) => Buffer.from(text, 'hex'));
      parent = hashBlock(
        parent,
        tokenIds.subarray(first, first + vector.blockSize),
        countedBytes(extraKeys),
      );
      assert.equal(hex(parent), key);
    }
  }
});

test('every dimension of the namespace separates prompts completely', () => {
  const seeds = new Set(cases.map((vector) => JSON.stringify([vector.secret, vector.namespace])));
  assert.equal(new Set(cases.map((vector) => vector.seed)).size, seeds.size);
});

test('a chain goes on from any block', () => {
  const seed = namespaceSeed(7n, { pool: 'm', adapter: '', cacheSalt: '' });
  const tokenIds = Uint32Array.from({ length: 64 }, (_, i) => i * 977);
  const whole = new Uint32Array(8);
  const rest = new Uint32Array(4);
  chainKeys(seed, tokenIds, 16, whole);
  const parent = { low: at(whole, 2), high: at(whole, 3) };
  assert.equal(chainKeys(parent, tokenIds.subarray(32), 16, rest), 2);
  assert.deepEqual([...rest], [...whole.subarray(4)]);
});

test('too little room for the keys is refused', () => {
  const seed = namespaceSeed(0n, { pool: 'm', adapter: '', cacheSalt: '' });
  assert.throws(() => chainKeys(seed, new Uint32Array(32), 16, new Uint32Array(3)), /room/);
  assert.throws(() => chainKeys(seed, new Uint32Array(32), 0, new Uint32Array(4)), /one token/);
  assert.throws(() => namespaceSeed(-1n, { pool: '', adapter: '', cacheSalt: '' }), /64-bit/);
});

function at(words: Uint32Array, index: number): number {
  return words[index] ?? Number.NaN;
}

function hex(key: BlockKey): string {
  return ((BigInt(key.high) << 32n) | BigInt(key.low)).toString(16).padStart(16, '0');
}
