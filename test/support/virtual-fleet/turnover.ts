// Conversations in virtual time over engines whose caches are too small for all of them, until the
// engines have evicted a given share of what they stored. For every request: what it was predicted to
// reuse and what it did. The same seed gives the same conversations whichever way predictions are made.

import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import { type Random, seededRandom } from '#contracts/random.js';
import { VirtualFleet } from '#test/support/virtual-fleet/fleet.js';

export interface TurnoverOptions {
  readonly seed: number;
  readonly endpoints: number;
  /** Blocks that an engine can hold, vLLM's null block included. */
  readonly gpuBlocks: number;
  /** Whether the engines publish events; otherwise the router goes by histories. */
  readonly events: boolean;
  /** Requests at the same time; an answer is followed by the next request. */
  readonly concurrency: number;
  /** Conversations open at the same time. */
  readonly conversations: number;
  /** Whether to send one more request, by those sent and by blocks evicted to blocks stored. */
  readonly goOn: (sent: number, turnover: number) => boolean;
}

/** One request that was answered. */
export interface TurnoverSample {
  /** Position among those sent. */
  readonly number: number;
  readonly promptTokens: number;
  readonly predicted: number;
  readonly reused: number;
}

export interface TurnoverResult {
  /** In the order they were answered. */
  readonly samples: readonly TurnoverSample[];
  /** Blocks that the engines evicted, to those they stored, from empty caches on. */
  readonly turnover: number;
}

/** Until events are applied and a client has read its answer. */
const PAUSE_MS = 10;
const SYSTEMS = 16;
const SYSTEM_TOKENS = 160;
const TURN_TOKENS = 64;
const OUTPUT_TOKENS = 40;
const TURNS_MAX = 8;
const LIMIT_MS = 3_600_000;

interface Conversation {
  tokenIds: readonly number[];
  turns: number;
  isAnswered: boolean;
}

/** Runs from empty caches until `goOn` says no and all are answered. */
export function runTurnover(options: TurnoverOptions): TurnoverResult {
  const { seed, endpoints, gpuBlocks, events } = options;
  const fleet = new VirtualFleet({
    endpoints,
    policy: singleProfilePolicy(POLICY_PROFILES.precise),
    random: seededRandom(seed),
    events,
    engine: { gpuBlocks },
  });
  const samples: TurnoverSample[] = [];
  const nextTurn = conversations(seededRandom(seed + 1), options.conversations);
  let sent = 0;
  let lanes = options.concurrency;
  const send = (): void => {
    if (!options.goOn(sent, fleet.engines.turnover())) {
      lanes -= 1;
      return;
    }
    const number = sent;
    sent += 1;
    const conversation = nextTurn();
    const { tokenIds } = conversation;
    fleet.send({ tokenIds, outputTokens: OUTPUT_TOKENS }, (answer) => {
      if (answer.status !== 200) throw new Error(`a request was answered ${answer.status}`);
      const { predictedTokens: predicted, cachedTokens: reused } = answer;
      samples.push({ number, promptTokens: tokenIds.length, predicted, reused });
      conversation.tokenIds = [...tokenIds, ...answer.tokenIds];
      conversation.isAnswered = true;
      fleet.clock.after(PAUSE_MS, send);
    });
  };
  for (let lane = 0; lane < options.concurrency; lane += 1) send();
  for (let ms = 0; lanes > 0; ms += PAUSE_MS) {
    if (ms > LIMIT_MS) throw new Error('the engines do not evict that much');
    fleet.clock.advance(PAUSE_MS);
  }
  return { samples, turnover: fleet.engines.turnover() };
}

/** Each call is a conversation's next turn; the user's words are in its prompt, the answer is not. */
function conversations(random: Random, count: number): () => Conversation {
  const tokens = (length: number): readonly number[] =>
    Array.from({ length }, () => Math.floor(random.next() * 100_000));
  const systems = Array.from({ length: SYSTEMS }, () => tokens(SYSTEM_TOKENS));
  const open: (Conversation | undefined)[] = [];
  const chosen = (): number => {
    // Nobody asks again before the answer has come.
    for (;;) {
      const at = Math.floor(random.next() * count);
      if (open[at]?.isAnswered !== false) return at;
    }
  };
  return () => {
    const at = chosen();
    const system = systems[Math.floor(random.next() * SYSTEMS)] ?? [];
    const before = open[at];
    const conversation =
      before === undefined || before.turns === TURNS_MAX
        ? { tokenIds: system, turns: 0, isAnswered: true }
        : before;
    open[at] = conversation;
    conversation.tokenIds = [...conversation.tokenIds, ...tokens(TURN_TOKENS)];
    conversation.turns += 1;
    conversation.isAnswered = false;
    return conversation;
  };
}
