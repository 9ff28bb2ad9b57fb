// What order.ts remembers of one publisher, what may happen to it and what it asks for in return.
// Data only: the state is replaced by every step, never changed in place, and `phaseOf` derives
// from it the publisher state that scoring sees.

import type { PublisherState } from '#contracts/endpoint.js';
import type { PublisherField } from '#contracts/shared-layout.js';

/** One event frame; `seq` is a safe integer, checked where it was received. */
export interface OrderFrame {
  readonly seq: number;
  readonly payload: Uint8Array;
}

/** What applying a frame showed (part of `ApplyResult`). */
export interface AppliedOutcome {
  readonly malformed: boolean;
  readonly cleared: boolean;
  /** The frame spoke of a block or parent that is not known here. */
  readonly unknown: boolean;
}

export type OrderEvent =
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected' }
  /** The next live frame. After the action `hold` the same frame is offered again. */
  | { readonly type: 'frame'; readonly frame: OrderFrame }
  | { readonly type: 'replay-frame'; readonly frame: OrderFrame }
  | { readonly type: 'replay-end' }
  | { readonly type: 'replay-failed'; readonly reason: string }
  /** The queue of live frames was full and has been emptied. */
  | { readonly type: 'overflow' }
  /** Time has reached `wakeAtMs`. */
  | { readonly type: 'tick' }
  /** The fleet saw the engine's start time move. */
  | { readonly type: 'engine-restarted' }
  /** The index lost this publisher's content (block size changed, index cleared). */
  | { readonly type: 'rebuild'; readonly reason: string }
  /** Answer to an `apply` action. */
  | { readonly type: 'applied'; readonly outcome: AppliedOutcome };

export type OrderAction =
  | { readonly type: 'apply'; readonly frame: OrderFrame }
  | { readonly type: 'drop-generation' }
  /** Ask the replay socket, after `delayMs`; an earlier request is abandoned. */
  | { readonly type: 'request-replay'; readonly fromSeq: number; readonly delayMs: number }
  | { readonly type: 'cancel-replay' }
  /** Keep the live frame just offered; offer it again when `acceptsLive`. */
  | { readonly type: 'hold' }
  /** Throw away waiting live frames: the replay asked for now covers them. */
  | { readonly type: 'discard-queued' }
  | { readonly type: 'count'; readonly field: PublisherField; readonly by: number };

export interface ReplayProgress {
  /** `full` replaces the content from frame 0; `continue` goes on behind the last applied frame. */
  readonly kind: 'full' | 'continue';
  /** A routine check of an idle publisher: the state shown does not change. */
  readonly quiet: boolean;
  /** full: the first reply came. continue: the reply began with the last applied frame. */
  readonly answered: boolean;
  /** A frame was missing inside the reply: the rest of it is ignored. */
  readonly broken: boolean;
  readonly deadlineMs: number;
}

export interface OrderState {
  readonly phase: PublisherState;
  /** Why it is not live, for /status and the log; empty when live. */
  readonly reason: string;
  readonly hasReplay: boolean;
  readonly staleAfterMs: number;
  readonly connected: boolean;
  readonly disconnectedAtMs: number;
  readonly stale: boolean;
  readonly dead: boolean;
  /** False until a first frame or an empty replay told where the stream stands. */
  readonly started: boolean;
  /** Something was applied to the current generation. */
  readonly hasContent: boolean;
  /** The content is all the engine holds; false after frames were lost for good. */
  readonly complete: boolean;
  /** Frames in a row, since content was lost, that spoke of nothing unknown. */
  readonly cleanFrames: number;
  readonly nextSeq: number;
  /** Highest live frame of this connection, −1 before the first. */
  readonly lastLiveSeq: number;
  /** No live frame of this connection was applied yet. */
  readonly fresh: boolean;
  /** Fingerprints of the last applied frames, ending with `nextSeq − 1`. */
  readonly recent: readonly number[];
  readonly replay: ReplayProgress | null;
  /** Another replay is due when the running one ends. */
  readonly again: boolean;
  /** Replays asked for without a frame applied since. */
  readonly attempts: number;
  /** The content may lag behind the engine: a gap is open, or a reconnect is unproven. */
  readonly doubt: boolean;
  /** Frame that went backwards and is being judged by a replay; −1 for none. */
  readonly suspectSeq: number;
  /** Frame that a replay has shown to be a repetition; −1 for none. */
  readonly repeatedSeq: number;
  /** A full replay could not be had and is tried again at the next check. */
  readonly fullOwed: boolean;
  /** Replays in a row that ended well without a single frame. */
  readonly emptyReplays: number;
  readonly malformedRun: number;
  /** Times of the latest frames that contradict their own stream. */
  readonly oddAtMs: readonly number[];
  /** While set, two publishers seem to share the stream and nothing is applied. */
  readonly conflictUntilMs: number | null;
  readonly restartedAtMs: number;
  readonly checkAtMs: number;
  /** The next `tick` is due then; Infinity for none. */
  readonly wakeAtMs: number;
}

export interface OrderOptions {
  readonly hasReplay: boolean;
  /** A connection down for longer makes the publisher stale. */
  readonly staleAfterMs: number;
}

/** State of a publisher nobody has heard of yet. */
export function initialOrderState(options: OrderOptions, nowMs: number): OrderState {
  return {
    phase: 'cold',
    reason: 'not connected yet',
    hasReplay: options.hasReplay,
    staleAfterMs: options.staleAfterMs,
    connected: false,
    disconnectedAtMs: nowMs,
    stale: false,
    dead: false,
    started: false,
    hasContent: false,
    complete: false,
    cleanFrames: 0,
    nextSeq: 0,
    lastLiveSeq: -1,
    fresh: true,
    recent: [],
    replay: null,
    again: false,
    attempts: 0,
    doubt: false,
    suspectSeq: -1,
    repeatedSeq: -1,
    fullOwed: false,
    emptyReplays: 0,
    malformedRun: 0,
    oddAtMs: [],
    conflictUntilMs: null,
    restartedAtMs: Number.NEGATIVE_INFINITY,
    checkAtMs: Number.POSITIVE_INFINITY,
    wakeAtMs: nowMs + options.staleAfterMs,
  };
}

/** True when the next live frame may be offered; otherwise it waits in its queue. */
export function acceptsLive(state: OrderState): boolean {
  return state.replay === null;
}

/** The publisher state that scoring sees. */
export function phaseOf(state: OrderState): PublisherState {
  if (state.dead) return 'dead';
  if (state.stale) return 'stale';
  if (state.conflictUntilMs !== null) return 'gapped';
  if (state.replay !== null && !state.replay.quiet) {
    return state.doubt && state.hasContent ? 'gapped' : 'replaying';
  }
  if (!state.started) return 'cold';
  return state.doubt || !state.complete ? 'gapped' : 'live';
}

/** When time alone changes something next. */
export function wakeAtOf(state: OrderState): number {
  if (state.dead) return Number.POSITIVE_INFINITY;
  let wakeAtMs = state.conflictUntilMs ?? Number.POSITIVE_INFINITY;
  if (state.replay !== null) wakeAtMs = Math.min(wakeAtMs, state.replay.deadlineMs);
  else if (state.connected && state.hasReplay) wakeAtMs = Math.min(wakeAtMs, state.checkAtMs);
  if (!state.connected && !state.stale) {
    wakeAtMs = Math.min(wakeAtMs, state.disconnectedAtMs + state.staleAfterMs);
  }
  return wakeAtMs;
}

/**
 * Fingerprint of a payload: FNV-1a over its length, first and last bytes. The batch's timestamp
 * stands in front, so two engine processes never publish the same.
 */
export function fingerprintOf(payload: Uint8Array): number {
  const edge = 64;
  let hash = (0x811c9dc5 ^ payload.length) >>> 0;
  const head = Math.min(edge, payload.length);
  for (let at = 0; at < head; at++) hash = Math.imul(hash ^ (payload[at] ?? 0), 0x01000193);
  for (let at = Math.max(head, payload.length - edge); at < payload.length; at++) {
    hash = Math.imul(hash ^ (payload[at] ?? 0), 0x01000193);
  }
  return hash >>> 0;
}
