// A decision with its reasons: what the log line, the headers and /debug/decisions are made from.

import type { EngineKind, PublisherState } from './endpoint.js';
import type { EncodeMicros, NoMatchReason } from './request.js';
import type { RequestSignals } from './scheduling.js';

/** One scorer's opinion of one candidate. */
export interface ScoreTerm {
  readonly scorer: string;
  readonly weight: number;
  readonly raw: number;
}

/** A model as an endpoint served it. */
export interface CandidateModel {
  readonly id: string;
  readonly parent: string | null;
  readonly maxModelLen: number | null;
  readonly loaded: boolean;
}

/** One endpoint as it stood in a decision. */
export interface DecisionCandidate {
  readonly endpoint: string;
  readonly slot: number;
  /** What llm-d calls it, null without such a name. */
  readonly id: string | null;
  readonly url: string;
  readonly dpRank: number | null;
  readonly engine: EngineKind;
  readonly labels: Readonly<Record<string, string>>;
  readonly models: readonly CandidateModel[];
  readonly blockSize: number | null;
  readonly gpuBlocks: number | null;
  readonly healthy: boolean;
  readonly draining: boolean;
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
  /** Prompt tokens of those not expected in its cache, and estimated tokens of their answers. */
  readonly inFlightPromptTokens: number;
  readonly inFlightOutputTokens: number;
  readonly waitingRequests: number;
  readonly runningRequests: number;
  readonly kvCacheUsage: number;
  readonly maxAdapters: number;
  readonly runningAdapters: readonly string[];
  readonly waitingAdapters: readonly string[];
  /** Age of the scraped figures, null before the first scrape. */
  readonly metricsAgeMs: number | null;
  readonly publisher: PublisherState;
}

/** Time spent in the stages of scheduling, microseconds. */
export interface ScheduleMicros {
  readonly filter: number;
  readonly score: number;
  readonly pick: number;
}

/** One routing decision, with everything the policy could look at. */
export interface Decision {
  readonly requestId: string;
  /** ISO wall-clock time, for people. */
  readonly at: string;
  /** As the client asked for it. */
  readonly model: string;
  /** Id of the served model, where a rewrite leads too. */
  readonly resolvedTargetModel: string;
  readonly pool: string;
  /** Adapter of the pool's base model, empty for the base model itself. */
  readonly adapter: string;
  /** Orders nothing yet; higher is worth more. */
  readonly priority: number;
  readonly profile: string;
  readonly picker: string;
  /** What the policy threw, null when it worked; then the fewest in flight decided, without scores. */
  readonly failure: string | null;
  /** Name of the chosen endpoint, null when none was left. */
  readonly chosen: string | null;
  /**
   * Endpoints tried next if the chosen one gives no answer, best first. The last of them may have been
   * left out by a filter that only prefers: they have no score here.
   */
  readonly fallbacks: readonly string[];
  readonly promptTokens: number;
  readonly totalBlocks: number;
  readonly blockSize: number;
  /** Tokens the chosen endpoint is predicted to reuse. */
  readonly predictedCachedTokens: number;
  readonly noMatchReason: NoMatchReason | null;
  /**
   * Values of POLICY_HEADERS and of those that plugins of the policy say they read; never of
   * credentials.
   */
  readonly headers: Readonly<Record<string, string>>;
  readonly signals: Readonly<RequestSignals>;
  /** Keys of the prompt's images, audio and video. */
  readonly media: readonly string[];
  /** Monotonic time of the decision, milliseconds: differences between decisions mean something. */
  readonly nowMs: number;
  readonly fleetEpoch: number;
  readonly indexEpoch: number;
  readonly candidates: readonly DecisionCandidate[];
  readonly encodeMicros: EncodeMicros;
  readonly scheduleMicros: ScheduleMicros;
  /** From the head read to the order to forward. */
  readonly overheadMicros: number;
}

/** The model that serves a request for another one, by a rule or by the request's header. */
export interface ModelRewrite {
  /** As the client asked for it. */
  readonly model: string;
  readonly target: string;
  /**
   * The request's header named it; the rule has no other; the session's id always gives it; or it
   * was drawn for this request alone, so that the next one may get another.
   */
  readonly chosenBy: 'header' | 'only-target' | 'session' | 'chance';
  /** Its part of the rule's weights, in (0, 1]; 1 without a rule. */
  readonly share: number;
}

/** How a decided request ended; joined to its decision afterwards. */
export interface DecisionResult {
  readonly endpoint: string | null;
  readonly status: number;
  readonly outcome: string;
  readonly errorCode: string | null;
  /** Endpoints tried. */
  readonly attempts: number;
  readonly reportedCachedTokens: number | null;
  readonly reportedPromptTokens: number | null;
  readonly reportedCompletionTokens: number | null;
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
  /** How many decisions are kept at most. */
  readonly capacity: number;
  /** The latest decision of a request, null when it is not kept. */
  find(requestId: string): LoggedDecision | null;
  /** The last `count` decisions, newest first. */
  last(count: number): readonly LoggedDecision[];
}
