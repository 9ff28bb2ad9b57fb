// Time comes in as an argument, so that every module can run under virtual time.

/** Monotonic time. Wall-clock steps never reach timeouts, ages or TTLs. */
export interface Clock {
  /** Milliseconds since an arbitrary fixed start, fractional, never decreasing. */
  nowMs(): number;
  /** Calls `callback` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}
