// Sends requests to other models than they ask for. Prompts are rendered and matched for the model
// that the body names, so the name is replaced in the body and the prompt encoded once more.

import { assert } from '#contracts/assert.js';
import type { PromptEncoder, RequestStore } from '#contracts/core.js';
import { RouterError } from '#contracts/errors.js';
import type { Random } from '#contracts/random.js';
import type { EncodedPrompt } from '#contracts/request.js';
import type { ActiveRequest, RequestPorts } from './active-request.js';
import type { Encoded } from './encode.js';
import { withoutPrompt } from './encode.js';
import type { RewriteRule } from './rewrite-choice.js';
import { RewriteChoice } from './rewrite-choice.js';

/** What rewriting needs; a router without rules has none of it. */
export interface RewriteOptions {
  /** At least one. */
  readonly rules: readonly RewriteRule[];
  readonly random: Random;
  readonly store: Pick<RequestStore, 'replace'>;
}

interface RewriterPorts extends Pick<RequestPorts, 'encoder' | 'observer'> {
  readonly isActive: (request: ActiveRequest) => boolean;
  readonly onEncoded: Encoded;
  readonly reject: (request: ActiveRequest, error: RouterError) => void;
}

/** Rewrites requests by the rules. */
export class ModelRewriter {
  readonly #choice: RewriteChoice;
  readonly #store: Pick<RequestStore, 'replace'>;
  readonly #ports: RewriterPorts;
  readonly #encoder: PromptEncoder;

  constructor({ rules, random, store }: RewriteOptions, ports: RewriterPorts) {
    this.#choice = new RewriteChoice(rules, random);
    this.#store = store;
    this.#ports = ports;
    this.#encoder = ports.encoder;
  }

  /** True when it takes the request over: it will be refused, or encoded again for its target. */
  takes(request: ActiveRequest, encoded: EncodedPrompt): boolean {
    // A target is never rewritten again.
    if (request.askedModel !== null) return false;
    const target = this.#choice.of(encoded.model, request.head);
    if (target === null) return false;
    if (target instanceof RouterError) {
      this.#ports.reject(request, target);
      return true;
    }
    request.askedModel = encoded.model;
    this.#ports.observer.rewritten(encoded.model, target);
    if (target === encoded.model) return false;
    const refusal = this.#replace(request, encoded, target);
    if (refusal === null) void this.#encodeAgain(request, target);
    else this.#ports.reject(request, refusal);
    return true;
  }

  #replace(request: ActiveRequest, encoded: EncodedPrompt, target: string): RouterError | null {
    const place = { offset: encoded.modelOffset, length: encoded.modelBytes };
    const name = Buffer.from(JSON.stringify(target), 'utf8');
    const status = this.#store.replace(request.head.handle, place, name);
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
export function unserved(request: ActiveRequest, error: RouterError): RouterError {
  const { askedModel } = request;
  if (askedModel === null || error.code !== 'model_not_found') return error;
  const text = `\`${askedModel}\` is rewritten here, but ${error.message}`;
  return new RouterError('model_not_found', text, { param: 'model' });
}
