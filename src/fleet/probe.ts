// Hysteresis of one address's reachability, as pure steps: active probes and failed connections go
// in, up or down comes out. One failed probe is noise, several are an outage; a refused connection
// of real traffic counts at once, because there is nothing to wait for.

/** Why a probe or connection failed. */
export type ProbeFailure = 'unreachable' | 'timed-out';

/** Reachability of one address. */
export interface ProbeState {
  up: boolean;
  /** Failures and successes in a row. */
  failures: number;
  successes: number;
  lastFailure: ProbeFailure | null;
  /** Outages within FLAP_WINDOW_MS of each other; makes a flapping address wait. */
  flaps: number;
  downAtMs: number;
  /** Until then the address is held back although it answers again. */
  heldUntilMs: number;
}

/** Successful probes in a row that bring it back. */
export const PROBE_SUCCESSES_NEEDED = 2;
/** Outages closer together than this are flapping. */
export const FLAP_WINDOW_MS = 60_000;
const HOLD_BASE_MS = 1000;
const HOLD_MAX_MS = 30_000;

/** A new address is down until its first successful probe. */
export function newProbeState(): ProbeState {
  return {
    up: false,
    failures: 0,
    successes: 0,
    lastFailure: null,
    flaps: 0,
    downAtMs: Number.NEGATIVE_INFINITY,
    heldUntilMs: Number.NEGATIVE_INFINITY,
  };
}

/** Notes a successful probe; true when the address has just come up. */
export function probeSucceeded(state: ProbeState, nowMs: number): boolean {
  state.failures = 0;
  state.successes += 1;
  const firstContact = state.downAtMs === Number.NEGATIVE_INFINITY;
  if (state.up || (!firstContact && state.successes < PROBE_SUCCESSES_NEEDED)) return false;
  state.up = true;
  state.lastFailure = null;
  if (state.flaps > 1) {
    state.heldUntilMs = nowMs + Math.min(HOLD_MAX_MS, HOLD_BASE_MS * 2 ** (state.flaps - 2));
  }
  return true;
}

/** Notes a failed probe, the last of `failuresMax` in a row allowed; true when just gone down. */
export function probeFailed(
  state: ProbeState,
  failure: ProbeFailure,
  limits: { readonly nowMs: number; readonly failuresMax: number },
): boolean {
  state.successes = 0;
  state.failures += 1;
  state.lastFailure = failure;
  return state.failures >= limits.failuresMax && goDown(state, limits.nowMs);
}

/** Notes that real traffic could not connect; true when the address has just gone down. */
export function connectionFailed(state: ProbeState, nowMs: number): boolean {
  state.successes = 0;
  state.failures += 1;
  state.lastFailure = 'unreachable';
  return goDown(state, nowMs);
}

function goDown(state: ProbeState, nowMs: number): boolean {
  if (!state.up) return false;
  state.up = false;
  state.flaps = nowMs - state.downAtMs <= FLAP_WINDOW_MS ? state.flaps + 1 : 1;
  state.downAtMs = nowMs;
  return true;
}

/** Time to the next probe: quick while a verdict is due, slower the longer an outage lasts. */
export function probeDelayMs(
  state: ProbeState,
  timings: { readonly intervalMs: number; readonly fastMs: number },
): number {
  if (state.up) return state.failures === 0 ? timings.intervalMs : timings.fastMs;
  if (state.successes > 0) return timings.fastMs;
  return Math.min(timings.intervalMs, timings.fastMs * 1.5 ** Math.min(state.failures, 20));
}
