// The engine's hash chain against chains computed by vLLM itself, in four releases.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  type BlockHash,
  type ExtraKeys,
  hashBlock,
  hashedExtraKeys,
  integerHash,
  noneHash,
} from '#simulation/block-hash.js';
import { goldenFile } from '#test/support/paths.js';

interface Vector {
  readonly algo: string;
  readonly PYTHONHASHSEED: string | null;
  readonly none_hash: string;
  readonly block_size: number;
  readonly case: string;
  readonly tokens: string;
  readonly num_tokens: number;
  readonly lora: readonly [string, number, string] | null;
  readonly cache_salt: string | null;
  readonly extra_keys: readonly ExtraKeys[] | null;
  readonly block_hashes: readonly string[];
  readonly external_u64: readonly string[];
}

interface Golden {
  readonly token_lists: Readonly<Record<string, readonly number[]>>;
  readonly vectors: readonly Vector[];
}

const RELEASES = ['0.11.0', '0.18.1', '0.23.0', '0.33.0'];

for (const release of RELEASES) {
  test(`every sha256_cbor chain of vLLM ${release} is reproduced`, () => {
    const golden = readGolden(release);
    const vectors = golden.vectors.filter((vector) => vector.algo === 'sha256_cbor');
    assert.ok(vectors.length >= 20);
    for (const vector of vectors) {
      const chain = chainOf(vector, golden.token_lists[vector.tokens] ?? []);
      const label = `${vector.case} ${vector.tokens} ${vector.PYTHONHASHSEED}`;
      assert.deepEqual(
        chain.map((block) => block.digest.toString('hex')),
        vector.block_hashes,
        label,
      );
      assert.deepEqual(
        chain.map((block) => String(integerHash(block))),
        vector.external_u64,
        label,
      );
    }
  });
}

for (const [release, form] of [
  ['0.23.0', 'plain'],
  ['0.33.0', 'tagged'],
] as const) {
  test(`adapter and salt enter the hash as in vLLM ${release}`, () => {
    const vectors = readGolden(release).vectors.filter(
      ({ algo, case: name }) => algo === 'sha256_cbor' && (name === 'lora' || name === 'salt'),
    );
    assert.ok(vectors.length >= 4);
    for (const { lora, cache_salt: cacheSalt, extra_keys: expected, block_hashes } of vectors) {
      const adapter = lora === null ? null : { name: lora[0], id: lora[1], path: lora[2] };
      const identity = { lora: adapter, cacheSalt };
      const keys = block_hashes.map((_, block) => hashedExtraKeys(identity, block, form));
      assert.deepEqual(keys, expected);
    }
  });
}

test('the root of the chain follows PYTHONHASHSEED as text', () => {
  for (const { PYTHONHASHSEED, none_hash, algo } of readGolden('0.33.0').vectors) {
    if (algo === 'sha256_cbor') {
      assert.equal(noneHash(PYTHONHASHSEED).toString('hex'), none_hash);
    }
  }
  assert.notDeepEqual(noneHash('0'), noneHash('00'));
});

function readGolden(release: string): Golden {
  const file = goldenFile(`vllm-${release}-block-hashes.json`);
  return JSON.parse(readFileSync(file, 'utf8')) as Golden;
}

function chainOf(vector: Vector, tokens: readonly number[]): readonly BlockHash[] {
  const count = vector.block_size;
  const chain: BlockHash[] = [];
  let parent = noneHash(vector.PYTHONHASHSEED);
  for (let start = 0; start + count <= vector.num_tokens; start += count) {
    const keys = vector.extra_keys?.[chain.length] ?? null;
    const block = hashBlock(parent, tokens, { start, count }, keys);
    chain.push(block);
    parent = block.digest;
  }
  return chain;
}
