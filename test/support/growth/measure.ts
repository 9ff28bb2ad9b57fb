// Measures what a loop of calls leaves behind in a process. Loaded with `--expose-gc`.

import { setImmediate as nextTurn } from 'node:timers/promises';

/** One loop of calls that must not make the process grow. */
export interface GrowthCase {
  readonly name: string;
  /** Turns of one measured round. */
  readonly turns: number;
  readonly call: (turn: number) => void | Promise<void>;
}

/** Cases over objects that are opened first and closed in the end. */
export interface GrowthCases {
  readonly cases: readonly GrowthCase[];
  readonly close: () => void | Promise<void>;
}

export interface Growth {
  readonly name: string;
  readonly turns: number;
  /** Bytes of the round that left the fewest behind. */
  readonly bytes: number;
}

/** Bytes a round may leave behind by chance: a page here and there, an allocator's arena. */
export const GROWTH_MAX = 8_000_000;
/** A leak shows in every round, chance does not. */
const ROUNDS_MAX = 4;
/** Turns between two collections of the event loop. */
const TURNS_AT_ONCE = 500;

/** Runs a round that does not count, for what grows once, then rounds until one leaves nothing. */
export async function measureGrowth(one: GrowthCase): Promise<Growth> {
  const turns = Math.ceil(one.turns);
  await repeat(one, Math.ceil(turns / 2));
  let bytes = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS_MAX && bytes >= GROWTH_MAX; round += 1) {
    const before = await nativeBytes();
    await repeat(one, turns);
    bytes = Math.min(bytes, (await nativeBytes()) - before);
  }
  return { name: one.name, turns, bytes };
}

async function repeat({ call }: GrowthCase, turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    const waiting = call(turn);
    if (waiting !== undefined) await waiting;
    if (turn % TURNS_AT_ONCE === TURNS_AT_ONCE - 1) await nextTurn();
  }
}

/** Memory of the process that is not JavaScript's heap, after a collection. */
async function nativeBytes(): Promise<number> {
  // References from native code are given back in a later turn.
  for (let i = 0; i < 3; i += 1) {
    globalThis.gc?.();
    await nextTurn();
  }
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}
