// What replies of the replay socket do to a publisher's order. A reply to `continue` must begin
// with the last applied frame, byte for byte; anything else means that the engine process or its
// buffer has moved on, and what was known before is dropped.

import type { OrderFrame, ReplayProgress } from './order-state.js';
import { fingerprintOf } from './order-state.js';
import {
  apply,
  count,
  drop,
  IDLE_CHECK_MS,
  noteRestart,
  REPLAY_ATTEMPTS_MAX,
  REPLAY_SILENCE_MS,
  requestReplay,
  type Turn,
} from './order-turn.js';

export function replayedFrame(turn: Turn, frame: OrderFrame): void {
  const { draft } = turn;
  if (draft.replay === null) return;
  const replay = { ...draft.replay, deadlineMs: turn.nowMs + REPLAY_SILENCE_MS };
  draft.replay = replay;
  draft.emptyReplays = 0;
  if (replay.broken) return;
  if (!replay.answered) begin(turn, frame, replay);
  else if (frame.seq === draft.nextSeq) apply(turn, frame);
  else if (frame.seq > draft.nextSeq) draft.replay = { ...replay, broken: true };
}

function begin(turn: Turn, frame: OrderFrame, replay: ReplayProgress): void {
  const { draft } = turn;
  const anchorSeq = draft.nextSeq - 1;
  if (replay.kind === 'full' || frame.seq > anchorSeq) {
    replaceContent(turn, frame, replay);
  } else if (frame.seq === anchorSeq) {
    if (fingerprintOf(frame.payload) === draft.recent.at(-1)) {
      draft.replay = { ...replay, answered: true };
    } else {
      restart(turn, `frame ${frame.seq} is not the one known before`);
    }
  }
}

/** The reply is the whole stream, or what the engine's buffer still holds of it. */
function replaceContent(turn: Turn, frame: OrderFrame, replay: ReplayProgress): void {
  const { draft } = turn;
  const knownSeq = replay.kind === 'full' ? 0 : draft.nextSeq;
  drop(turn);
  count(turn, 'framesLost', frame.seq - knownSeq);
  draft.replay = { ...replay, answered: true };
  draft.started = true;
  draft.complete = frame.seq === 0;
  draft.fullOwed = false;
  draft.recent = [];
  draft.reason = `frames before ${frame.seq} are no longer in the engine's replay buffer`;
  apply(turn, frame);
}

export function replayEnded(turn: Turn): void {
  const { draft } = turn;
  const { replay } = draft;
  if (replay === null) return;
  if (!replay.answered) {
    draft.emptyReplays += 1;
    if (replay.kind === 'continue') {
      restart(turn, `the engine does not know frame ${draft.nextSeq - 1}`);
      return;
    }
    holdNothing(turn);
  }
  draft.replay = null;
  draft.repeatedSeq = draft.suspectSeq;
  draft.suspectSeq = -1;
  if (replay.quiet) draft.checkAtMs = turn.nowMs + IDLE_CHECK_MS;
  if ((replay.broken || draft.again) && draft.attempts < REPLAY_ATTEMPTS_MAX) {
    requestReplay(turn, replay.quiet);
  } else if (!replay.broken) {
    // A gap that is still open shows again with the held frame.
    draft.doubt = false;
  }
}

/** A process that has published nothing yet: nothing is all there is to know. */
function holdNothing(turn: Turn): void {
  const { draft } = turn;
  drop(turn);
  draft.nextSeq = 0;
  draft.recent = [];
  draft.started = true;
  draft.complete = true;
  draft.fullOwed = false;
}

export function replayFailed(turn: Turn, reason: string): void {
  const { draft } = turn;
  const { replay } = draft;
  if (replay === null) return;
  draft.replay = null;
  draft.checkAtMs = turn.nowMs + IDLE_CHECK_MS;
  count(turn, 'replaysFailed', 1);
  if (!draft.connected || replay.quiet) return;
  draft.reason = `replay failed: ${reason}`;
  if (draft.attempts < REPLAY_ATTEMPTS_MAX) {
    requestReplay(turn, false);
    return;
  }
  // From here on as without a replay socket, until the next check asks again.
  draft.doubt = draft.hasContent;
  draft.suspectSeq = -1;
  draft.fullOwed = replay.kind === 'full';
}

/** The replay has proven that another engine process sends now. */
function restart(turn: Turn, reason: string): void {
  noteRestart(turn, reason);
  requestReplay(turn, false);
}
