// What an event applier makes of an engine's events, for every core: rules 1 to 12 of wire-formats
// §0, one by one.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { countedBytes, hashBlock, namespaceSeed } from '#core/portable/keys.js';
import type { ApplierCore } from '#test/support/applied-index.js';
import {
  BLOCK,
  frame,
  openRig,
  type Rig,
  removed,
  SECRET,
  SLOT,
  stored,
  tokens,
} from '#test/support/applier-rig.js';
import { encodeCbor } from '#wire/cbor.js';

export function eventApplierSuite(name: string, core: ApplierCore): void {
  const rig = (blockSize: number = BLOCK): Rig => openRig(core, blockSize);

  describe(`event applier, ${name} core`, () => {
    test('stored blocks match, removed ones do not, and a child continues its parent', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 64);
      const first = apply(stored([1, 2], prompt.slice(0, 32)));
      assert.deepEqual([first.blocksStored, first.blockSize], [2, BLOCK]);
      apply(stored([3, 4], prompt.slice(32), { parent_block_hash: 2 }));
      assert.equal(match(prompt), 4);
      assert.equal(match(tokens(1, 64)), 0, 'other text');
      const result = apply(removed([4]), removed([3]));
      assert.deepEqual([result.blocksRemoved, result.unknownBlocks], [2, 0]);
      assert.equal(match(prompt), 2);
    });

    test('a block is resident until its last physical copy is removed', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 16);
      apply(stored([1], prompt), stored([1], prompt));
      apply(removed([1]));
      assert.equal(match(prompt), 1, 'one copy is left');
      assert.equal(apply(removed([1])).blocksRemoved, 1);
      assert.equal(match(prompt), 0);
      assert.equal(apply(removed([1])).unknownBlocks, 1, 'no copy below zero');
      apply(stored([1], prompt));
      assert.equal(match(prompt), 1);
    });

    test('copies are counted per tier', () => {
      const { apply, match, index } = rig();
      const prompt = tokens(0, 16);
      apply(stored([1], prompt), stored([1], prompt, { medium: 'CPU' }));
      assert.equal(index.residencies(SLOT).length, 2);
      apply(removed([1], { medium: 'GPU' }));
      assert.equal(match(prompt), 1, 'the host copy is left');
      assert.equal(apply(removed([1], { medium: 'STORAGE' })).unknownBlocks, 1);
      apply(removed([1], { medium: 'CPU' }));
      assert.deepEqual(index.residencies(SLOT), []);
    });

    test('an unknown parent is never a root, nor are its descendants', () => {
      const { apply, match, index } = rig();
      const prompt = tokens(0, 48);
      const result = apply(
        stored([2], prompt.slice(16, 32), { parent_block_hash: 1 }),
        stored([3], prompt.slice(32), { parent_block_hash: 2 }),
      );
      assert.deepEqual([result.unknownParents, result.blocksStored], [2, 0]);
      assert.deepEqual(index.residencies(SLOT), []);
      assert.equal(match(prompt.slice(16)), 0);
    });

    test('a placeholder joins a known block by hash and is dropped when unknown', () => {
      const { apply, index, match } = rig();
      const prompt = tokens(0, 32);
      apply(stored([1, 2], prompt));
      const placeholder = { block_size: 0, medium: 'CPU' };
      const result = apply(stored([1, 2, 77], [], placeholder));
      assert.deepEqual([result.blocksStored, result.unknownBlocks], [2, 1]);
      apply(removed([2]), removed([1]));
      assert.equal(match(prompt), 2);
      assert.equal(index.residencies(SLOT).length, 2);
      apply(removed([1, 2], { medium: 'CPU' }));
      assert.equal(match(prompt), 0);
    });

    test('a sliding-window group limits the hit, apart from group 0', () => {
      const { apply, match, index } = rig();
      const prompt = tokens(0, 96);
      const window = { group_idx: 1, kv_cache_spec_kind: 'sliding_window' };
      const sliding = { ...window, kv_cache_spec_sliding_window: 33 };
      const full = { group_idx: 0, kv_cache_spec_kind: 'full_attention' };
      const hashes = [1, 2, 3, 4, 5, 6];
      apply(stored(hashes, prompt, full), stored(hashes, prompt, sliding));
      assert.deepEqual([...index.windows(SLOT)], [[1, 2]], 'ceil((33 - 1) / 16) blocks');
      assert.equal(match(prompt), 6);
      apply(removed([6], { group_idx: 1 }));
      assert.equal(match(prompt), 5);
      apply(removed([3], { group_idx: 1 }));
      assert.equal(match(prompt), 5, 'outside the window');
      apply(removed([5], { group_idx: 1 }));
      assert.equal(match(prompt), 2, 'blocks 2 and 3 are needed for 4, 1 and 2 for 2');
      assert.equal(match(prompt.slice(0, 32)), 2);
    });

    test('a window of one token or none is no error', () => {
      const { apply, index } = rig();
      const kind = { group_idx: 1, kv_cache_spec_kind: 'sliding_window' };
      for (const window of [0, 1, 4_294_967_295]) {
        apply(stored([1], tokens(0, 16), { ...kind, kv_cache_spec_sliding_window: window }));
      }
      assert.equal(index.windows(SLOT).get(1), 2 ** 28);
    });

    test('masked blocks of a group join by hash with group 0', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 64);
      const sliding = {
        group_idx: 1,
        kv_cache_spec_kind: 'sliding_window',
        kv_cache_spec_sliding_window: 16,
      };
      apply(stored([1, 2, 3, 4], prompt, { group_idx: 0 }));
      const result = apply(stored([4, 88], prompt, sliding));
      assert.deepEqual([result.blocksStored, result.unknownBlocks], [1, 1]);
      assert.equal(match(prompt), 4);
      assert.equal(match(prompt.slice(0, 48)), 0, 'block 3 is not in the window group');
    });

    test('masked blocks before a common border are mapped, and no more is claimed than they hold', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 128);
      const root = { lora_name: 'sql', extra_keys: [['sql', 'tenant'], ['sql']] };
      const full = { group_idx: 0, kv_cache_spec_kind: 'full_attention', block_size: 64, ...root };
      const window = { group_idx: 1, kv_cache_spec_kind: 'sliding_window' };
      const sliding = { ...window, kv_cache_spec_sliding_window: 20, lora_name: 'sql' };
      const namespace = { adapter: 'sql', cacheSalt: 'tenant' };
      apply(stored([4, 8], prompt, full));
      // As vLLM 0.32 stores it: two blocks of 16 before each border of 64, no extra key tells the salt.
      const result = apply(stored([3, 4, 7, 8], prompt, sliding));
      assert.deepEqual([result.blocksStored, result.unknownBlocks], [4, 0]);
      assert.equal(match(prompt, namespace), 8);
      apply(removed([7], window));
      assert.equal(match(prompt, namespace), 4, 'block 8 of the window group holds only 16 tokens');
      apply(removed([4], window));
      assert.equal(match(prompt, namespace), 0);
    });

    test('a window that needs no block, or all, or is of no sense, is no error where blocks are masked', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 128);
      const full = { group_idx: 0, kv_cache_spec_kind: 'full_attention', block_size: 64 };
      apply(stored([4, 8], prompt, full));
      for (const window of [0, 1, 2, 64, 65, 4_294_967_295]) {
        const kind = { group_idx: 1, kv_cache_spec_kind: 'sliding_window' };
        const sliding = { ...kind, kv_cache_spec_sliding_window: window };
        for (const block_size of [1, 16, 32, 64, 128]) {
          apply(stored([], prompt, { ...sliding, block_size }));
          apply(stored([], prompt, { ...sliding, block_size, medium: 'CPU' }));
        }
      }
      assert.equal(match(prompt), 0);
    });

    test('a masked state counts at its end only, also where blocks are larger than canonical ones', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 128);
      apply(stored([4, 8], prompt, { group_idx: 0, block_size: 64 }));
      apply(stored([8], prompt, { group_idx: 1, kv_cache_spec_kind: 'mamba', block_size: 64 }));
      assert.equal(match(prompt), 8);
      assert.equal(match(prompt.slice(0, 112)), 0, 'there is no state inside the block');
    });

    test('hits end at common borders of all groups, learned anew after a clear', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 96);
      const full = { group_idx: 0, kv_cache_spec_kind: 'full_attention' };
      const window = { group_idx: 1, kv_cache_spec_kind: 'sliding_window' };
      const sliding = { ...window, kv_cache_spec_sliding_window: 17 };
      const hashes = [1, 2, 3, 4, 5, 6];
      apply(
        stored(hashes, prompt, full),
        stored([2, 4, 6], prompt, { ...sliding, block_size: 32 }),
      );
      assert.equal(match(prompt.slice(0, 80)), 4, 'multiples of 32 tokens');
      // The partial last block of a prompt, a block of another tier: neither is a border.
      apply(stored([7], tokens(96, 8), { ...full, block_size: 8, parent_block_hash: 6 }));
      apply(stored([8], tokens(0, 128), { ...full, block_size: 128, medium: 'CPU' }));
      assert.equal(match(prompt.slice(0, 80)), 4);
      apply({ type: 'AllBlocksCleared' });
      apply(stored(hashes, prompt, full), stored(hashes, prompt, sliding));
      assert.equal(match(prompt.slice(0, 80)), 5);
    });

    test('mamba needs its state at the end; other kinds need the whole prefix', () => {
      const mamba = rig();
      const prompt = tokens(0, 64);
      mamba.apply(stored([1, 2, 3, 4], prompt));
      mamba.apply(
        stored([4], prompt, { group_idx: 1, kv_cache_spec_kind: 'mamba', block_size: 64 }),
      );
      assert.equal(mamba.match(prompt), 4);
      assert.equal(mamba.match(prompt.slice(0, 48)), 0);
      const chunked = rig();
      const kind = { group_idx: 1, kv_cache_spec_kind: 'chunked_local_attention' };
      chunked.apply(stored([1, 2, 3, 4], prompt), stored([1, 2], prompt.slice(0, 32), kind));
      assert.equal(chunked.match(prompt), 2);
    });

    test('the full-attention group decides the prefix whatever its number', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 64);
      const hashes = [1, 2, 3, 4];
      const sliding = {
        group_idx: 0,
        kv_cache_spec_kind: 'sliding_window',
        kv_cache_spec_sliding_window: 17,
      };
      const full = { group_idx: 1, kv_cache_spec_kind: 'full_attention' };
      apply(stored(hashes, prompt, sliding), stored(hashes, prompt, full));
      apply(removed([1, 2], { group_idx: 0 }));
      assert.equal(match(prompt), 4, 'only the last block is inside the window');
    });

    test('a group beyond the limit is counted and left out', () => {
      const { apply, index } = rig();
      const result = apply(stored([1], tokens(0, 16), { group_idx: 8 }));
      assert.equal(result.unknownEvents, 1);
      assert.deepEqual(index.residencies(SLOT), []);
    });

    test('a group beyond the limit never decides the prefix', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 32);
      const kind = { kv_cache_spec_kind: 'sliding_window', kv_cache_spec_sliding_window: 17 };
      const beyond = { group_idx: 9, kv_cache_spec_kind: 'full_attention' };
      const result = apply(stored([1, 2], prompt, kind), stored([1, 2], prompt, beyond));
      assert.deepEqual([result.blocksStored, result.unknownEvents], [2, 1]);
      assert.equal(match(prompt), 2);
    });

    test('adapter and cache salt separate prompts completely', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 32);
      const lora = { lora_name: 'sql', lora_id: 1 };
      apply(stored([1, 2], prompt, { ...lora, extra_keys: [['sql'], ['sql']] }));
      apply(stored([3, 4], prompt, { ...lora, extra_keys: [['sql', 'tenant'], ['sql']] }));
      apply(stored([5], prompt.slice(0, 16), { extra_keys: [['tenant']] }));
      apply(stored([6], prompt.slice(0, 16), { cache_salt: 'radix' }));
      assert.equal(match(prompt), 0);
      assert.equal(match(prompt, { adapter: 'sql' }), 2);
      assert.equal(match(prompt, { adapter: 'sql', cacheSalt: 'tenant' }), 2);
      assert.equal(match(prompt, { cacheSalt: 'tenant' }), 1);
      assert.equal(match(prompt, { cacheSalt: 'radix' }), 1);
      assert.equal(match(prompt, { adapter: 'tenant' }), 0);
      apply(removed([1]));
      assert.equal(match(prompt, { adapter: 'sql' }), 0);
      assert.equal(match(prompt, { adapter: 'sql', cacheSalt: 'tenant' }), 2);
    });

    test('an adapter known by number only never passes for the base model', () => {
      const { apply, match } = rig();
      apply(stored([1], tokens(0, 16), { lora_id: 7 }));
      assert.equal(match(tokens(0, 16)), 0);
    });

    test('multimodal keys and embeddings keep text requests from matching, and enter the chain', () => {
      const { apply, match, index } = rig();
      const prompt = tokens(0, 64);
      const digest = Buffer.from('abcd', 'hex');
      apply(stored([1, 2, 3], prompt.slice(0, 48), { extra_keys: [null, [['image', -4]], null] }));
      apply(
        stored([4], prompt.slice(48), { parent_block_hash: 3, extra_keys: [[digest, 'old-id']] }),
      );
      assert.equal(match(prompt), 1, 'text up to the image only');
      let key = namespaceSeed(SECRET, { pool: 'model', adapter: '', cacheSalt: '' });
      const block = (i: number) => Uint32Array.from(prompt.slice(16 * i, 16 * i + 16));
      const extras = [
        [],
        [encodeCbor(['image', -4])],
        [],
        [encodeCbor(digest), encodeCbor('old-id')],
      ];
      for (const [i, extra] of extras.entries()) {
        key = hashBlock(key, block(i), countedBytes(extra));
        assert.ok(index.has(SLOT, 0, key.low, key.high), `block ${i}`);
      }
    });

    test('larger engine blocks are split into canonical ones', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 128);
      apply(stored([1, 2], prompt, { block_size: 64 }));
      assert.equal(match(prompt), 8);
      assert.equal(
        match([...prompt.slice(0, 50), 9, 9]),
        0,
        'an engine reuses whole blocks of its own',
      );
      assert.equal(match([...prompt.slice(0, 112), 9, 9]), 4);
      apply(removed([2]));
      assert.equal(match(prompt), 4);
    });

    test('with pages of one token a canonical block counts once all its pages are there', () => {
      const { apply, match, index } = rig();
      const prompt = tokens(100, 40);
      const hash = (i: number) => 1000 + i;
      for (const [i, token] of prompt.entries()) {
        const parent = i === 0 ? null : hash(i - 1);
        apply(stored([hash(i)], [token], { block_size: 1, parent_block_hash: parent }));
        assert.equal(match(prompt), Math.floor((i + 1) / 16), `after page ${i}`);
      }
      apply(removed([hash(39), hash(38), hash(31)]));
      assert.equal(match(prompt), 1);
      apply(
        stored([hash(31)], prompt.slice(31, 32), { block_size: 1, parent_block_hash: hash(30) }),
      );
      assert.equal(match(prompt), 2, 'the page is back');
      apply(removed([hash(5)]));
      assert.equal(match(prompt), 0);
      apply(stored([hash(5)], prompt.slice(5, 6), { block_size: 1, parent_block_hash: hash(4) }));
      assert.equal(match(prompt), 2, 'an inner page is back as well');
      const branch = [...prompt.slice(0, 8), ...tokens(500, 8)];
      apply(
        stored(tokens(2000, 8), branch.slice(8), { block_size: 1, parent_block_hash: hash(7) }),
      );
      assert.equal(match(branch), 1, 'a branch shares the pages before it');
      apply(removed(tokens(1000, 40)), removed(tokens(2000, 8)));
      assert.deepEqual(index.residencies(SLOT), [], 'nothing is left behind');
    });

    test('pages that are no divisor of the canonical size join over borders', () => {
      const { apply, match, index } = rig();
      const prompt = tokens(0, 50);
      apply(stored([1, 2, 3, 4, 5], prompt, { block_size: 10 }));
      assert.equal(match(prompt), 3);
      apply(removed([2]));
      assert.equal(match(prompt), 0, 'page 2 lies across the first border');
      apply(stored([2], prompt.slice(10, 20), { block_size: 10, parent_block_hash: 1 }));
      assert.equal(match(prompt), 3);
      apply(removed([4]));
      assert.equal(match(prompt), 1, 'page 4 holds parts of blocks 2 and 3');
      apply(removed([1, 2, 3, 5]));
      assert.deepEqual(index.residencies(SLOT), []);
    });

    test('a hash that stands for another prefix now gives up what it told before', () => {
      const { apply, match } = rig();
      const page = tokens(50, 16);
      apply(stored([1, 9], [...tokens(0, 16), ...page]));
      apply(stored([2, 9], [...tokens(100, 16), ...page]));
      assert.equal(match([...tokens(100, 16), ...page]), 2);
      assert.equal(match([...tokens(0, 16), ...page]), 1);
      apply(removed([9]));
      assert.equal(match([...tokens(100, 16), ...page]), 1);
    });

    test('two engine blocks of the same request key: the last one to go removes it', () => {
      const { apply, match } = rig();
      const prompt = tokens(0, 16);
      apply(stored([1], prompt), stored([2], prompt), stored([3], prompt));
      apply(removed([2]), removed([1]));
      assert.equal(match(prompt), 1);
      apply(removed([3]));
      assert.equal(match(prompt), 0);
    });

    test('clearing drops every tier and group and keeps the windows for what comes next', () => {
      const { apply, match, index } = rig();
      const prompt = tokens(0, 32);
      const sliding = {
        group_idx: 1,
        kv_cache_spec_kind: 'sliding_window',
        kv_cache_spec_sliding_window: 17,
      };
      apply(stored([1, 2], prompt), stored([1, 2], prompt, sliding));
      apply(stored([1], prompt.slice(0, 16), { medium: 'CPU' }));
      const result = apply(['AllBlocksCleared'], stored([3], tokens(500, 16)));
      assert.ok(result.cleared);
      assert.equal(match(prompt), 0);
      assert.equal(index.residencies(SLOT).length, 1);
      assert.deepEqual([...index.windows(SLOT)], [[1, 1]]);
      const child = stored([5], prompt.slice(16), { parent_block_hash: 1 });
      assert.equal(apply(child).unknownParents, 1);
    });

    test('reset forgets, close drops the slot, and publishers do not touch each other', () => {
      const { applier, apply, match, index } = rig();
      const prompt = tokens(0, 16);
      applier.open(5, { pool: 'model', blockSize: BLOCK });
      applier.apply(5, frame(stored([1], prompt)));
      apply(stored([1], prompt));
      applier.reset(SLOT);
      assert.equal(match(prompt), 0);
      assert.equal(index.residencies(5).length, 1);
      apply(stored([1], prompt));
      assert.equal(match(prompt), 1);
      applier.close(SLOT);
      assert.deepEqual(index.residencies(SLOT), []);
      applier.close(77);
      assert.equal(index.residencies(5).length, 1);
    });

    test('a malformed frame changes nothing and says why', () => {
      const { applier, apply, match } = rig();
      const prompt = tokens(0, 16);
      apply(stored([1], prompt));
      const result = applier.apply(SLOT, frame(removed([1]), ['BlockRemoved', 5]));
      assert.equal(result.status, 'malformed');
      assert.equal(result.detail, 'event 1: block_hashes is a number, expected an array');
      assert.equal(match(prompt), 1);
      const bomb = applier.apply(SLOT, Buffer.alloc(512_000, 0x91));
      assert.deepEqual([bomb.status, bomb.blocksStored], ['malformed', 0]);
    });

    test('events that cannot be mapped are counted and skipped', () => {
      const { apply, index } = rig();
      const result = apply(
        stored([1], tokens(0, 10)),
        stored([1, 2, 3], tokens(0, 32)),
        stored([1], tokens(0, 16), { block_size: 0 }),
        stored([1], [[1, 2] as unknown as number], { block_size: 1 }),
        stored([1], tokens(0, 16), { extra_keys: [[2n ** 60n, 'x']] }),
        ['BlockMoved', 1],
      );
      assert.equal(result.unknownEvents, 6);
      assert.deepEqual(index.residencies(SLOT), []);
    });

    test('a full index is counted, a dead lock owner stops the frame', () => {
      const { applier, apply, index } = rig();
      index.refuse('full');
      assert.equal(apply(stored([1, 2], tokens(0, 32))).indexFull, 2);
      index.refuse('stuck');
      const result = applier.apply(SLOT, frame(stored([3, 4], tokens(50, 32))));
      assert.equal(result.status, 'index-stuck');
    });
  });
}
