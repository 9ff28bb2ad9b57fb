// Fleets and contexts for tests of plugins and of the request path: plain values, no behaviour.

import type { Endpoint, EndpointState, FleetSnapshot, ServedModel } from '#contracts/endpoint.js';
import type { Random } from '#contracts/random.js';
import { seededRandom } from '#contracts/random.js';
import type { PromptMatch } from '#contracts/request.js';
import type { PluginHost, SchedulingContext } from '#contracts/scheduling.js';
import { CandidateSet, requestSignals, SharedState } from '#contracts/scheduling.js';

/** What a test says about one endpoint; the rest is idle, healthy and fresh. */
export interface EndpointSketch {
  readonly models?: readonly ServedModel[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly dpRank?: number;
  readonly id?: string;
  readonly waiting?: number;
  readonly running?: number;
  readonly kvCacheUsage?: number;
  readonly inFlight?: number;
  /** Prompt tokens in flight. */
  readonly inFlightTokens?: number;
  /** Estimated tokens of answers in flight. */
  readonly outputTokens?: number;
  readonly maxAdapters?: number;
  readonly runningAdapters?: readonly string[];
  readonly waitingAdapters?: readonly string[];
  readonly scrapedAtMs?: number;
  readonly healthy?: boolean;
  readonly draining?: boolean;
  readonly publisher?: EndpointState['publisher'];
}

export function servedModel(id: string, parent: string | null = null): ServedModel {
  return { id, parent, root: null, maxModelLen: null, loaded: true, raw: { id } };
}

export function endpointState(slot: number, sketch: EndpointSketch = {}): EndpointState {
  const endpoint: Endpoint = {
    slot,
    name: `10.0.0.${slot}:8000${sketch.dpRank === undefined ? '' : `|${sketch.dpRank}`}`,
    id: sketch.id ?? null,
    url: `http://10.0.0.${slot}:8000`,
    dpRank: sketch.dpRank ?? null,
    engine: 'vllm',
    labels: sketch.labels ?? {},
    security: { apiKey: null, caPem: null },
    models: sketch.models ?? [servedModel('model-a')],
    blockSize: 16,
    gpuBlocks: 1000,
    cacheTokens: null,
    events: null,
  };
  return {
    endpoint,
    reported: {
      waitingRequests: sketch.waiting ?? 0,
      runningRequests: sketch.running ?? 0,
      kvCacheUsage: sketch.kvCacheUsage ?? 0,
      maxAdapters: sketch.maxAdapters ?? 0,
      runningAdapters: new Set(sketch.runningAdapters),
      waitingAdapters: new Set(sketch.waitingAdapters),
    },
    inFlight: {
      requests: sketch.inFlight ?? 0,
      uncachedPromptTokens: sketch.inFlightTokens ?? 0,
      outputTokens: sketch.outputTokens ?? 0,
    },
    scrapedAtMs: sketch.scrapedAtMs ?? 0,
    healthy: sketch.healthy ?? true,
    draining: sketch.draining ?? false,
    publisher: sketch.publisher ?? 'live',
  };
}

/** A snapshot with one endpoint per sketch, from slot 0; null leaves a slot free. */
export function fleetSnapshot(
  sketches: readonly (EndpointSketch | null)[],
  capacity: number = sketches.length,
): FleetSnapshot {
  const bySlot: (EndpointState | null)[] = sketches.map((sketch, slot) =>
    sketch === null ? null : endpointState(slot, sketch),
  );
  while (bySlot.length < capacity) bySlot.push(null);
  return { epoch: 1, bySlot };
}

/** A match with these usable blocks by slot, all of them on the GPU. */
export function promptMatch(
  usable: readonly number[],
  speculative: readonly number[] = usable,
): PromptMatch {
  return {
    usableBlocks: Uint32Array.from(usable),
    rawBlocks: Uint32Array.from(usable),
    speculativeBlocks: Uint32Array.from(speculative),
    tierBlocks: Uint32Array.from(usable.flatMap((blocks) => [blocks, 0, 0, 0])),
  };
}

export function schedulingContext(
  fleet: FleetSnapshot,
  changes: Partial<SchedulingContext> = {},
): SchedulingContext {
  return {
    requestId: 'request-1',
    model: 'model-a',
    pool: 'model-a',
    adapter: '',
    headers: () => ({}),
    priority: 0,
    promptTokens: 0,
    totalBlocks: 0,
    blockSize: 16,
    match: null,
    noMatchReason: null,
    media: [],
    signals: requestSignals(),
    subset: null,
    fleet,
    nowMs: 0,
    ...changes,
  };
}

/** Every taken slot, or the given ones. */
export function candidatesOf(fleet: FleetSnapshot, slots?: readonly number[]): CandidateSet {
  const candidates = new CandidateSet(fleet.bySlot.length);
  for (const slot of slots ?? fleet.bySlot.keys()) {
    if (fleet.bySlot[slot] !== null) candidates.add(slot);
  }
  return candidates;
}

export function pluginHost(endpointCapacity: number, random: Random = seededRandom(1)): PluginHost {
  const shared = new SharedState();
  return { name: '', random, endpointCapacity, metricsStaleAfterMs: 5000, shared };
}
