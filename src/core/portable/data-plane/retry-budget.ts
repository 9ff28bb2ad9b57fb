// How many attempts on further endpoints the whole plane may make: a fifth of its requests and ten
// a second, so that retries cannot multiply an outage. One instance per data plane.

import type { Clock } from '#contracts/clock.js';
import {
  REQUESTS_IN_FLIGHT_MAX,
  RETRY_BUDGET_PER_SECOND,
  RETRY_BUDGET_RATIO,
} from '#contracts/limits.js';

/** Unused seconds are kept this long: an endpoint's death needs many retries at one moment. */
const KEPT_SECONDS = 10;
const BALANCE_MAX =
  KEPT_SECONDS * RETRY_BUDGET_PER_SECOND + RETRY_BUDGET_RATIO * REQUESTS_IN_FLIGHT_MAX;

export class RetryBudget {
  readonly #clock: Clock;
  #balance = KEPT_SECONDS * RETRY_BUDGET_PER_SECOND;
  #countedAtMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#countedAtMs = clock.nowMs();
  }

  /** A request earns a fraction of a retry. */
  deposit(): void {
    this.#balance = Math.min(BALANCE_MAX, this.#balance + RETRY_BUDGET_RATIO);
  }

  /** Takes one retry; false when there is none left. */
  take(): boolean {
    const now = this.#clock.nowMs();
    const earned = ((now - this.#countedAtMs) / 1000) * RETRY_BUDGET_PER_SECOND;
    this.#balance = Math.min(BALANCE_MAX, this.#balance + earned);
    this.#countedAtMs = now;
    if (this.#balance < 1) return false;
    this.#balance -= 1;
    return true;
  }
}
