// The step in which a request is decided: model, context, policy, targets. What the pipeline does
// for requests that are sent on and what is done for those that are only explained is this one step;
// what follows a decision (load, speculation, hooks, records) is the caller's.

import type { Clock } from '#contracts/clock.js';
import type { Fleet } from '#contracts/endpoint.js';
import { RouterError } from '#contracts/errors.js';
import { ENDPOINT_SUBSET_HEADER } from '#contracts/header-names.js';
import type { Policy } from '#contracts/plugin.js';
import type { EncodedPrompt } from '#contracts/request.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import type { PlannedTarget } from './active-request.js';
import { endpointSubset } from './endpoint-subset.js';
import { planTargets } from './forward.js';
import type { KeptHeaders } from './kept-headers.js';
import { keptHeaders, withPolicyHeaders } from './kept-headers.js';
import type { ModelDirectory, ResolvedModel } from './models.js';
import { modelDirectory, resolveModel } from './models.js';
import type { RequestPriorities } from './objective.js';
import type { PolicyCycle } from './policy-cycle.js';
import { clearSignals, policyCycle, scheduleByPolicy } from './policy-cycle.js';
import type { ScheduleCycle, ScheduleOutcome } from './schedule.js';

/** What of a request's head goes into its decision. */
export interface DecidedHead {
  readonly requestId: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether any of TELLING_HEADERS is among them. */
  readonly telling: boolean;
}

/** A decision that has just been made; what it refers to is reused by the next one. */
export interface Decided {
  readonly context: SchedulingContext;
  readonly encoded: EncodedPrompt;
  readonly model: ResolvedModel;
  readonly cycle: ScheduleCycle;
  readonly keptHeaders: KeptHeaders;
  /** Picked endpoints, best first; empty when none was left. */
  readonly targets: readonly PlannedTarget[];
  /** Why nobody was picked, null when somebody was. */
  readonly refusal: RouterError | null;
}

/** Decides by one policy over the fleet as it is. */
export class Decider {
  readonly #policy: PolicyCycle;
  readonly #keptHeaders: KeptHeaders;
  /** Of heads that tell something. */
  readonly #keptTelling: KeptHeaders;
  readonly #priorities: RequestPriorities;
  readonly #readsSubset: boolean;
  readonly #fleet: Fleet;
  readonly #clock: Clock;
  #directory: ModelDirectory;

  constructor(options: {
    readonly policy: Policy;
    readonly priorities: RequestPriorities;
    /** Length of every per-slot array. */
    readonly endpointCapacity: number;
    /** Whether requests may say in a header who may answer. */
    readonly readsSubset: boolean;
    readonly fleet: Fleet;
    readonly clock: Clock;
  }) {
    this.#policy = policyCycle(options.policy, options.endpointCapacity);
    this.#keptHeaders = keptHeaders(options.policy);
    this.#keptTelling = withPolicyHeaders(this.#keptHeaders);
    this.#priorities = options.priorities;
    this.#readsSubset = options.readsSubset;
    this.#fleet = options.fleet;
    this.#clock = options.clock;
    this.#directory = modelDirectory(options.fleet.snapshot());
  }

  /** Who serves the model a client wrote, by the fleet of this moment. */
  resolve(model: string): ResolvedModel | RouterError {
    const snapshot = this.#fleet.snapshot();
    if (snapshot !== this.#directory.snapshot) this.#directory = modelDirectory(snapshot);
    return resolveModel(this.#directory, model);
  }

  /** Runs the policy for a request whose model was just resolved; an error when it cannot run. */
  decide(
    head: DecidedHead,
    encoded: EncodedPrompt,
    model: ResolvedModel | RouterError,
    nowMs: number,
  ): Decided | RouterError {
    const { error } = encoded;
    // The fleet knows better than the encoder, whose list of models may lag behind.
    if (error !== null && error.code !== 'model_not_found') {
      const param = error.param === null ? {} : { param: error.param };
      return new RouterError(error.code, error.detail, param);
    }
    if (model instanceof RouterError) return model;
    const context = this.#context(head, encoded, model, nowMs);
    const clock = (): number => this.#clock.nowMs();
    const outcome = scheduleByPolicy(this.#policy, context, model.serving, clock);
    if (outcome === 'no-profile') {
      const text = 'the request names a scheduling profile that is not configured';
      return new RouterError('profile_not_found', text);
    }
    const cycle = this.#policy.current;
    return {
      context,
      encoded,
      model,
      cycle,
      keptHeaders: head.telling ? this.#keptTelling : this.#keptHeaders,
      targets: planTargets(cycle, context),
      refusal: refusalOf(outcome, model, context),
    };
  }

  #context(
    head: DecidedHead,
    encoded: EncodedPrompt,
    model: ResolvedModel,
    nowMs: number,
  ): SchedulingContext {
    const matched = encoded.noMatchReason === null;
    const fleet = this.#directory.snapshot;
    const named = this.#readsSubset ? head.headers[ENDPOINT_SUBSET_HEADER] : undefined;
    return {
      requestId: head.requestId,
      model: model.id,
      pool: model.pool,
      adapter: model.adapter,
      headers: () => head.headers,
      priority: this.#priorities.of(head, encoded.priority),
      promptTokens: encoded.promptTokens,
      totalBlocks: matched ? encoded.totalBlocks : 0,
      blockSize: encoded.blockSize,
      match: matched ? encoded.match : null,
      noMatchReason: encoded.noMatchReason,
      media: encoded.media,
      signals: clearSignals(this.#policy),
      subset: endpointSubset(named, fleet),
      fleet,
      nowMs,
    };
  }
}

function refusalOf(
  outcome: ScheduleOutcome,
  model: ResolvedModel,
  { subset }: SchedulingContext,
): RouterError | null {
  if (outcome === 'picked') return null;
  if (outcome === 'overloaded') {
    return new RouterError('overloaded', 'the policy left no endpoint that may take it now');
  }
  const among = subset === null ? '' : ` of those named in ${ENDPOINT_SUBSET_HEADER}`;
  const text = `no endpoint${among} serving \`${model.id || model.pool}\` is healthy`;
  return new RouterError('no_endpoints', text);
}
