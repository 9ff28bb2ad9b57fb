// Main's side of following publishers: event workers, sharded by publisher, and the recovery of the
// block index when a writer died while it held a lock. compose.ts feeds it from the fleet; it never
// writes to the index itself.

import type { Clock } from '#contracts/clock.js';
import type { BlockIndexOwner, CoreName, SharedMemory } from '#contracts/core.js';
import type { PublisherState } from '#contracts/endpoint.js';
import { HISTORY_WRITER_ID } from '#contracts/index-layout.js';
import type { Logger } from '#contracts/logger.js';
import type { EventStage, EventWorkerData, Subscription } from '#contracts/messages.js';
import type { Random } from '#contracts/random.js';
import { EventWorkerShard, type ShardState } from './event-worker-shard.js';

export interface EventWorkersOptions {
  readonly shards: number;
  readonly memory: SharedMemory;
  readonly index: BlockIndexOwner;
  readonly hashSecret: bigint;
  /** A publisher whose connection is down for longer is stale. */
  readonly staleAfterMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Entry file of the workers. */
  readonly workerUrl: URL;
  readonly onPublisher: (slot: number, state: PublisherState, reason: string) => void;
  /** Block size a publisher's own events tell. */
  readonly onBlockSize: (slot: number, blockSize: number) => void;
}

export interface EventWorkerHealth {
  readonly state: ShardState;
  readonly restarts: number;
  readonly publishers: number;
}

/** Entry file of the event workers of a core. */
export function eventWorkerUrl(core: CoreName): URL {
  const file = core === 'native' ? 'events-native.worker.js' : 'events.worker.js';
  return new URL(`../workers/${file}`, import.meta.url);
}

export class EventWorkers {
  readonly #options: EventWorkersOptions;
  readonly #shards: EventWorkerShard[] = [];
  /** Those of the index that are free; a dead worker's id is used again last. */
  readonly #writerIds: number[] = Array.from({ length: HISTORY_WRITER_ID }, (_, id) => id);
  readonly #shardOfSlot = new Map<number, EventWorkerShard>();
  #recovery: Promise<void> | null = null;
  #recoveries = 0;

  constructor(options: EventWorkersOptions) {
    this.#options = options;
  }

  /** Starts the workers; subscriptions may be made before they are ready. */
  start(): void {
    for (let shard = 0; shard < this.#options.shards; shard++) {
      this.#shards.push(this.#createShard());
    }
    for (const shard of this.#shards) shard.start();
  }

  /** Waits until every worker has closed its sockets. False when one did not answer. */
  async stop(): Promise<boolean> {
    const answers = await Promise.all(this.#shards.map((shard) => shard.stop()));
    return answers.every((answered) => answered);
  }

  subscribe(subscription: Subscription): void {
    this.unsubscribe(subscription.slot);
    const shard = this.#shardFor(subscription);
    this.#shardOfSlot.set(subscription.slot, shard);
    shard.subscribe(subscription);
  }

  /** Stops following and drops what the slot holds in the index. */
  unsubscribe(slot: number): void {
    this.#shardOfSlot.get(slot)?.unsubscribe(slot);
    this.#shardOfSlot.delete(slot);
  }

  setBlockSize(pool: string, blockSize: number): void {
    for (const shard of this.#shards) shard.setBlockSize(pool, blockSize);
  }

  engineRestarted(slot: number): void {
    this.#shardOfSlot.get(slot)?.notify({ type: 'engine-restarted', slot });
  }

  /** Clears the index, because a lock in it stayed taken; publishers replay. */
  recover(): void {
    if (this.#recovery !== null) return;
    this.#options.logger.error({}, 'block index is cleared because a writer died in it');
    // Readers must not see a half-written index, and find nothing until publishers have replayed.
    this.#options.index.suspend();
    this.#recovery = this.#recoverNow();
    void this.#recovery;
  }

  /** Tests only: makes the worker of `slot` fail at its next frame. */
  failAt(slot: number, stage: EventStage): void {
    this.#shardOfSlot.get(slot)?.notify({ type: 'fail-at', stage });
  }

  health(): readonly EventWorkerHealth[] {
    return this.#shards.map(({ state, restarts, publishers }) => ({ state, restarts, publishers }));
  }

  /** Times the index was cleared because a writer had died. */
  get recoveries(): number {
    return this.#recoveries;
  }

  #createShard(): EventWorkerShard {
    const { clock, logger, workerUrl, onPublisher, onBlockSize } = this.#options;
    return new EventWorkerShard({
      url: workerUrl,
      clock,
      logger,
      workerData: () => this.#workerData(),
      onEnded: (data, clean) => {
        this.#writerIds.push(data.writerId);
        // Nobody knows what a thread was doing that ended without a word.
        if (!clean) this.recover();
      },
      onIndexStuck: () => this.recover(),
      onPublisher,
      onBlockSize,
    });
  }

  #workerData(): EventWorkerData {
    const { memory, hashSecret, random, staleAfterMs } = this.#options;
    const writerId = this.#writerIds.shift() ?? 0;
    const seed = Math.floor(random.next() * 2 ** 32);
    return { memory, writerId, hashSecret, seed, staleAfterMs };
  }

  /** The shard that already listens at the same bound address, else by slot. */
  #shardFor({ slot, source }: Subscription): EventWorkerShard {
    if (source.mode === 'bind') {
      for (const [other, shard] of this.#shardOfSlot) {
        const known = shard.subscription(other)?.source;
        if (known?.mode === 'bind' && known.address === source.address) return shard;
      }
    }
    const shard = this.#shards[slot % this.#shards.length];
    if (shard === undefined) throw new Error('assertion failed: subscribed before start');
    return shard;
  }

  async #recoverNow(): Promise<void> {
    // A hung worker could still write, so the index stays suspended until it answers.
    await Promise.all(this.#shards.map((shard) => shard.quiesce()));
    this.#options.index.recover();
    this.#recoveries += 1;
    this.#recovery = null;
    for (const shard of this.#shards) shard.resume();
  }
}
