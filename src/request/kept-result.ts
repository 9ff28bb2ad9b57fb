// How the request of a kept decision ended: figures among those of the decision, and strings that live
// longer than any request, so that a place of the ring refers to nothing that came with the request.

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
  count: 7,
} as const;

/** Figures of a result. */
export const RESULT_FIGURES: number = FIGURE.count;

/** What of a result is no figure. */
export interface ResultNames {
  readonly outcome: CompletionOutcome;
  readonly endpoint: string | null;
  readonly errorCode: ErrorCode | null;
}

/** Writes the figures of a request that has ended, from position `at` on. */
export function keepResult(numbers: Float64Array, at: number, finished: FinishedRequest): void {
  numbers[at + FIGURE.status] = finished.status;
  numbers[at + FIGURE.attempts] = finished.attempts;
  numbers[at + FIGURE.reportedCachedTokens] = finished.reportedCachedTokens ?? Number.NaN;
  numbers[at + FIGURE.reportedPromptTokens] = finished.reportedPromptTokens ?? Number.NaN;
  numbers[at + FIGURE.reportedCompletionTokens] = finished.reportedCompletionTokens ?? Number.NaN;
  numbers[at + FIGURE.firstByteMs] = finished.firstByteMs ?? Number.NaN;
  numbers[at + FIGURE.lastByteMs] = finished.lastByteMs;
}

/** The result as an object of its own. */
export function resultOf(
  numbers: Float64Array,
  at: number,
  { outcome, endpoint, errorCode }: ResultNames,
): DecisionResult {
  const figure = (place: number): number => numbers[at + place] ?? 0;
  return {
    endpoint,
    status: figure(FIGURE.status),
    outcome,
    errorCode,
    attempts: figure(FIGURE.attempts),
    reportedCachedTokens: known(figure(FIGURE.reportedCachedTokens)),
    reportedPromptTokens: known(figure(FIGURE.reportedPromptTokens)),
    reportedCompletionTokens: known(figure(FIGURE.reportedCompletionTokens)),
    firstByteMs: known(figure(FIGURE.firstByteMs)),
    lastByteMs: figure(FIGURE.lastByteMs),
  };
}

function known(figure: number): number | null {
  return Number.isNaN(figure) ? null : figure;
}
