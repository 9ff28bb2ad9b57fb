// A fleet with its router in virtual time: the production request path (pipeline, decision step, policy,
// load counting, speculation) over virtual engines. Clients send token ids and get back when the
// first token came, from whom, and how much of the prompt the engine reused.

import { buildPolicy } from '#config/build-policy.js';
import type { PolicySettings } from '#config/configuration.js';
import type { DataPlane, ForwardOrder, ForwardProgress } from '#contracts/core.js';
import type { FinishedRequest, RequestObserver } from '#contracts/observer.js';
import type { Policy } from '#contracts/plugin.js';
import type { Random } from '#contracts/random.js';
import type { RequestHandle } from '#contracts/request.js';
import { createRoutingHistory } from '#core/portable/history/routing-history.js';
import { historyPlans } from '#fleet/histories.js';
import { Decider } from '#request/decide.js';
import { DecisionRing } from '#request/decision-ring.js';
import { Histories, type SentRequests } from '#request/histories.js';
import { RequestPipeline } from '#request/pipeline.js';
import type { EngineModelOptions, GeneratedToken } from '#simulation/engine-model.js';
import { noObjectives, rewritesOf, tells } from '#test/support/request-world.js';
import { pluginHost } from '#test/support/scheduling.js';
import { VirtualClock } from '#test/support/time.js';
import {
  BLOCK_SIZE,
  CAPACITY,
  MODEL,
  nameOf,
  VirtualEngines,
} from '#test/support/virtual-fleet/engines.js';
import { VirtualPrompts } from '#test/support/virtual-fleet/prompts.js';

const REQUEST_ID = 'request-';
/** Writer of the histories in the index; the events' is 0. */
const HISTORY_WRITER = 1;

export interface VirtualFleetOptions {
  readonly endpoints: number;
  readonly policy: PolicySettings;
  readonly random: Random;
  /** From a match until its decision: requests decided meanwhile are not in it. Default 0.2. */
  readonly decideDelayMs?: number;
  /** Default 2: a frame on a local network, and its application. */
  readonly eventDelayMs?: number;
  /** False: engines publish nothing, and the router keeps histories of them. Default true. */
  readonly events?: boolean;
  /** Default 1,000, as the router scrapes. */
  readonly scrapeIntervalMs?: number;
  readonly engine?: Partial<EngineModelOptions>;
}

export interface VirtualRequest {
  /** Equal prompts may be one array: their keys are then computed once. */
  readonly tokenIds: readonly number[];
  readonly outputTokens: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** How a request ended. */
export interface VirtualAnswer {
  /** 200, or the status it was refused with; 502 when an engine died within its answer, or its last one. */
  readonly status: number;
  /** Endpoint it was sent to last, −1 for none. */
  readonly slot: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly sentAtMs: number;
  /** From when it was sent; NaN without a token. */
  readonly firstTokenMs: number;
  readonly lastTokenMs: number;
  /** Prompt tokens it was predicted to reuse, and those it did. */
  readonly predictedTokens: number;
  readonly cachedTokens: number;
  /** Ids of the answer's tokens. */
  readonly tokenIds: readonly number[];
}

interface Open {
  readonly request: VirtualRequest;
  readonly sentAtMs: number;
  readonly onAnswer: (answer: VirtualAnswer) => void;
  order: ForwardOrder | null;
  firstTokenMs: number;
  cachedTokens: number;
  predictedTokens: number;
  readonly tokenIds: number[];
}

export class VirtualFleet {
  readonly clock: VirtualClock = new VirtualClock();
  readonly engines: VirtualEngines;
  readonly #prompts: VirtualPrompts;
  readonly #pipeline: RequestPipeline;
  readonly #decideDelayMs: number;
  readonly #events: boolean;
  readonly #open = new Map<number, Open>();
  #sent = 0;

  constructor(options: VirtualFleetOptions) {
    const { clock } = this;
    const { endpoints, random } = options;
    this.#decideDelayMs = options.decideDelayMs ?? 0.2;
    this.#events = options.events ?? true;
    this.engines = new VirtualEngines({
      clock,
      random,
      endpoints,
      eventDelayMs: options.eventDelayMs ?? 2,
      events: this.#events,
      scrapeIntervalMs: options.scrapeIntervalMs ?? 1000,
      engine: options.engine ?? {},
    });
    this.#prompts = new VirtualPrompts(this.engines.index, clock);
    const policy = buildPolicy(options.policy, pluginHost(CAPACITY, random));
    this.#pipeline = this.#createPipeline(policy);
  }

  /** Sends a request now. */
  send(request: VirtualRequest, onAnswer: (answer: VirtualAnswer) => void): void {
    this.#sent += 1;
    const handle = { slot: this.#sent, generation: 1 };
    const receivedAtMs = this.clock.nowMs();
    this.#open.set(handle.slot, {
      request,
      sentAtMs: receivedAtMs,
      onAnswer,
      order: null,
      firstTokenMs: Number.NaN,
      cachedTokens: 0,
      predictedTokens: 0,
      tokenIds: [],
    });
    this.#prompts.prepare(handle, request.tokenIds);
    const head = {
      handle,
      method: 'POST',
      path: '/v1/completions',
      requestId: `${REQUEST_ID}${handle.slot}`,
      headers: { 'content-type': 'application/json', ...request.headers },
      telling: tells(request.headers ?? {}),
      bodyBytes: 6 * request.tokenIds.length,
      receivedAtMs,
    };
    this.clock.after(this.#decideDelayMs, () => this.#pipeline.onRequests([head]));
  }

  /** Runs until every request has ended; at most `limitMs`. */
  settle(limitMs = 3_600_000): void {
    for (let ms = 0; this.#open.size > 0; ms += 10) {
      if (ms > limitMs) throw new Error(`${this.#open.size} requests have not ended`);
      this.clock.advance(10);
    }
  }

  #createPipeline(policy: Policy): RequestPipeline {
    const { clock } = this;
    const local = (): never => {
      throw new Error('nobody asks for local paths here');
    };
    const { registry } = this.engines;
    const decider = new Decider({
      policy,
      priorities: noObjectives,
      endpointCapacity: CAPACITY,
      readsSubset: false,
      fleet: registry,
      clock,
    });
    return new RequestPipeline({
      decider,
      decisionHeaders: false,
      rewrites: rewritesOf(decider),
      localHandlers: {
        '/v1/models': local,
        '/health': local,
        '/ready': local,
        '/status': local,
        '/metrics': local,
      },
      ports: {
        plane: this.#plane(),
        encoder: this.#prompts,
        fleet: registry,
        histories: this.#histories(),
        observer: { ...OBSERVER, finished: (finished) => this.#onFinished(finished) },
        decisions: new DecisionRing(10),
        logger: {
          tellsInfo: false,
          debug: () => {},
          info: () => {},
          warn: () => {},
          error: (fields, sentence) => {
            throw new Error(sentence, { cause: fields['error'] });
          },
        },
        clock,
        isoNow: () => '2026-01-01T00:00:00.000Z',
        defer: (callback) => callback(),
      },
    });
  }

  #plane(): DataPlane {
    return {
      start: async () => ({ address: '127.0.0.1', port: 1 }),
      setEndpoints: () => {},
      setUsable: () => {},
      forward: (handle, order) => {
        this.#of(handle).order = order;
        // On the next turn, as from a socket: progress never comes from inside the call.
        this.clock.after(0, () => this.#attempt(handle, 0));
        return true;
      },
      reject: (handle, error) => {
        this.clock.after(0, () => this.#end(handle, -1, error.status));
        return true;
      },
      respond: () => false,
      drain: async () => {},
      inFlight: () => this.#open.size,
    };
  }

  #attempt(handle: RequestHandle, at: number): void {
    const { request, order } = this.#of(handle);
    const slot = order?.targets[at]?.slot ?? -1;
    const id = `${REQUEST_ID}${handle.slot}`;
    const { tokenIds: promptTokenIds, outputTokens } = request;
    const identity = { lora: null, cacheSalt: null };
    const sent = this.engines.submit(
      slot,
      { id, promptTokenIds, outputTokens, identity },
      (token) => {
        if (token !== null) this.#onToken(handle, slot, token);
        else if (Number.isNaN(this.#of(handle).firstTokenMs)) this.#goOn(handle, at);
        else this.#end(handle, slot, 502);
      },
    );
    if (!sent) this.#goOn(handle, at);
  }

  /** The target at `at` is dead, and the client has seen nothing of its answer. */
  #goOn(handle: RequestHandle, at: number): void {
    const { targets = [] } = this.#of(handle).order ?? {};
    const slot = targets[at]?.slot ?? -1;
    const nextSlot = targets[at + 1]?.slot ?? -1;
    const outcome = 'unreachable';
    this.#progress({ kind: 'attempt-failed', handle, slot, outcome, nextSlot });
    if (nextSlot >= 0) this.#attempt(handle, at + 1);
    else this.#end(handle, slot, 502);
  }

  #onToken(handle: RequestHandle, slot: number, token: GeneratedToken): void {
    const open = this.#of(handle);
    open.tokenIds.push(token.tokenId);
    if (Number.isNaN(open.firstTokenMs)) {
      open.firstTokenMs = this.clock.nowMs() - open.sentAtMs;
      open.cachedTokens = token.cachedTokens;
      this.#progress({ kind: 'first-byte', handle, slot, status: 200 });
    }
    if (token.finished) this.#end(handle, slot, 200);
  }

  #end(handle: RequestHandle, slot: number, status: number): void {
    const open = this.#of(handle);
    const { request, order, sentAtMs, firstTokenMs, cachedTokens, tokenIds, onAnswer } = open;
    const lastTokenMs = this.clock.nowMs() - sentAtMs;
    this.#progress({
      kind: 'done',
      handle,
      slot,
      status,
      outcome: status === 200 ? 'completed' : slot < 0 ? 'rejected' : 'endpoint-failed',
      errorCode: null,
      firstByteMs: Number.isNaN(firstTokenMs) ? -1 : firstTokenMs,
      lastByteMs: lastTokenMs,
      responseBytes: 0,
      chunks: request.outputTokens,
      usage: { promptTokens: request.tokenIds.length, completionTokens: -1, cachedTokens },
    });
    this.#open.delete(handle.slot);
    this.#prompts.forget(handle);
    const { predictedTokens } = open;
    const target = order?.targets.find((candidate) => candidate.slot === slot);
    const headers = Object.fromEntries(target?.responseHeaders ?? []);
    const times = { sentAtMs, firstTokenMs, lastTokenMs };
    onAnswer({ status, slot, headers, ...times, predictedTokens, cachedTokens, tokenIds });
  }

  #onFinished({ requestId, predictedCachedTokens }: FinishedRequest): void {
    const open = this.#open.get(Number(requestId.slice(REQUEST_ID.length)));
    if (open !== undefined) open.predictedTokens = predictedCachedTokens ?? 0;
  }

  #histories(): SentRequests {
    const { index, registry } = this.engines;
    const histories = new Histories({
      history: createRoutingHistory({
        index,
        writerId: HISTORY_WRITER,
        keysOf: (handle) => this.#prompts.keys(handle),
      }),
      defer: (callback) => this.clock.after(0, callback),
      onStuck: () => {
        throw new Error('a lock of the index stayed taken');
      },
    });
    if (!this.#events) {
      const endpoints = registry.snapshot().bySlot.flatMap((state) => state?.endpoint ?? []);
      const pools = new Map([[MODEL, endpoints]]);
      histories.update(historyPlans(pools, new Map([[MODEL, BLOCK_SIZE]])));
    }
    return histories;
  }

  #progress(progress: ForwardProgress): void {
    this.#pipeline.onProgress([progress], false);
  }

  #of({ slot }: RequestHandle): Open {
    const open = this.#open.get(slot);
    if (open === undefined) throw new Error(`request ${slot} has ended`);
    return open;
  }
}

const OBSERVER: RequestObserver = {
  admitted: () => {},
  stage: () => {},
  stripped: () => {},
  decided: () => {},
  scorerViolated: (scorer) => {
    throw new Error(`${scorer} broke its range`);
  },
  rewritten: () => {},
  mediaLeftOut: () => {},
  objectiveUnknown: () => {},
  policyFailed: (profile) => {
    throw new Error(`${profile} failed`);
  },
  attemptFailed: () => {},
  finished: () => {},
};

export { nameOf };
