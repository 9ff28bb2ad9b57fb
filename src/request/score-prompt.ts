// Answers where a request would go without sending it: the body goes through the real store and the
// real encoder, is rewritten by the real rules, then through the same decision as every request. Nothing
// is counted in flight or in metrics, nobody expects its blocks, no hook hears of it, and the decision is
// kept nowhere.

import type { Clock } from '#contracts/clock.js';
import type { PromptEncoder, RequestStore } from '#contracts/core.js';
import type { Decision, ModelRewrite } from '#contracts/decision.js';
import { RouterError } from '#contracts/errors.js';
import type { EncodedPrompt, RequestHandle, Route } from '#contracts/request.js';
import type { DecidedHead, Decider } from './decide.js';
import { KeptDecision } from './kept-decision.js';
import type { ModelRewrites } from './rewrite.js';
import { unserved } from './rewrite.js';

/** A request that is only asked about. */
export interface ScoredHead extends DecidedHead {
  /** Null: the body's own fields say which. */
  readonly route: Route | null;
  /** Bytes the body is said to have. */
  readonly bytesHint: number;
}

/** Where it would go; with an error, why it would be refused. */
export interface Scored {
  readonly error: RouterError | null;
  /** Null when the policy was not even asked. */
  readonly decision: Decision | null;
  /** The model it would be sent as, and what chose that; null for the one it names. */
  readonly rewrite: ModelRewrite | null;
}

export interface PromptScorerOptions {
  readonly store: RequestStore;
  readonly encoder: PromptEncoder;
  readonly decider: Decider;
  readonly rewrites: ModelRewrites;
  readonly clock: Clock;
  readonly isoNow: () => string;
  /** The route that a body is meant for. */
  readonly routeOf: (body: Uint8Array) => Route;
}

/** Scores bodies one by one or several at once; each takes a place in the request store meanwhile. */
export class PromptScorer {
  readonly #options: PromptScorerOptions;

  constructor(options: PromptScorerOptions) {
    this.#options = options;
  }

  /** Reads the body to its end, or until it is too large, and decides. */
  async score(head: ScoredHead, body: AsyncIterable<Uint8Array>): Promise<Scored> {
    const { store } = this.#options;
    const handle = store.open(head.bytesHint);
    if (handle === null) return refused(storeFull());
    try {
      for await (const chunk of body) {
        const outcome = store.append(handle, chunk);
        if (outcome === 'too-large') {
          return refused(new RouterError('body_too_large', 'the body is larger than the limit'));
        }
        if (outcome !== 'done') return refused(storeFull());
      }
      return await this.#decide(head, handle);
    } finally {
      store.release(handle);
    }
  }

  async #decide(head: ScoredHead, handle: RequestHandle): Promise<Scored> {
    const { store, clock, routeOf } = this.#options;
    const begunAtMs = clock.nowMs();
    const route = head.route ?? routeOf(store.body(handle) ?? new Uint8Array(0));
    const asked = await this.#encode(handle, route);
    if (asked instanceof RouterError) return refused(asked);
    const rewrite = this.#options.rewrites.choose(asked.model, head);
    if (rewrite instanceof RouterError) return refused(rewrite);
    const encoded = await this.#rewrite(handle, route, asked, rewrite);
    if (encoded instanceof RouterError) return refused(encoded, rewrite);
    return this.#explain(head, encoded, rewrite, begunAtMs);
  }

  /** The prompt as its target would be sent it. */
  async #rewrite(
    handle: RequestHandle,
    route: Route,
    asked: EncodedPrompt,
    rewrite: ModelRewrite | null,
  ): Promise<EncodedPrompt | RouterError> {
    const { rewrites } = this.#options;
    if (rewrite === null || rewrite.target === asked.model) return asked;
    const refusal = rewrites.write(handle, asked, rewrite.target);
    return refusal ?? this.#encode(handle, route);
  }

  async #encode(handle: RequestHandle, route: Route): Promise<EncodedPrompt | RouterError> {
    const { encoder } = this.#options;
    try {
      await encoder.encode(Uint32Array.of(handle.slot, handle.generation), route);
    } catch (cause) {
      // Only a stopped encoder rejects.
      return new RouterError('shutting_down', 'the router is shutting down', { cause });
    }
    return encoder.read(handle);
  }

  #explain(
    head: ScoredHead,
    encoded: EncodedPrompt,
    rewrite: ModelRewrite | null,
    begunAtMs: number,
  ): Scored {
    const { decider, clock, isoNow } = this.#options;
    const decided = decider.decide(head, encoded, decider.resolve(encoded.model), clock.nowMs());
    const askedModel = rewrite?.model ?? null;
    if (decided instanceof RouterError) return refused(unserved(askedModel, decided), rewrite);
    const kept = new KeptDecision();
    const overheadMicros = (clock.nowMs() - begunAtMs) * 1000;
    kept.keep(0, { decided, asked: askedModel ?? decided.model.id, at: isoNow(), overheadMicros });
    return { error: decided.refusal, decision: kept.decision(), rewrite };
  }
}

function refused(error: RouterError, rewrite: ModelRewrite | null = null): Scored {
  return { error, decision: null, rewrite };
}

function storeFull(): RouterError {
  return new RouterError('too_many_requests', 'the router holds as many requests as it may');
}
