// What the request path tells about itself. Metrics implement it; the pipeline calls it on the
// main thread, so every method must return within microseconds and never throw.

import type { CompletionOutcome } from './core.js';
import type { AttemptOutcome } from './endpoint.js';
import type { ErrorCode } from './errors.js';
import type { NoMatchReason, Route } from './request.js';

/**
 * Stages of a request inside the router. `encode` is the whole wait for its record; `parse` to
 * `match` are CPU time inside it; `total` runs from the head read to the order to forward.
 */
export const REQUEST_STAGES = [
  'encode',
  'parse',
  'render',
  'tokenize',
  'hash',
  'match',
  'filter',
  'score',
  'pick',
  'forward',
  'total',
] as const;
export type RequestStage = (typeof REQUEST_STAGES)[number];

/** A request that has ended, whatever way. null means: not known, not applicable. */
export interface FinishedRequest {
  readonly requestId: string;
  readonly route: Route;
  /** Served model's id as requested; empty when none was named or it is not served. */
  readonly model: string;
  /** Name of the endpoint that answered, or was tried last. */
  readonly endpoint: string | null;
  readonly status: number;
  readonly outcome: CompletionOutcome;
  readonly errorCode: ErrorCode | null;
  readonly stream: boolean;
  /** Endpoints tried, 0 when nothing was sent on. */
  readonly attempts: number;
  /** Since the head was read. */
  readonly firstByteMs: number | null;
  readonly lastByteMs: number;
  /** (last byte − first byte) / (completion tokens − 1); streams that carry usage or chunks. */
  readonly meanInterTokenMs: number | null;
  /** Prompt tokens counted here. */
  readonly promptTokens: number | null;
  /** Tokens the answering endpoint was predicted to reuse; > 0 is a hit, null: not predicted. */
  readonly predictedCachedTokens: number | null;
  /** Usage as the engine reported it. */
  readonly reportedPromptTokens: number | null;
  readonly reportedCachedTokens: number | null;
  readonly reportedCompletionTokens: number | null;
}

export interface RequestObserver {
  /** A request was handed over; matched by exactly one `finished`. */
  admitted(route: Route): void;
  stage(stage: RequestStage, micros: number): void;
  /** `count` fields of a body were stripped (architecture §10). */
  stripped(count: number): void;
  /** `count` images, audio and video of a prompt have no key, so no policy sees them. */
  mediaLeftOut(count: number): void;
  /** A request was decided: the chosen endpoint's name, and why nothing was matched. */
  decided(chosen: string | null, noMatchReason: NoMatchReason | null): void;
  /** A scorer gave `count` scores outside [0, 1] or none at all. */
  scorerViolated(scorer: string, count: number): void;
  /** A rule for `model` chose the model that serves the request; both are configured names. */
  rewritten(model: string, target: string): void;
  /** A request named an objective that is not configured. */
  objectiveUnknown(): void;
  /** The policy threw; the request went to the endpoint with the fewest in flight. */
  policyFailed(profile: string): void;
  /** An attempt ended without an answer; another endpoint is tried when `retried`. */
  attemptFailed(endpoint: string, outcome: AttemptOutcome, retried: boolean): void;
  finished(request: FinishedRequest): void;
}
