// How the request of a kept decision ended: figures in one array, and strings that live longer than
// any request, so that a place of the ring refers to nothing that came with the request.

import type { CompletionOutcome } from '#contracts/core.js';
import type { DecisionResult } from '#contracts/decision.js';
import type { ErrorCode } from '#contracts/errors.js';
import type { FinishedRequest } from '#contracts/observer.js';

/** Places of the figures; one that is not known is NaN. */
const FIGURE = {
  status: 0,
  attempts: 1,
  reportedCachedTokens: 2,
  reportedPromptTokens: 3,
  reportedCompletionTokens: 4,
  firstByteMs: 5,
  lastByteMs: 6,
} as const;

/** The result kept last, if there is one. */
export class KeptResult {
  readonly #figures = new Float64Array(7);
  #endpoint: string | null = null;
  #errorCode: ErrorCode | null = null;
  /** Null until the request has ended. */
  #outcome: CompletionOutcome | null = null;

  clear(): void {
    this.#outcome = null;
  }

  keep(finished: FinishedRequest): void {
    const figures = this.#figures;
    figures[FIGURE.status] = finished.status;
    figures[FIGURE.attempts] = finished.attempts;
    figures[FIGURE.reportedCachedTokens] = finished.reportedCachedTokens ?? Number.NaN;
    figures[FIGURE.reportedPromptTokens] = finished.reportedPromptTokens ?? Number.NaN;
    figures[FIGURE.reportedCompletionTokens] = finished.reportedCompletionTokens ?? Number.NaN;
    figures[FIGURE.firstByteMs] = finished.firstByteMs ?? Number.NaN;
    figures[FIGURE.lastByteMs] = finished.lastByteMs;
    this.#endpoint = finished.endpoint;
    this.#errorCode = finished.errorCode;
    this.#outcome = finished.outcome;
  }

  /** The result as an object of its own, null until there is one. */
  result(): DecisionResult | null {
    if (this.#outcome === null) return null;
    const at = (figure: number): number => this.#figures[figure] ?? 0;
    return {
      endpoint: this.#endpoint,
      status: at(FIGURE.status),
      outcome: this.#outcome,
      errorCode: this.#errorCode,
      attempts: at(FIGURE.attempts),
      reportedCachedTokens: known(at(FIGURE.reportedCachedTokens)),
      reportedPromptTokens: known(at(FIGURE.reportedPromptTokens)),
      reportedCompletionTokens: known(at(FIGURE.reportedCompletionTokens)),
      firstByteMs: known(at(FIGURE.firstByteMs)),
      lastByteMs: at(FIGURE.lastByteMs),
    };
  }
}

function known(figure: number): number | null {
  return Number.isNaN(figure) ? null : figure;
}
