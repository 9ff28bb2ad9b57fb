// Sends requests to other models than they ask for. Prompts are rendered and matched for the model
// that the body names, so the name is replaced in the body and the prompt encoded once more.

import { assert } from '#contracts/assert.js';
import type { PromptEncoder, RequestStore } from '#contracts/core.js';
import type { ModelRewrite } from '#contracts/decision.js';
import { RouterError } from '#contracts/errors.js';
import type { Random } from '#contracts/random.js';
import type { EncodedPrompt, RequestHandle } from '#contracts/request.js';
import type { ActiveRequest, RequestPorts } from './active-request.js';
import type { Encoded } from './encode.js';
import { withoutPrompt } from './encode.js';
import type { ResolvedModel } from './models.js';
import type { RewriteRule, RewritingHead } from './rewrite-choice.js';
import { RewriteChoice } from './rewrite-choice.js';

/** What rewriting needs. */
export interface RewriteOptions {
  readonly rules: readonly RewriteRule[];
  readonly random: Random;
  readonly store: Pick<RequestStore, 'replace'>;
  /** Who serves a model. */
  readonly resolve: (model: string) => ResolvedModel | RouterError;
}

/** What is sent and what is only asked about are rewritten by this. */
export class ModelRewrites {
  readonly #choice: RewriteChoice;
  readonly #store: Pick<RequestStore, 'replace'>;

  constructor(options: RewriteOptions) {
    this.#choice = new RewriteChoice(options);
    this.#store = options.store;
  }

  /** The model that is to serve it, null for the one it names; an error when it cannot have that. */
  choose(model: string, head: RewritingHead): ModelRewrite | RouterError | null {
    return this.#choice.of(model, head);
  }

  /** Whether a rule is for that model. */
  hasRule(model: string): boolean {
    return this.#choice.hasRule(model);
  }

  /** Names the target in the body, which must then be encoded again; an error when it has no room. */
  write(handle: RequestHandle, encoded: EncodedPrompt, target: string): RouterError | null {
    const place = { offset: encoded.modelOffset, length: encoded.modelBytes };
    const name = Buffer.from(JSON.stringify(target), 'utf8');
    const status = this.#store.replace(handle, place, name);
    assert(status !== 'out-of-bounds', 'the model is named inside the body');
    switch (status) {
      case 'too-large':
        return new RouterError('body_too_large', 'the body is too large for the name of its model');
      case 'full':
        return new RouterError('too_many_requests', 'there is no room for another request');
      default:
        // A stale one has lost its client: its `done` record is on its way.
        return null;
    }
  }
}

interface RewriterPorts extends Pick<RequestPorts, 'encoder' | 'observer'> {
  readonly isActive: (request: ActiveRequest) => boolean;
  readonly onEncoded: Encoded;
  readonly reject: (request: ActiveRequest, error: RouterError) => void;
}

/** Rewrites requests on their way through the pipeline. */
export class ModelRewriter {
  readonly #rewrites: ModelRewrites;
  readonly #ports: RewriterPorts;
  readonly #encoder: PromptEncoder;

  constructor(rewrites: ModelRewrites, ports: RewriterPorts) {
    this.#rewrites = rewrites;
    this.#ports = ports;
    this.#encoder = ports.encoder;
  }

  /** True when it takes the request over: it will be refused, or encoded again for its target. */
  takes(request: ActiveRequest, encoded: EncodedPrompt): boolean {
    // A target is never rewritten again.
    if (request.askedModel !== null) return false;
    const chosen = this.#rewrites.choose(encoded.model, request.head);
    if (chosen === null) return false;
    if (chosen instanceof RouterError) {
      this.#ports.reject(request, chosen);
      return true;
    }
    const { target } = chosen;
    request.askedModel = encoded.model;
    // What a client asks for without a rule is no label.
    if (this.#rewrites.hasRule(encoded.model)) {
      this.#ports.observer.rewritten(encoded.model, target);
    }
    if (target === encoded.model) return false;
    const refusal = this.#rewrites.write(request.head.handle, encoded, target);
    if (refusal === null) void this.#encodeAgain(request, target);
    else this.#ports.reject(request, refusal);
    return true;
  }

  async #encodeAgain(request: ActiveRequest, target: string): Promise<void> {
    const { handle } = request.head;
    let failed = false;
    try {
      await this.#encoder.encode(Uint32Array.of(handle.slot, handle.generation), request.route);
    } catch {
      // Only a stopped encoder rejects; the request still deserves an answer.
      failed = true;
    }
    if (!this.#ports.isActive(request)) return;
    this.#ports.onEncoded(request, () =>
      failed ? { ...withoutPrompt('encoder-failed'), model: target } : this.#encoder.read(handle),
    );
  }
}

/** Tells a client whose model is not served that it is not the one it asked for. */
export function unserved(askedModel: string | null, error: RouterError): RouterError {
  if (askedModel === null || error.code !== 'model_not_found') return error;
  const text = `\`${askedModel}\` is rewritten here, but ${error.message}`;
  return new RouterError('model_not_found', text, { param: 'model' });
}
