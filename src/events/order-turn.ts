// One step of order.ts under way: the draft of the next state, the actions so far, and the few
// moves that live frames and replays share. Only order.ts and order-replay.ts use it.

import type { Random } from '#contracts/random.js';
import type { PublisherField } from '#contracts/shared-layout.js';
import {
  fingerprintOf,
  type OrderAction,
  type OrderFrame,
  type OrderState,
} from './order-state.js';

/** Pause before a second attempt, doubled for each further one; jitter takes off up to a half. */
const BACKOFF_FIRST_MS = 100;
/** Replays without progress before missing frames are given up: 0.7 s of pauses in all. */
export const REPLAY_ATTEMPTS_MAX = 4;
/** A replay that is silent for this long has failed; engines poll for requests every 100 ms. */
export const REPLAY_SILENCE_MS = 2000;
/** Fingerprints kept to recognise repeated frames without asking. */
const RECENT_FRAMES = 8;
/** A silent publisher is asked whether its last frame still is what we know. */
export const IDLE_CHECK_MS = 10_000;

export interface Turn {
  readonly draft: { -readonly [Field in keyof OrderState]: OrderState[Field] };
  readonly actions: OrderAction[];
  readonly nowMs: number;
  readonly random: Random;
}

export function count(turn: Turn, field: PublisherField, by: number): void {
  if (by > 0) turn.actions.push({ type: 'count', field, by });
}

export function apply(turn: Turn, frame: OrderFrame): void {
  const { draft } = turn;
  draft.nextSeq = frame.seq + 1;
  draft.recent = [...draft.recent.slice(1 - RECENT_FRAMES), fingerprintOf(frame.payload)];
  draft.attempts = 0;
  draft.hasContent = true;
  turn.actions.push({ type: 'apply', frame });
}

/** Applies a live frame, which also shows that the stream is alive. */
export function acceptLive(turn: Turn, frame: OrderFrame): void {
  const { draft } = turn;
  draft.lastLiveSeq = frame.seq;
  draft.fresh = false;
  draft.doubt = false;
  if (!draft.fullOwed) draft.checkAtMs = turn.nowMs + IDLE_CHECK_MS;
  apply(turn, frame);
}

/** Begins with a frame although what came before it is not known (unless it is the first). */
export function startAt(turn: Turn, frame: OrderFrame): void {
  const { draft } = turn;
  drop(turn);
  count(turn, 'framesLost', frame.seq >= draft.nextSeq ? frame.seq - draft.nextSeq : frame.seq);
  draft.complete = frame.seq === 0;
  draft.reason = `frames before ${frame.seq} are not known`;
  draft.started = true;
  draft.recent = [];
  acceptLive(turn, frame);
}

export function drop(turn: Turn): void {
  const { draft } = turn;
  if (draft.hasContent) turn.actions.push({ type: 'drop-generation' });
  draft.hasContent = false;
  draft.complete = false;
  draft.cleanFrames = 0;
}

/**
 * Asks for what follows the last applied frame, or for everything. The last applied frame is asked
 * for once more: its bytes prove that this still is the same engine process, even when a new one
 * happens to have reached the same number.
 */
export function requestReplay(turn: Turn, quiet: boolean): void {
  const { draft } = turn;
  const full = !draft.started || draft.recent.length === 0;
  const pause = draft.attempts === 0 ? 0 : BACKOFF_FIRST_MS * 2 ** (draft.attempts - 1);
  const delayMs = pause * (1 - turn.random.next() / 2);
  draft.attempts = Math.min(draft.attempts + 1, REPLAY_ATTEMPTS_MAX);
  draft.again = false;
  draft.replay = {
    kind: full ? 'full' : 'continue',
    quiet,
    answered: false,
    broken: false,
    deadlineMs: turn.nowMs + delayMs + REPLAY_SILENCE_MS,
  };
  turn.actions.push({ type: 'request-replay', fromSeq: full ? 0 : draft.nextSeq - 1, delayMs });
  if (!quiet) count(turn, 'replays', 1);
}

/** Another engine process sends now: nothing that the former one told is true any more. */
export function noteRestart(turn: Turn, reason: string): void {
  count(turn, 'restarts', 1);
  turn.draft.restartedAtMs = turn.nowMs;
  turn.draft.attempts = 0;
  forget(turn, reason);
}

/** Drops the content and the position in the stream. */
export function forget(turn: Turn, reason: string): void {
  const { draft } = turn;
  drop(turn);
  draft.reason = reason;
  draft.started = false;
  draft.nextSeq = 0;
  draft.recent = [];
  draft.lastLiveSeq = -1;
  draft.suspectSeq = -1;
  draft.repeatedSeq = -1;
  draft.doubt = false;
  draft.replay = null;
}

/** Begins from nothing, as on first contact. */
export function beginAnew(turn: Turn, reason: string): void {
  const { draft } = turn;
  forget(turn, reason);
  draft.dead = false;
  draft.conflictUntilMs = null;
  draft.malformedRun = 0;
  draft.attempts = 0;
  if (!draft.hasReplay) return;
  turn.actions.push({ type: 'discard-queued' });
  requestReplay(turn, false);
}
