// A data plane with a handler that forwards everything to all endpoints in slot order unless told
// otherwise, and keeps everything it was told.

import { after } from 'node:test';
import type { Clock } from '#contracts/clock.js';
import type {
  DataPlane,
  DataPlaneHandler,
  ForwardProgress,
  RequestStore,
  RouteTarget,
} from '#contracts/core.js';
import type { Endpoint } from '#contracts/endpoint.js';
import type { RequestHead } from '#contracts/request.js';
import { eventually } from '#test/support/eventually.js';
import { processClock } from '#workers/process-clock.js';

/** A failed test stops nothing itself; open servers would keep its process alive. */
const running = new Set<PlaneRig>();
after(async () => {
  for (const rig of running) await rig.plane.drain(0);
});

export type Done = Extract<ForwardProgress, { readonly kind: 'done' }>;

export interface PlaneParts {
  readonly plane: DataPlane;
  readonly store: RequestStore;
}

/** What a suite needs of an implementation. */
export interface PlaneSetup {
  readonly clock: Clock;
  /** Milliseconds; tests shorten single limits. */
  readonly timeouts: Readonly<Record<string, number>>;
}
export type MakePlane = (setup: PlaneSetup) => PlaneParts;

export class PlaneRig implements DataPlaneHandler {
  readonly plane: DataPlane;
  readonly store: RequestStore;
  readonly heads: RequestHead[] = [];
  readonly progress: ForwardProgress[] = [];
  readonly batchSizes: number[] = [];
  port = 0;
  onRequest: (head: RequestHead) => void = (head) => this.forward(head);
  #endpoints: readonly (Endpoint | null)[] = [];

  private constructor(parts: PlaneParts) {
    this.plane = parts.plane;
    this.store = parts.store;
  }

  static async start(
    make: MakePlane,
    urls: readonly string[],
    setup: Partial<PlaneSetup> = {},
  ): Promise<PlaneRig> {
    const rig = new PlaneRig(make({ clock: processClock, timeouts: {}, ...setup }));
    rig.setEndpoints(urls.map((url, slot) => endpoint(slot, url)));
    running.add(rig);
    const { port } = await rig.plane.start(rig);
    rig.port = port;
    return rig;
  }

  setEndpoints(endpoints: readonly (Endpoint | null)[]): void {
    this.#endpoints = endpoints;
    this.plane.setEndpoints(endpoints, (one) => one.models.map(({ id }) => id));
  }

  forward(head: RequestHead, changes: Partial<RouteTarget> = {}): boolean {
    const targets = this.#endpoints
      .filter((one) => one !== null)
      .map(({ slot }) => ({ slot, requestHeaders: [], responseHeaders: [], ...changes }));
    return this.plane.forward(head.handle, { targets, patches: [] });
  }

  onRequests(batch: readonly RequestHead[]): void {
    this.batchSizes.push(batch.length);
    this.heads.push(...batch);
    for (const head of batch) this.onRequest(head);
  }

  onProgress(batch: readonly ForwardProgress[]): void {
    this.progress.push(...batch);
  }

  get done(): readonly Done[] {
    return this.progress.filter((record): record is Done => record.kind === 'done');
  }

  /** Kinds and outcomes in the order they were told. */
  get story(): readonly string[] {
    return this.progress.map((record) => {
      if (record.kind === 'attempt-failed') {
        return `${record.slot} ${record.outcome} -> ${record.nextSlot}`;
      }
      if (record.kind === 'first-byte') return `${record.slot} answers ${record.status}`;
      return `${record.outcome} ${record.errorCode ?? ''}`.trim();
    });
  }

  async finished(count: number): Promise<void> {
    await eventually(
      `${count} requests done, got ${this.done.length}`,
      () => this.done.length >= count,
    );
  }

  /** Ends the plane and checks that nothing was leaked. */
  async stop(): Promise<void> {
    running.delete(this);
    await this.plane.drain(0);
    const { slots, bytes } = this.store.usage();
    if (this.plane.inFlight() !== 0 || slots !== 0 || bytes !== 0) {
      throw new Error(`leaked: ${this.plane.inFlight()} requests, ${slots} slots, ${bytes} bytes`);
    }
  }
}

export function endpoint(slot: number, url: string, changes: Partial<Endpoint> = {}): Endpoint {
  return {
    slot,
    name: new URL(url).host,
    url,
    id: null,
    dpRank: null,
    engine: 'vllm',
    labels: {},
    security: { apiKey: null, caPem: null },
    models: [],
    blockSize: null,
    gpuBlocks: null,
    cacheTokens: null,
    events: null,
    ...changes,
  };
}
