// State of one request between its head and its `done` record, and the ports the stages use. The
// pipeline owns the table of active requests; each stage changes only what is named for it here.

import type { Clock } from '#contracts/clock.js';
import type { DataPlane, ForwardProgress, PromptEncoder } from '#contracts/core.js';
import type { Fleet, InFlightToken } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import type { RequestObserver } from '#contracts/observer.js';
import type { EncodedPrompt, RequestHead, Route } from '#contracts/request.js';
import type { DecisionRing } from './decision-ring.js';
import type { SentRequests } from './histories.js';
import type { PickFollowers } from './hooks.js';

/** Everything the request path needs of other modules. */
export interface RequestPorts {
  readonly plane: DataPlane;
  readonly encoder: PromptEncoder;
  readonly histories: SentRequests;
  readonly fleet: Fleet;
  readonly observer: RequestObserver;
  readonly decisions: DecisionRing;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Wall-clock time for people, ISO 8601. */
  readonly isoNow: () => string;
  /** Runs a callback when this turn of the event loop has been handled (setImmediate). */
  readonly defer: (callback: () => void) => void;
}

/** How a request ended. */
export type Done = Extract<ForwardProgress, { kind: 'done' }>;

/** One endpoint of a decision, in the order in which they are tried. */
export interface PlannedTarget {
  readonly slot: number;
  readonly name: string;
  /** Prompt tokens it is predicted to reuse, 0 when unknown. */
  readonly predictedTokens: number;
  /** The same with what was sent there moments ago: not the engine's work a second time. */
  readonly expectedTokens: number;
}

export interface ActiveRequest {
  readonly head: RequestHead;
  readonly route: Route;
  /** Monotonic time at which it began to wait for its encode record. */
  readonly queuedAtMs: number;
  /** Set by encode. */
  encoded: EncodedPrompt | null;
  /** True once forwarded, rejected or responded to: the data plane has the last word from here. */
  settled: boolean;
  /** Model asked for, once a rule has chosen which one serves it; null without one. Set by rewrite. */
  askedModel: string | null;
  /** Served id of the model, empty until resolved or when none was named. Set by decide. */
  model: string;
  targets: readonly PlannedTarget[];
  /** Number of its decision, null before. */
  decisionNumber: number | null;
  /** Tokens of the answer to count as in flight. Set by decide. */
  outputTokens: number;
  /** Set by observe: the load counted now, and where. */
  token: InFlightToken | null;
  target: PlannedTarget | null;
  /** Where the prompt counts as held before the engine has said so, null when nowhere. */
  expected: 'history' | 'speculative' | null;
  attempts: number;
  /** Set once it has ended. */
  done: Done | null;
  /** Plugins to be told when another endpoint is tried, null for none. Set by the pipeline. */
  followers: PickFollowers | null;
}

/** State of a request that was just handed over. */
export function activeRequest(head: RequestHead, route: Route, nowMs: number): ActiveRequest {
  return {
    head,
    route,
    queuedAtMs: nowMs,
    encoded: null,
    settled: false,
    askedModel: null,
    model: '',
    targets: [],
    decisionNumber: null,
    outputTokens: 0,
    token: null,
    target: null,
    expected: null,
    attempts: 0,
    done: null,
    followers: null,
  };
}
