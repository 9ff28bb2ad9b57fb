// The world around the request path for its tests: a data plane, an encoder and a fleet in memory
// that keep the contracts and write down what they were told. Tests play the engine's side.

import assert from 'node:assert/strict';
import type {
  CompletionOutcome,
  DataPlane,
  DataPlaneHandler,
  ForwardOrder,
  ForwardProgress,
  PromptEncoder,
} from '#contracts/core.js';
import type { LoggedDecision } from '#contracts/decision.js';
import type { AttemptOutcome, Fleet, FleetSnapshot } from '#contracts/endpoint.js';
import type { ErrorCode, RouterError } from '#contracts/errors.js';
import { TELLING_HEADERS } from '#contracts/header-names.js';
import type { LogFields, Logger } from '#contracts/logger.js';
import type { FinishedRequest, RequestObserver } from '#contracts/observer.js';
import type { Policy, Profile } from '#contracts/plugin.js';
import type { EncodedPrompt, RequestHandle, RequestHead } from '#contracts/request.js';
import type { LocalHandlers } from '#request/admit.js';
import { Decider } from '#request/decide.js';
import { DecisionRing } from '#request/decision-ring.js';
import type { SentRequests } from '#request/histories.js';
import type { Objectives } from '#request/objective.js';
import { RequestPriorities } from '#request/objective.js';
import { RequestPipeline } from '#request/pipeline.js';
import type { RewriteOptions } from '#request/rewrite.js';
import { ModelRewrites } from '#request/rewrite.js';
import { promptMatch } from '#test/support/scheduling.js';
import { VirtualClock } from '#test/support/time.js';

export type Ending =
  | { readonly kind: 'forward'; readonly order: ForwardOrder }
  | { readonly kind: 'reject'; readonly error: RouterError }
  | { readonly kind: 'respond'; readonly status: number; readonly body: string };

/** What a test says about a request; the rest is a plain chat completion. */
export interface HeadSketch {
  readonly method?: string;
  readonly path?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly bodyBytes?: number;
}

export interface World {
  readonly clock: VirtualClock;
  readonly pipeline: RequestPipeline;
  /** How each request was ended, by request id; more than one entry is a fault. */
  readonly endings: Map<string, Ending[]>;
  readonly finished: FinishedRequest[];
  /** Decisions so far, oldest first. */
  decisions(): readonly LoggedDecision[];
  readonly log: { readonly level: string; readonly fields: LogFields; readonly sentence: string }[];
  /** `slot outcome` of every report to the fleet. */
  readonly reports: string[];
  /** `speculate slot` and `withdraw slot` in order. */
  readonly speculations: string[];
  /** Slots whose endpoints have a history, and what those were told, in order. */
  readonly historySlots: Set<number>;
  readonly histories: string[];
  readonly counts: {
    admitted: number;
    stripped: number;
    mediaLeftOut: number;
    rewritten: string[];
    policyFailed: number;
    objectiveUnknown: number;
    scorerViolated: number;
    batches: number[];
  };
  /** Record of the requests encoded from now on. */
  encoded: EncodedPrompt;
  /** Set: the core has encoded requests before it hands them over. */
  encodedAhead: boolean;
  /** Set: the encoder rejects, as a stopped one does. */
  encoderStopped: boolean;
  /** False: forwarding finds that the client has gone. */
  clientsThere: boolean;
  /** Replaces the fleet's snapshot. */
  snapshot: FleetSnapshot;
  /** Hands requests over and waits until they are decided. */
  send(...sketches: readonly HeadSketch[]): Promise<readonly RequestHandle[]>;
  progress(progress: ForwardProgress, requestsFollow?: boolean): void;
  /** Ends a request as the data plane would. */
  done(handle: RequestHandle, changes?: Partial<Extract<ForwardProgress, { kind: 'done' }>>): void;
  /** The only ending of the request, which it must have. */
  ending(handle: RequestHandle): Ending;
}

/** A record of a prompt of 160 tokens, of which `usable` blocks of 16 are matched by slot. */
export function encodedPrompt(
  usable: readonly number[],
  changes: Partial<EncodedPrompt> = {},
): EncodedPrompt {
  return {
    error: null,
    model: 'model-a',
    modelIndex: 0,
    modelOffset: 10,
    modelBytes: 9,
    stream: true,
    priority: 0,
    promptTokens: 160,
    totalBlocks: 10,
    blockSize: 16,
    noMatchReason: null,
    match: promptMatch(usable),
    patches: [],
    media: [],
    mediaLeftOut: 0,
    indexEpoch: 7,
    micros: { parse: 10, render: 20, tokenize: 300, hash: 4, match: 6 },
    ...changes,
  };
}

export interface WorldOptions {
  readonly decisionHeaders?: boolean;
  readonly local?: Partial<LocalHandlers>;
  readonly objectives?: Objectives;
  readonly rewrites?: Partial<RewriteOptions>;
  readonly readsSubset?: boolean;
}

/** Priorities where no objective is configured, so that nothing is told of any. */
export const noObjectives: RequestPriorities = new RequestPriorities(
  {},
  { observer: { objectiveUnknown: () => {} }, logger: { warn: () => {} } },
);

export function createWorld(
  policy: Profile | Policy,
  snapshot: FleetSnapshot,
  options: WorldOptions = {},
): World {
  const clock = new VirtualClock();
  const deferred: (() => void)[] = [];
  let handed = 0;
  const ring = new DecisionRing(100);
  const world: Omit<World, 'pipeline'> = {
    clock,
    endings: new Map(),
    finished: [],
    decisions: () => [...ring.last(100)].reverse(),
    log: [],
    reports: [],
    speculations: [],
    historySlots: new Set(),
    histories: [],
    counts: {
      admitted: 0,
      stripped: 0,
      mediaLeftOut: 0,
      rewritten: [],
      policyFailed: 0,
      objectiveUnknown: 0,
      scorerViolated: 0,
      batches: [],
    },
    encoded: encodedPrompt([]),
    encodedAhead: false,
    encoderStopped: false,
    clientsThere: true,
    snapshot,
    send: async (...sketches) => {
      const heads = sketches.map((sketch, at) =>
        requestHead(handed + at + 1, sketch, clock.nowMs()),
      );
      handed += heads.length;
      pipeline.onRequests(heads);
      for (const callback of deferred.splice(0)) callback();
      // Encoding and local answers resolve within a few microtasks.
      await new Promise((resolve) => setImmediate(resolve));
      return heads.map(({ handle }) => handle);
    },
    progress: (progress, requestsFollow = false) => pipeline.onProgress([progress], requestsFollow),
    done: (handle, changes = {}) => pipeline.onProgress([doneRecord(handle, changes)], false),
    ending: (handle) => {
      const [ending, ...more] = world.endings.get(requestId(handle)) ?? [];
      if (ending === undefined || more.length > 0) {
        throw new Error(`${1 + more.length} endings of ${requestId(handle)}`);
      }
      return ending;
    },
  };
  const fleet = fleetOf(world);
  const observer = observerOf(world);
  const logger = loggerOf(world);
  const decider = new Decider({
    readsSubset: options.readsSubset ?? false,
    policy: 'profiles' in policy ? policy : profilePolicy(policy),
    priorities: new RequestPriorities(options.objectives ?? {}, { observer, logger }),
    endpointCapacity: snapshot.bySlot.length,
    fleet,
    clock,
  });
  const pipeline = new RequestPipeline({
    decider,
    decisionHeaders: options.decisionHeaders ?? true,
    rewrites: rewritesOf(decider, options.rewrites),
    localHandlers: { ...LOCAL, ...options.local },
    ports: {
      plane: planeOf(world),
      encoder: encoderOf(world),
      histories: historiesOf(world),
      fleet,
      observer,
      decisions: ring,
      logger,
      clock,
      isoNow: () => '2026-01-01T00:00:00.000Z',
      defer: (callback) => deferred.push(callback),
    },
  });
  return Object.assign(world, { pipeline });
}

/** A policy of one profile, with nothing before it. */
export function profilePolicy(profile: Profile): Policy {
  const choose = (): string => profile.name;
  return { profiles: [profile], producers: [], handler: { type: 'test', plugin: { choose } } };
}

function requestId(handle: RequestHandle): string {
  return `request-${handle.slot}-${handle.generation}`;
}

/** Rewrites by no rule of requests that ask for no other model, but for what is given. */
export function rewritesOf(decider: Decider, options: Partial<RewriteOptions> = {}): ModelRewrites {
  const random = { next: () => assert.fail('nothing is drawn') };
  const store = { replace: () => assert.fail('no body is changed') };
  const resolve = decider.resolve.bind(decider);
  return new ModelRewrites({ rules: [], random, store, resolve, ...options });
}

/** Whether a head with these headers is a telling one, as the data plane would say. */
export function tells(headers: Readonly<Record<string, string>>): boolean {
  return TELLING_HEADERS.some((name) => name in headers);
}

function requestHead(number: number, sketch: HeadSketch, nowMs: number): RequestHead {
  const handle = { slot: number, generation: 1 };
  return {
    handle,
    method: sketch.method ?? 'POST',
    path: sketch.path ?? '/v1/chat/completions',
    requestId: requestId(handle),
    headers: sketch.headers ?? { 'content-type': 'application/json' },
    telling: tells(sketch.headers ?? {}),
    bodyBytes: sketch.bodyBytes ?? 100,
    receivedAtMs: nowMs,
  };
}

export function doneRecord(
  handle: RequestHandle,
  changes: Partial<Extract<ForwardProgress, { kind: 'done' }>> = {},
): ForwardProgress {
  const outcome: CompletionOutcome = 'completed';
  const errorCode: ErrorCode | null = null;
  return {
    kind: 'done',
    handle,
    slot: 0,
    status: 200,
    outcome,
    errorCode,
    firstByteMs: 100,
    lastByteMs: 1100,
    responseBytes: 10,
    chunks: 12,
    usage: { promptTokens: 160, completionTokens: 11, cachedTokens: 144 },
    ...changes,
  };
}

const LOCAL: LocalHandlers = {
  '/v1/models': () => ({ status: 200, headers: [], body: 'models' }),
  '/health': () => ({ status: 200, headers: [], body: 'healthy' }),
  '/ready': async () => ({ status: 503, headers: [], body: 'not ready' }),
  '/status': () => ({ status: 200, headers: [], body: 'status' }),
  '/metrics': () => ({ status: 200, headers: [], body: 'metrics' }),
};

type Parts = Omit<World, 'pipeline'>;

function planeOf(world: Parts): DataPlane {
  const end = (handle: RequestHandle, ending: Ending): boolean => {
    const endings = world.endings.get(requestId(handle)) ?? [];
    world.endings.set(requestId(handle), [...endings, ending]);
    return world.clientsThere;
  };
  return {
    start: async (_handler: DataPlaneHandler) => ({ address: '127.0.0.1', port: 1 }),
    setEndpoints: () => {},
    setUsable: () => {},
    forward: (handle, order) => end(handle, { kind: 'forward', order }),
    reject: (handle, error) => end(handle, { kind: 'reject', error }),
    respond: (handle, status, _headers, body) =>
      end(handle, { kind: 'respond', status, body: String(body) }),
    drain: async () => {},
    inFlight: () => 0,
  };
}

function encoderOf(world: Parts): PromptEncoder {
  return {
    start: async () => {},
    setModels: async () => {},
    isEncoded: () => world.encodedAhead,
    encode: async (handles) => {
      if (world.encoderStopped) throw new Error('stopped');
      world.counts.batches.push(handles.length / 2);
    },
    read: () => world.encoded,
    tokenize: async () => new Uint32Array(0),
    speculate: (_handle, slot) => world.speculations.push(`speculate ${slot}`),
    withdraw: (_handle, slot) => world.speculations.push(`withdraw ${slot}`),
    stats: () => ({
      workers: 2,
      workersLost: 0,
      queued: 0,
      prefixCacheHits: 0,
      prefixCacheLookups: 0,
    }),
    stop: async () => {},
  };
}

function historiesOf(world: Parts): SentRequests {
  return {
    begin: (handle, slot, { promptTokens }) => {
      if (!world.historySlots.has(slot)) return false;
      world.histories.push(`begin ${handle.slot} ${slot} ${promptTokens}`);
      return true;
    },
    end: (handle, slot, { computed, cached }) => {
      world.histories.push(`end ${handle.slot} ${slot} ${computed} ${cached}`);
    },
    withdraw: (handle) => {
      world.histories.push(`withdraw ${handle.slot}`);
    },
  };
}

/** Counts into the snapshot's states, as the real fleet does. */
function fleetOf(world: Parts): Fleet {
  return {
    snapshot: () => world.snapshot,
    acquire: (slot, { uncachedPromptTokens, outputTokens }) => {
      const load = world.snapshot.bySlot[slot]?.inFlight;
      if (load === undefined) throw new Error(`slot ${slot} is free`);
      load.requests += 1;
      load.uncachedPromptTokens += uncachedPromptTokens;
      load.outputTokens += outputTokens;
      let promptTokens = uncachedPromptTokens;
      let requests = 1;
      const releasePromptTokens = (): void => {
        load.uncachedPromptTokens -= promptTokens;
        promptTokens = 0;
      };
      return {
        releasePromptTokens,
        release: () => {
          releasePromptTokens();
          load.requests -= requests;
          load.outputTokens -= requests * outputTokens;
          requests = 0;
        },
      };
    },
    report: (slot: number, outcome: AttemptOutcome) => world.reports.push(`${slot} ${outcome}`),
  };
}

function observerOf(world: Parts): RequestObserver {
  return {
    admitted: () => {
      world.counts.admitted += 1;
    },
    stage: (_stage, micros) => {
      if (!(micros >= 0)) throw new Error(`${micros} µs`);
    },
    stripped: (count) => {
      world.counts.stripped += count;
    },
    mediaLeftOut: (count) => {
      world.counts.mediaLeftOut += count;
    },
    decided: () => {},
    scorerViolated: (_scorer, count) => {
      world.counts.scorerViolated += count;
    },
    rewritten: (model, target) => world.counts.rewritten.push(`${model} ${target}`),
    objectiveUnknown: () => {
      world.counts.objectiveUnknown += 1;
    },
    policyFailed: () => {
      world.counts.policyFailed += 1;
    },
    attemptFailed: () => {},
    finished: (request) => world.finished.push(request),
  };
}

function loggerOf(world: Parts): Logger {
  const at =
    (level: string) =>
    (fields: LogFields, sentence: string): void => {
      world.log.push({ level, fields, sentence });
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
