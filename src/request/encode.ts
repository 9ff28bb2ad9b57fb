// Second stage: hands bodies to the prompt encoder, which parses, tokenises, hashes and matches
// off this thread. Requests of one turn of the event loop share a hop; they are spread over the
// encoder's workers first, because waiting behind another prompt costs more than a hop. Where the
// core has encoded a request before handing it over, it goes on at once.

import type { PromptEncoder } from '#contracts/core.js';
import { ENCODE_BATCH_MAX } from '#contracts/limits.js';
import type { EncodedPrompt, NoMatchReason, RequestHead, Route } from '#contracts/request.js';
import type { ActiveRequest } from './active-request.js';

/** Called once for every request that was added and is still there. Must not throw. */
export type Encoded = (request: ActiveRequest, read: () => EncodedPrompt) => void;

/** Gathers requests per route until the end of the turn. */
export class EncodeGate {
  readonly #encoder: PromptEncoder;
  readonly #defer: (callback: () => void) => void;
  /** Whether the request is still there: its client may have gone while it waited. */
  readonly #isActive: (request: ActiveRequest) => boolean;
  readonly #onEncoded: Encoded;
  readonly #waiting = new Map<Route, ActiveRequest[]>();
  #flushing = false;

  constructor(options: {
    readonly encoder: PromptEncoder;
    readonly defer: (callback: () => void) => void;
    readonly isActive: (request: ActiveRequest) => boolean;
    readonly onEncoded: Encoded;
  }) {
    this.#encoder = options.encoder;
    this.#defer = options.defer;
    this.#isActive = options.isActive;
    this.#onEncoded = options.onEncoded;
  }

  add(request: ActiveRequest): void {
    const { head, route } = request;
    if (hasPrompt(head, route) && this.#encoder.isEncoded(head.handle)) {
      this.#onEncoded(request, () => this.#encoder.read(head.handle));
      return;
    }
    const waiting = this.#waiting.get(request.route);
    if (waiting === undefined) this.#waiting.set(request.route, [request]);
    else waiting.push(request);
    if (this.#flushing) return;
    this.#flushing = true;
    this.#defer(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    for (const [route, gathered] of this.#waiting) {
      this.#waiting.delete(route);
      const requests = gathered.filter((request) => this.#isActive(request));
      const share = Math.ceil(requests.length / Math.max(1, this.#encoder.stats().workers));
      const size = Math.min(share, ENCODE_BATCH_MAX);
      for (let start = 0; start < requests.length; start += size) {
        void this.#encode(requests.slice(start, start + size), route);
      }
    }
  }

  async #encode(requests: readonly ActiveRequest[], route: Route): Promise<void> {
    const bodies = requests.filter((request) => hasPrompt(request.head, route));
    let failed = false;
    if (bodies.length > 0) {
      const handles = new Uint32Array(bodies.length * 2);
      for (const [position, { head }] of bodies.entries()) {
        handles[position * 2] = head.handle.slot;
        handles[position * 2 + 1] = head.handle.generation;
      }
      try {
        await this.#encoder.encode(handles, route);
      } catch {
        // Only a stopped encoder rejects; its requests still deserve an answer.
        failed = true;
      }
    }
    for (const request of requests) {
      if (!this.#isActive(request)) continue;
      this.#onEncoded(request, () => this.#read(request, route, failed));
    }
  }

  #read(request: ActiveRequest, route: Route, failed: boolean): EncodedPrompt {
    if (failed) return withoutPrompt('encoder-failed');
    if (!hasPrompt(request.head, route)) return withoutPrompt('not-a-prompt');
    return this.#encoder.read(request.head.handle);
  }
}

/** A body the encoder can look into; passed-through uploads and bodiless requests have none. */
function hasPrompt(head: RequestHead, route: Route): boolean {
  if (route !== 'passthrough') return true;
  const contentType = head.headers['content-type'];
  return head.bodyBytes > 0 && (contentType === undefined || /\bjson\b/i.test(contentType));
}

const NOTHING = new Uint32Array(0);

/** The record of a request about whose body nothing is known. */
export function withoutPrompt(noMatchReason: NoMatchReason): EncodedPrompt {
  return {
    error: null,
    model: '',
    modelIndex: -1,
    modelOffset: 0,
    modelBytes: 0,
    stream: false,
    priority: 0,
    promptTokens: 0,
    totalBlocks: 0,
    blockSize: 0,
    noMatchReason,
    match: {
      usableBlocks: NOTHING,
      rawBlocks: NOTHING,
      speculativeBlocks: NOTHING,
      tierBlocks: NOTHING,
    },
    patches: [],
    media: [],
    mediaLeftOut: 0,
    indexEpoch: 0,
    micros: { parse: 0, render: 0, tokenize: 0, hash: 0, match: 0 },
  };
}
