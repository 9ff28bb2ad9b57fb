// The last decisions with their results, for /debug/decisions. A ring: the oldest entry is
// overwritten, so memory is bounded however many requests come.

import type { Decision, DecisionLog, DecisionResult } from '#contracts/decision.js';

/** One decision and, once the request has ended, its result. */
export interface LoggedDecision {
  readonly decision: Decision;
  readonly result: DecisionResult | null;
}

/** Keeps `capacity` decisions. A client may reuse a request id; the latest decision counts. */
export class DecisionRing implements DecisionLog {
  readonly #entries: (LoggedDecision | null)[];
  readonly #positions = new Map<string, number>();
  #next = 0;

  constructor(capacity: number) {
    this.#entries = new Array<LoggedDecision | null>(capacity).fill(null);
  }

  record(decision: Decision): void {
    const position = this.#next;
    const overwritten = this.#entries[position]?.decision.requestId;
    if (overwritten !== undefined && this.#positions.get(overwritten) === position) {
      this.#positions.delete(overwritten);
    }
    this.#entries[position] = { decision, result: null };
    this.#positions.set(decision.requestId, position);
    this.#next = (position + 1) % this.#entries.length;
  }

  finish(requestId: string, result: DecisionResult): void {
    const position = this.#positions.get(requestId);
    const entry = position === undefined ? null : this.#entries[position];
    if (position === undefined || entry === null || entry === undefined) return;
    this.#entries[position] = { decision: entry.decision, result };
  }

  find(requestId: string): LoggedDecision | null {
    const position = this.#positions.get(requestId);
    return position === undefined ? null : (this.#entries[position] ?? null);
  }

  /** The last `count` decisions, newest first. */
  last(count: number): readonly LoggedDecision[] {
    const found: LoggedDecision[] = [];
    const size = this.#entries.length;
    for (let back = 1; back <= size && found.length < count; back += 1) {
      const entry = this.#entries[(this.#next - back + size) % size];
      if (entry === null || entry === undefined) break;
      found.push(entry);
    }
    return found;
  }
}
