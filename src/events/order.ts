// Puts one publisher's frames into order: a pure step from state and event to state and actions.
// The event pipeline and `verify` drive it. Invariants: within one generation frames are applied in
// sequence without repetition; a missing frame is always followed by a replay or by dropping what
// was known; what an engine process told never outlives it. Reasons: docs/internals/events.md.

import { assertNever } from '#contracts/assert.js';
import type { Random } from '#contracts/random.js';
import { replayEnded, replayedFrame, replayFailed } from './order-replay.js';
import {
  type AppliedOutcome,
  fingerprintOf,
  type OrderAction,
  type OrderEvent,
  type OrderFrame,
  type OrderState,
  phaseOf,
  wakeAtOf,
} from './order-state.js';
import {
  acceptLive,
  beginAnew,
  count,
  drop,
  forget,
  IDLE_CHECK_MS,
  noteRestart,
  REPLAY_ATTEMPTS_MAX,
  requestReplay,
  startAt,
  type Turn,
} from './order-turn.js';

/** After connecting, frames published before the subscription took hold are asked for once. */
const SETTLE_CHECK_MS = 1000;
/** Frames in a row without anything unknown after which partial knowledge counts as whole. */
const CLEAN_FRAMES = 1000;
/** Undecodable frames in a row after which a publisher is not listened to any more. */
const MALFORMED_FRAMES_MAX = 64;
/** This many contradictions within the window mean two publishers on one stream. */
const ODD_FRAMES = 4;
const ODD_WINDOW_MS = 10_000;
/** A stream with two publishers is tried again after this. */
const CONFLICT_MS = 30_000;
/** A restart reported by the fleet within this time of one seen here is the same restart. */
const RESTART_ECHO_MS = 10_000;

export interface OrderStep {
  readonly state: OrderState;
  readonly actions: readonly OrderAction[];
}

/** Takes one event; never throws for anything the outside world can cause. */
export function step(
  state: OrderState,
  event: OrderEvent,
  nowMs: number,
  random: Random,
): OrderStep {
  if (event.type === 'applied' && isUnremarkable(state, event.outcome)) {
    return { state, actions: [] };
  }
  const turn: Turn = { draft: { ...state }, actions: [], nowMs, random };
  take(turn, event);
  const { draft, actions } = turn;
  draft.phase = phaseOf(draft);
  if (draft.phase === 'live') draft.reason = '';
  draft.wakeAtMs = wakeAtOf(draft);
  return { state: draft, actions };
}

/** Applied frames change nothing while a complete publisher is decoded well. */
function isUnremarkable(state: OrderState, outcome: AppliedOutcome): boolean {
  return state.complete && !outcome.malformed && state.malformedRun === 0;
}

function take(turn: Turn, event: OrderEvent): void {
  switch (event.type) {
    case 'connected':
      connected(turn);
      break;
    case 'disconnected':
      disconnected(turn);
      break;
    case 'frame':
      liveFrame(turn, event.frame);
      break;
    case 'replay-frame':
      replayedFrame(turn, event.frame);
      break;
    case 'replay-end':
      replayEnded(turn);
      break;
    case 'replay-failed':
      replayFailed(turn, event.reason);
      break;
    case 'overflow':
      overflowed(turn);
      break;
    case 'tick':
      tick(turn);
      break;
    case 'engine-restarted':
      engineRestarted(turn);
      break;
    case 'rebuild':
      beginAnew(turn, event.reason);
      break;
    case 'applied':
      applied(turn, event.outcome);
      break;
    default:
      assertNever(event);
  }
}

function connected(turn: Turn): void {
  const { draft } = turn;
  draft.connected = true;
  draft.stale = false;
  draft.lastLiveSeq = -1;
  draft.fresh = true;
  draft.attempts = 0;
  draft.oddAtMs = [];
  // A restart reported from now on is that of the process behind this connection.
  draft.restartedAtMs = Number.NEGATIVE_INFINITY;
  if (draft.dead) return;
  draft.reason = draft.started ? 'reconnected' : 'first contact';
  if (!draft.hasReplay) {
    draft.conflictUntilMs = null;
    // What was missed while the connection was down shows only with the next frame.
    draft.doubt = draft.hasContent;
    return;
  }
  draft.conflictUntilMs = null;
  draft.checkAtMs = turn.nowMs + SETTLE_CHECK_MS;
  // Everything received before the request is in the engine's replay buffer as well.
  turn.actions.push({ type: 'discard-queued' });
  requestReplay(turn, false);
}

function disconnected(turn: Turn): void {
  const { draft } = turn;
  if (!draft.connected) return;
  draft.connected = false;
  draft.disconnectedAtMs = turn.nowMs;
}

function liveFrame(turn: Turn, frame: OrderFrame): void {
  const { draft } = turn;
  if (draft.dead || draft.conflictUntilMs !== null) return;
  if (draft.replay !== null) turn.actions.push({ type: 'hold' });
  else if (!draft.started) startAt(turn, frame);
  else if (frame.seq > draft.nextSeq) gap(turn, frame);
  else if (frame.seq < draft.nextSeq) backwards(turn, frame);
  else acceptLive(turn, frame);
}

function gap(turn: Turn, frame: OrderFrame): void {
  const { draft } = turn;
  if (draft.attempts === 0) count(turn, 'gaps', 1);
  if (draft.hasReplay && draft.attempts < REPLAY_ATTEMPTS_MAX) {
    draft.doubt = true;
    draft.reason = `frames ${draft.nextSeq} to ${frame.seq - 1} are missing`;
    turn.actions.push({ type: 'hold' });
    requestReplay(turn, false);
    return;
  }
  giveUpReplay(turn);
  startAt(turn, frame);
}

/** The frame at hand must be used without a replay. */
function giveUpReplay(turn: Turn): void {
  const { draft } = turn;
  // A replay buffer of no length answers, but never with a frame.
  if (draft.emptyReplays >= REPLAY_ATTEMPTS_MAX) draft.hasReplay = false;
  draft.fullOwed = draft.hasReplay;
  draft.checkAtMs = turn.nowMs + IDLE_CHECK_MS;
}

function backwards(turn: Turn, frame: OrderFrame): void {
  const { draft } = turn;
  if (isRepetition(draft, frame)) {
    draft.lastLiveSeq = Math.max(draft.lastLiveSeq, frame.seq);
    draft.repeatedSeq = -1;
    count(turn, 'framesDuplicate', 1);
    return;
  }
  if (!draft.fresh && draft.attempts === 0 && isOddTooOften(turn)) {
    conflict(turn);
    return;
  }
  if (draft.hasReplay && draft.attempts < REPLAY_ATTEMPTS_MAX) {
    draft.suspectSeq = frame.seq;
    draft.reason = `frame ${frame.seq} arrived where ${draft.nextSeq} was due`;
    turn.actions.push({ type: 'hold' });
    requestReplay(turn, false);
    return;
  }
  giveUpReplay(turn);
  noteRestart(turn, `the sequence went back from ${draft.nextSeq} to ${frame.seq}`);
  startAt(turn, frame);
}

/** True for a frame that a replay brought earlier, or that its sender has sent twice. */
function isRepetition(state: OrderState, frame: OrderFrame): boolean {
  if (frame.seq === state.repeatedSeq) return true;
  const known = state.recent[state.recent.length - (state.nextSeq - frame.seq)];
  if (known !== undefined) {
    return known === fingerprintOf(frame.payload) && (state.hasReplay || !state.fresh);
  }
  return state.hasReplay && frame.seq > state.lastLiveSeq;
}

function isOddTooOften(turn: Turn): boolean {
  const { draft, nowMs } = turn;
  const recent = draft.oddAtMs.filter((atMs) => atMs > nowMs - ODD_WINDOW_MS);
  draft.oddAtMs = [...recent, nowMs];
  return draft.oddAtMs.length >= ODD_FRAMES;
}

/** Nothing of a stream with two publishers can be told apart, so nothing of it is believed. */
function conflict(turn: Turn): void {
  const { draft } = turn;
  forget(turn, 'two publishers seem to send on this stream');
  draft.oddAtMs = [];
  draft.conflictUntilMs = turn.nowMs + CONFLICT_MS;
  turn.actions.push({ type: 'cancel-replay' }, { type: 'discard-queued' });
}

function overflowed(turn: Turn): void {
  const { draft } = turn;
  if (draft.dead || draft.conflictUntilMs !== null) return;
  count(turn, 'gaps', 1);
  draft.reason = 'the queue of waiting frames was full';
  draft.doubt = draft.hasContent;
  if (draft.replay !== null) draft.again = true;
  else if (draft.hasReplay) requestReplay(turn, false);
  else {
    // Removals may have been among what was lost.
    drop(turn);
    draft.started = false;
  }
}

function tick(turn: Turn): void {
  const { draft, nowMs } = turn;
  if (draft.dead) return;
  if (!draft.connected && nowMs >= draft.disconnectedAtMs + draft.staleAfterMs) {
    draft.stale = true;
    draft.reason = 'no connection to the event socket';
  }
  if (draft.conflictUntilMs !== null) {
    if (nowMs >= draft.conflictUntilMs) beginAnew(turn, 'trying a shared stream again');
  } else if (draft.replay !== null) {
    if (nowMs < draft.replay.deadlineMs) return;
    turn.actions.push({ type: 'cancel-replay' });
    replayFailed(turn, 'no answer');
  } else if (draft.connected && draft.hasReplay && nowMs >= draft.checkAtMs) {
    check(turn);
  }
}

/** Asks an idle publisher for its last frame, and for everything where that is still owed. */
function check(turn: Turn): void {
  const { draft } = turn;
  draft.checkAtMs = turn.nowMs + IDLE_CHECK_MS;
  draft.attempts = 0;
  if (draft.fullOwed) draft.recent = [];
  requestReplay(turn, true);
}

function engineRestarted(turn: Turn): void {
  const { draft } = turn;
  const seenHere = !draft.dead && turn.nowMs - draft.restartedAtMs < RESTART_ECHO_MS;
  if (!seenHere) {
    count(turn, 'restarts', 1);
    draft.restartedAtMs = turn.nowMs;
    // Waiting frames may be the former process's; without a replay too they are better lost.
    turn.actions.push({ type: 'discard-queued' });
    beginAnew(turn, 'the engine was restarted');
  } else if (draft.hasReplay && draft.connected && draft.replay === null) {
    requestReplay(turn, true);
  }
}

function applied(turn: Turn, outcome: AppliedOutcome): void {
  const { draft } = turn;
  if (draft.dead) return;
  if (outcome.malformed) {
    malformed(turn);
    return;
  }
  draft.malformedRun = 0;
  draft.cleanFrames = outcome.unknown ? 0 : draft.cleanFrames + 1;
  // Unknown blocks only make us promise too little; once the stream no longer mentions any, the
  // engine has turned its cache over since the loss.
  if (outcome.cleared || draft.cleanFrames >= CLEAN_FRAMES) draft.complete = true;
}

/** What the frame said is lost, and no replay would bring it back in another form. */
function malformed(turn: Turn): void {
  const { draft } = turn;
  drop(turn);
  count(turn, 'framesLost', 1);
  draft.malformedRun += 1;
  draft.reason = 'a frame could not be decoded';
  if (draft.malformedRun < MALFORMED_FRAMES_MAX) return;
  draft.dead = true;
  draft.replay = null;
  draft.reason = `${MALFORMED_FRAMES_MAX} frames in a row could not be decoded`;
  turn.actions.push({ type: 'cancel-replay' }, { type: 'discard-queued' });
}
