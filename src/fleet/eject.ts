// Passive ejection of one endpoint by what its answers were, and the panic rule over a pool, as
// pure steps. Back-pressure (429, 503) and client errors never count; a pool is never emptied by
// ejection, because a common cause (a bad deployment, a slow disk) is not the endpoints' own.

import type { AttemptOutcome } from '#contracts/endpoint.js';

/** Record of one endpoint's failures. */
export interface EjectionState {
  /** Failed answers in a row. */
  streak: number;
  /** Ejections so far, forgotten after EJECTION_MEMORY_MS without one. */
  ejections: number;
  untilMs: number;
}

/** Answers with 5xx in a row that eject. */
export const SERVER_ERRORS_MAX = 5;
/** Timeouts in a row that eject: each costs its victim the whole deadline. */
export const TIMEOUTS_MAX = 3;
/** First ejection; each later one lasts twice as long, up to EJECTION_MAX_MS. */
export const EJECTION_BASE_MS = 1000;
export const EJECTION_MAX_MS = 30_000;
const EJECTION_MEMORY_MS = 60_000;

/** A new endpoint has failed nothing. */
export function newEjectionState(): EjectionState {
  return { streak: 0, ejections: 0, untilMs: Number.NEGATIVE_INFINITY };
}

/** Notes one outcome; true when the endpoint is ejected now. */
export function noteOutcome(state: EjectionState, outcome: AttemptOutcome, nowMs: number): boolean {
  if (outcome === 'busy' || outcome === 'unreachable') return false;
  if (outcome === 'answered') {
    state.streak = 0;
    return false;
  }
  state.streak += 1;
  const most = outcome === 'timed-out' ? TIMEOUTS_MAX : SERVER_ERRORS_MAX;
  // Requests sent before the ejection fail after it; they must not lengthen it.
  if (state.streak < most || nowMs < state.untilMs) return false;
  if (nowMs - state.untilMs > EJECTION_MEMORY_MS) state.ejections = 0;
  state.untilMs = nowMs + Math.min(EJECTION_MAX_MS, EJECTION_BASE_MS * 2 ** state.ejections);
  state.ejections += 1;
  return true;
}

/** Standing of one endpoint before the panic rule. */
export interface Standing {
  readonly pool: string;
  /** It cannot be reached: never chosen, whatever the others do. */
  readonly unreachable: boolean;
  /** It can be reached but is held back for errors, timeouts or flapping. */
  readonly ejected: boolean;
}

/**
 * Decides per endpoint whether it is healthy. Where more than half of a pool's reachable endpoints
 * would be held back, none of them is: traffic is tried on all.
 */
export function healthOf(standings: readonly Standing[]): readonly boolean[] {
  const reachable = new Map<string, number>();
  const ejected = new Map<string, number>();
  for (const standing of standings) {
    if (standing.unreachable) continue;
    reachable.set(standing.pool, (reachable.get(standing.pool) ?? 0) + 1);
    if (standing.ejected) ejected.set(standing.pool, (ejected.get(standing.pool) ?? 0) + 1);
  }
  return standings.map(({ pool, unreachable, ejected: held }) => {
    if (unreachable || !held) return !unreachable;
    return (ejected.get(pool) ?? 0) * 2 > (reachable.get(pool) ?? 0);
  });
}
