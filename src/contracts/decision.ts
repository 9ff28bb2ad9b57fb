// A decision with its reasons: what the log line, the headers and /debug/decisions are made from.

import type { PublisherState } from './endpoint.js';
import type { EncodeMicros, NoMatchReason } from './request.js';

/** One scorer's opinion of one candidate. */
export interface ScoreTerm {
  readonly scorer: string;
  readonly weight: number;
  readonly raw: number;
}

/** One endpoint as it stood in a decision. */
export interface DecisionCandidate {
  readonly endpoint: string;
  readonly slot: number;
  /** Why it was left out before scoring (`unhealthy`, `draining`, `other-model`, a filter's type). */
  readonly excludedBy: string | null;
  readonly total: number;
  readonly terms: readonly ScoreTerm[];
  readonly usableBlocks: number;
  readonly rawBlocks: number;
  readonly speculativeBlocks: number;
  /** Usable blocks by fastest tier, in the order of TIERS. */
  readonly tierBlocks: readonly number[];
  readonly inFlightRequests: number;
  readonly waitingRequests: number;
  readonly runningRequests: number;
  readonly kvCacheUsage: number;
  /** Age of the scraped figures, null before the first scrape. */
  readonly metricsAgeMs: number | null;
  readonly publisher: PublisherState;
}

/** One routing decision. */
export interface Decision {
  readonly requestId: string;
  /** ISO wall-clock time, for people. */
  readonly at: string;
  /** As the client asked for it. */
  readonly model: string;
  /** Id of the served model, where a rewrite leads too. */
  readonly resolvedTargetModel: string;
  /** Higher goes first. */
  readonly priority: number;
  readonly profile: string;
  /** Name of the chosen endpoint, null when none was left. */
  readonly chosen: string | null;
  /** Endpoints tried next if the chosen one cannot be reached, best first. */
  readonly fallbacks: readonly string[];
  readonly promptTokens: number;
  readonly totalBlocks: number;
  readonly blockSize: number;
  /** Tokens the chosen endpoint is predicted to reuse. */
  readonly predictedCachedTokens: number;
  readonly noMatchReason: NoMatchReason | null;
  readonly fleetEpoch: number;
  readonly indexEpoch: number;
  readonly candidates: readonly DecisionCandidate[];
  readonly encodeMicros: EncodeMicros;
  /** From the head read to the order to forward. */
  readonly overheadMicros: number;
}

/** How a decided request ended; joined to its decision afterwards. */
export interface DecisionResult {
  readonly endpoint: string | null;
  readonly status: number;
  readonly outcome: string;
  readonly reportedCachedTokens: number | null;
  readonly reportedPromptTokens: number | null;
  readonly firstByteMs: number | null;
  readonly lastByteMs: number;
}

/** One decision and, once the request has ended, its result. */
export interface LoggedDecision {
  readonly decision: Decision;
  readonly result: DecisionResult | null;
}

/** The last decisions, for those who look into them. */
export interface DecisionLog {
  /** The latest decision of a request, null when it is not kept. */
  find(requestId: string): LoggedDecision | null;
  /** The last `count` decisions, newest first. */
  last(count: number): readonly LoggedDecision[];
}
