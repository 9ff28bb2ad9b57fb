// Everything the main thread does for one request besides sockets: hand-over, scheduling, the order
// to forward, the decision log, the log line, metrics, first byte and end. The data plane and the
// encoder are in memory and cost next to nothing, so decisions per second are 1 / this figure.

import { createWriteStream } from 'node:fs';
import { buildPolicy } from '#config/build-policy.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import type { DataPlane, PromptEncoder } from '#contracts/core.js';
import { DECISIONS_KEPT } from '#contracts/limits.js';
import { seededRandom } from '#contracts/random.js';
import type { EncodedPrompt, RequestHandle, RequestHead } from '#contracts/request.js';
import { FleetRegistry } from '#fleet/registry.js';
import { isoNow } from '#main/iso-time.js';
import { createLogger } from '#observability/log.js';
import { RouterMetrics } from '#observability/metrics.js';
import type { LocalHandlers } from '#request/admit.js';
import { Decider } from '#request/decide.js';
import { DecisionRing } from '#request/decision-ring.js';
import { RequestPriorities } from '#request/objective.js';
import { RequestPipeline } from '#request/pipeline.js';
import { rewritesOf } from '#test/support/request-world.js';
import { pluginHost, promptMatch, servedModel } from '#test/support/scheduling.js';
import { processClock } from '#workers/process-clock.js';
import { measure, printMachine, printTable, type Task } from '../support/measure.js';

const FLEETS = [8, 64, 256] as const;
const TOTAL_BLOCKS = 500;
/** Requests handed over at once: what a busy turn of the event loop gathers. */
const BATCH = 16;

const idlePlane: DataPlane = {
  start: async () => ({ address: '', port: 0 }),
  setEndpoints: () => {},
  setUsable: () => {},
  forward: () => true,
  reject: () => true,
  respond: () => true,
  drain: async () => {},
  inFlight: () => 0,
};

printMachine();
const policies = ['precise', 'load-aware'] as const;
const rows: (string | number)[][] = [];
for (const policy of policies) {
  for (const level of ['info', 'error'] as const) {
    const results = measure(
      FLEETS.map((endpoints) => requests(policy, endpoints, level)),
      1500,
    );
    const label = `${policy}, ${level === 'info' ? 'one log line each' : 'log level error'}`;
    rows.push([label, ...results.map(({ unitNs }) => unitNs / 1000)]);
  }
}
console.log('CPU µs of the main thread per request, by endpoints in the fleet');
printTable(['policy', ...FLEETS.map(String)], rows);

function requests(
  policy: (typeof policies)[number],
  endpoints: number,
  level: 'info' | 'error',
): Task {
  const pipeline = createPipeline(policy, endpoints, level);
  let generation = 1;
  return {
    name: `${policy}, ${endpoints}, ${level}`,
    units: BATCH,
    run: () => {
      generation += 2;
      const heads = Array.from({ length: BATCH }, (_, slot) => head(slot, generation));
      pipeline.onRequests(heads);
      for (const { handle } of heads)
        pipeline.onProgress([{ kind: 'first-byte', handle, slot: 0, status: 200 }], false);
      pipeline.onProgress(
        heads.map(({ handle }) => done(handle)),
        false,
      );
    },
  };
}

function createPipeline(
  policy: (typeof policies)[number],
  endpoints: number,
  level: 'info' | 'error',
): RequestPipeline {
  const random = seededRandom(7);
  const draw = (most: number): number => Math.floor(random.next() * most);
  const usable = Array.from({ length: endpoints }, (_, slot) =>
    slot % 10 === 0 ? draw(TOTAL_BLOCKS) : 0,
  );
  const registry = fleet(endpoints);
  const logger = createLogger({ level, destination: createWriteStream('/dev/null'), isoNow });
  const observer = new RouterMetrics({
    core: 'none',
    version: '',
    nodeVersion: '',
    processMetrics: false,
  });
  const decider = new Decider({
    readsSubset: false,
    policy: buildPolicy(singleProfilePolicy(POLICY_PROFILES[policy]), pluginHost(endpoints)),
    endpointCapacity: endpoints,
    fleet: registry,
    clock: processClock,
    priorities: new RequestPriorities({}, { observer, logger }),
  });
  return new RequestPipeline({
    decider,
    rewrites: rewritesOf(decider),
    decisionHeaders: true,
    localHandlers: {} as LocalHandlers,
    ports: {
      plane: idlePlane,
      encoder: readyEncoder(encoded(usable)),
      histories: { begin: () => false, end: () => {}, withdraw: () => {} },
      fleet: registry,
      observer,
      decisions: new DecisionRing(DECISIONS_KEPT),
      logger,
      clock: processClock,
      isoNow,
      defer: setImmediate,
    },
  });
}

function fleet(endpoints: number): FleetRegistry {
  const registry = new FleetRegistry({ capacity: endpoints, onReport: () => {} });
  for (let at = 0; at < endpoints; at += 1) {
    const url = `http://10.0.${at >> 8}.${at & 255}:8000`;
    registry.replaceAddress(url, [
      {
        name: url.slice(7),
        url,
        id: null,
        dpRank: null,
        engine: 'vllm',
        labels: {},
        security: { apiKey: null, caPem: null },
        models: [servedModel('model-a')],
        blockSize: 16,
        gpuBlocks: 1000,
        cacheTokens: null,
        events: null,
      },
    ]);
  }
  for (const state of registry.states()) state.healthy = true;
  return registry;
}

function encoded(usable: readonly number[]): EncodedPrompt {
  return {
    error: null,
    model: 'model-a',
    modelIndex: 0,
    modelOffset: 0,
    modelBytes: 0,
    stream: true,
    priority: 0,
    promptTokens: TOTAL_BLOCKS * 16,
    totalBlocks: TOTAL_BLOCKS,
    blockSize: 16,
    noMatchReason: null,
    match: promptMatch(usable),
    patches: [],
    media: [],
    mediaLeftOut: 0,
    indexEpoch: 0,
    micros: { parse: 10, render: 20, tokenize: 30, hash: 4, match: 6 },
  };
}

/** Has encoded every request by the time it is handed over, as the native core has. */
function readyEncoder(record: EncodedPrompt): PromptEncoder {
  return {
    start: async () => {},
    setModels: async () => {},
    isEncoded: () => true,
    encode: async () => {},
    read: () => record,
    tokenize: async () => new Uint32Array(0),
    speculate: () => {},
    withdraw: () => {},
    stats: () => ({
      workers: 1,
      workersLost: 0,
      queued: 0,
      prefixCacheHits: 0,
      prefixCacheLookups: 0,
    }),
    stop: async () => {},
  };
}

function head(slot: number, generation: number): RequestHead {
  return {
    handle: { slot, generation },
    method: 'POST',
    path: '/v1/chat/completions',
    requestId: `2f1c4c52-6d5e-4d7a-9c1e-${generation}-${slot}`,
    headers: { 'content-type': 'application/json' },
    telling: false,
    bodyBytes: 32_000,
    receivedAtMs: processClock.nowMs(),
  };
}

function done(handle: RequestHandle): Parameters<RequestPipeline['onProgress']>[0][number] {
  return {
    kind: 'done',
    handle,
    slot: 0,
    status: 200,
    outcome: 'completed',
    errorCode: null,
    firstByteMs: 100,
    lastByteMs: 1100,
    responseBytes: 1000,
    chunks: 12,
    usage: { promptTokens: 8000, completionTokens: 11, cachedTokens: 4000 },
  };
}
