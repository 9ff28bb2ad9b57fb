// Event frames for the benchmarks, as engines publish them: the recorded golden streams, and a
// generated mix of the shape of a busy vLLM endpoint. Everything comes from seeds, so every run
// sees the same bytes.

import { readFileSync } from 'node:fs';
import { type Random, seededRandom } from '#contracts/random.js';
import { goldenFile } from '#test/support/paths.js';
import { encodeEventBatch, type MsgpackValue } from '#wire/msgpack-encode.js';

export const ENGINE_BLOCK = 16;

/** Frames of one publisher, in stream order. */
export interface FrameStream {
  readonly frames: readonly Uint8Array[];
  /** Stored blocks and events in them. */
  readonly blocks: number;
  readonly events: number;
}

/** Recorded streams, one per engine in them. Blocks and events are counted by the caller. */
export function goldenStreams(name: string): readonly (readonly Uint8Array[])[] {
  const byEngine = new Map<string, Uint8Array[]>();
  for (const line of readFileSync(goldenFile(name), 'utf8').split('\n')) {
    if (!line.includes('"type":"frame"')) continue;
    const { pod, payload } = JSON.parse(line) as { pod: string; payload: string };
    const frames = byEngine.get(pod) ?? [];
    byEngine.set(pod, frames);
    frames.push(Buffer.from(payload, 'base64'));
  }
  return [...byEngine.values()];
}

/** A chain that decode stores go on extending. */
interface Sequence {
  last: bigint;
}

/** Live blocks at which the engine begins to evict: 16,000 blocks of 16 tokens are 256k tokens. */
const LIVE_BLOCKS_MAX = 16_000;
const SEQUENCES_MAX = 64;
const TOKEN_IDS = 150_000;

/**
 * Batches of 3.2 events on average, about 36 stored blocks and 2.6 KB: 45 % one-block stores that
 * extend a sequence (decoding), 40 % stores of 8 to 64 blocks from a root (prefill), and 15 %
 * removals of 1 to 32 hashes, oldest first.
 */
export function mixedStream(batches: number, seed: number): FrameStream {
  const random = seededRandom(seed);
  const state: MixState = { random, live: [], head: 0, sequences: [], hashes: 0n };
  const frames: Uint8Array[] = [];
  let blocks = 0;
  let events = 0;
  for (let batch = 0; batch < batches; batch += 1) {
    const count = 1 + between(random, 0, 4) + (random.next() < 0.2 ? 1 : 0);
    const encoded: MsgpackValue[] = [];
    for (let i = 0; i < count; i += 1) {
      const { event, stored } = nextEvent(state);
      encoded.push(event);
      blocks += stored;
      events += 1;
    }
    frames.push(
      encodeEventBatch({
        timestamp: 1_700_000_000 + batch / 100,
        events: encoded,
        dataParallelRank: 0,
      }),
    );
  }
  return { frames, blocks, events };
}

interface MixState {
  readonly random: Random;
  /** Hashes the engine holds, oldest first from `head` on. */
  readonly live: bigint[];
  head: number;
  readonly sequences: Sequence[];
  hashes: bigint;
}

interface MixEvent {
  readonly event: MsgpackValue;
  readonly stored: number;
}

function nextEvent(state: MixState): MixEvent {
  const { random, sequences } = state;
  const held = state.live.length - state.head;
  const draw = random.next();
  if (held > LIVE_BLOCKS_MAX || (draw < 0.15 && held > LIVE_BLOCKS_MAX / 2)) return removal(state);
  const sequence = sequences[between(random, 0, sequences.length - 1)];
  if (draw < 0.6 && sequence !== undefined) return stored(state, sequence, 1);
  const fresh: Sequence = { last: 0n };
  if (sequences.length < SEQUENCES_MAX) sequences.push(fresh);
  else sequences[between(random, 0, SEQUENCES_MAX - 1)] = fresh;
  return stored(state, fresh, between(random, 8, 64));
}

function removal(state: MixState): MixEvent {
  const count = between(state.random, 1, 32);
  const removed = state.live.slice(state.head, state.head + count);
  state.head += removed.length;
  return { event: ['BlockRemoved', removed, 'GPU'], stored: 0 };
}

function stored(state: MixState, sequence: Sequence, count: number): MixEvent {
  const hashes = Array.from({ length: count }, () => nextHash(state));
  const parent = sequence.last === 0n ? null : sequence.last;
  sequence.last = hashes.at(-1) ?? 0n;
  state.live.push(...hashes);
  const tokenIds = Array.from({ length: count * ENGINE_BLOCK }, () =>
    between(state.random, 0, TOKEN_IDS),
  );
  return { event: storedEvent(hashes, parent, tokenIds), stored: count };
}

/** The array form of vLLM up to 0.23, with its two trailing fields. */
export function storedEvent(
  hashes: readonly bigint[],
  parent: bigint | null,
  tokenIds: readonly number[],
): MsgpackValue {
  return ['BlockStored', hashes, parent, tokenIds, ENGINE_BLOCK, null, 'GPU', null, null];
}

/** Distinct and spread over 64 bits, as real hashes are (a multiplication by an odd number). */
function nextHash(state: MixState): bigint {
  state.hashes += 1n;
  return BigInt.asUintN(64, state.hashes * 0x9e37_79b9_7f4a_7c15n);
}

function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random.next() * (most - least + 1));
}
