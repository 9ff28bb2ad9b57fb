// One event worker thread and what it has to follow. The shard starts it, replaces it with back-off
// when it failed, and tells a hung one from a busy one by pings. A worker is never terminated
// before it has said that its sockets are closed: that would abort the process.

import { Worker } from 'node:worker_threads';
import type { Clock } from '#contracts/clock.js';
import type { PublisherState } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import type {
  EventWorkerData,
  FromEventWorker,
  Subscription,
  ToEventWorker,
} from '#contracts/messages.js';

const RESTART_FIRST_MS = 100;
const RESTART_MAX_MS = 5000;
/** A worker that ran this long had nothing to do with the failure before. */
const RESTART_FORGET_MS = 30_000;
const PING_INTERVAL_MS = 1000;
/** A worker silent for longer is hung; applying one batch takes milliseconds. */
const ANSWER_WITHIN_MS = 5000;
/** Until it is ready it loads its modules, which takes a crowded machine long. */
const START_WITHIN_MS = 60_000;
/** After `stopped` or `failed` a thread ends at once, unless something keeps it. */
const END_WITHIN_MS = 2000;

export type ShardState = 'starting' | 'running' | 'hung' | 'replacing' | 'stopped';

export interface ShardOptions {
  readonly url: URL;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Data of a new worker; each call gives a writer id no running worker has. */
  readonly workerData: () => EventWorkerData;
  /** The worker ended; its writer id is free, and its writes are over. */
  readonly onEnded: (data: EventWorkerData, clean: boolean) => void;
  readonly onIndexStuck: () => void;
  readonly onPublisher: (slot: number, state: PublisherState, reason: string) => void;
  readonly onBlockSize: (slot: number, blockSize: number) => void;
}

export class EventWorkerShard {
  readonly #options: ShardOptions;
  readonly #subscriptions = new Map<number, Subscription>();
  /** Last state the worker told, by slot. */
  readonly #told = new Map<number, { readonly state: PublisherState; readonly reason: string }>();
  /** Slots given up while no worker could be told. */
  readonly #orphans = new Set<number>();
  #worker: Worker | null = null;
  #state: ShardState = 'stopped';
  #restarts = 0;
  #restartMs = RESTART_FIRST_MS;
  #pingedAtMs: number | null = null;
  #cancelPing: () => void = () => {};
  #cancelRestart: () => void = () => {};
  #quiesced: (() => void) | null = null;
  #ended: (() => void) | null = null;
  /** While set, no new worker may start: the index is being recovered. */
  #held = false;
  #stopping = false;

  constructor(options: ShardOptions) {
    this.#options = options;
  }

  get state(): ShardState {
    return this.#state;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get publishers(): number {
    return this.#subscriptions.size;
  }

  subscription(slot: number): Subscription | null {
    return this.#subscriptions.get(slot) ?? null;
  }

  start(): void {
    if (this.#stopping || this.#held) return;
    const data = this.#options.workerData();
    const worker = new Worker(this.#options.url, { workerData: data });
    const startedAtMs = this.#options.clock.nowMs();
    let said: 'stopped' | 'failed' | null = null;
    this.#worker = worker;
    this.#state = 'starting';
    worker.on('message', (message: FromEventWorker) => {
      if (message.type === 'stopped' || message.type === 'failed') {
        said = message.type;
        this.#endSoon(worker);
      }
      this.#take(message);
    });
    worker.on('error', (error) => {
      this.#options.logger.error({ error }, 'event worker threw outside its guard');
    });
    worker.on('exit', () => {
      if (this.#options.clock.nowMs() - startedAtMs > RESTART_FORGET_MS) {
        this.#restartMs = RESTART_FIRST_MS;
      }
      // Before it was ready it had nothing to write.
      this.#exited(data, said !== null || this.#state === 'starting');
    });
    this.#schedulePing();
  }

  subscribe(subscription: Subscription): void {
    this.#subscriptions.set(subscription.slot, subscription);
    this.#orphans.delete(subscription.slot);
    this.#send({ type: 'subscribe', subscription });
  }

  unsubscribe(slot: number): void {
    this.#subscriptions.delete(slot);
    this.#told.delete(slot);
    if (this.#isReady()) this.#send({ type: 'unsubscribe', slot });
    else this.#orphans.add(slot);
  }

  setBlockSize(pool: string, blockSize: number): void {
    for (const [slot, subscription] of this.#subscriptions) {
      if (subscription.pool === pool) this.#subscriptions.set(slot, { ...subscription, blockSize });
    }
    this.#send({ type: 'set-block-size', pool, blockSize });
  }

  /** Sends what needs no memory: a worker that starts later does not need it either. */
  notify(message: Extract<ToEventWorker, { type: 'engine-restarted' | 'fail-at' }>): void {
    this.#send(message);
  }

  /** Resolves once this shard does not write: its worker said so, or there is none. */
  async quiesce(): Promise<void> {
    this.#held = true;
    if (this.#worker === null) return;
    await new Promise<void>((resolve) => {
      this.#quiesced = resolve;
      this.#worker?.postMessage({ type: 'quiesce' } satisfies ToEventWorker);
    });
  }

  resume(): void {
    this.#held = false;
    if (this.#worker !== null) this.#send({ type: 'resume' });
    else if (this.#state === 'replacing') this.#scheduleRestart();
  }

  /** Asks the worker to end and waits; false when it did not answer in time. */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    this.#cancelPing();
    this.#cancelRestart();
    const worker = this.#worker;
    if (worker === null) return true;
    const answered = await new Promise<boolean>((resolve) => {
      const cancel = this.#options.clock.after(this.#answerWithinMs(), () => resolve(false));
      this.#ended = () => {
        cancel();
        resolve(true);
      };
      worker.postMessage({ type: 'stop' } satisfies ToEventWorker);
    });
    if (!answered) this.#options.logger.error({}, 'event worker does not answer and is left alone');
    return answered;
  }

  #answerWithinMs(): number {
    return this.#state === 'starting' ? START_WITHIN_MS : ANSWER_WITHIN_MS;
  }

  #isReady(): boolean {
    return this.#worker !== null && (this.#state === 'running' || this.#state === 'hung');
  }

  #send(message: ToEventWorker): void {
    if (this.#isReady()) this.#worker?.postMessage(message);
  }

  #take(message: FromEventWorker): void {
    const { logger, onBlockSize, onIndexStuck } = this.#options;
    switch (message.type) {
      case 'ready':
        this.#ready();
        break;
      case 'publisher':
        this.#told.set(message.slot, message);
        this.#show(message.slot);
        break;
      case 'block-size':
        onBlockSize(message.slot, message.blockSize);
        break;
      case 'quiesced':
        this.#settleQuiesce();
        break;
      case 'pong':
        this.#answered();
        break;
      case 'index-stuck':
        onIndexStuck();
        break;
      case 'warning':
        logger.warn({ slot: message.slot, detail: message.detail }, message.sentence);
        break;
      case 'failed':
        logger.error({ error: message.error }, 'event worker failed and is replaced');
        break;
      case 'stopped':
        break;
    }
  }

  #ready(): void {
    this.#state = 'running';
    this.#pingedAtMs = null;
    for (const slot of this.#orphans) this.#send({ type: 'unsubscribe', slot });
    this.#orphans.clear();
    for (const subscription of this.#subscriptions.values()) {
      this.#send({ type: 'subscribe', subscription });
    }
  }

  #exited(data: EventWorkerData, clean: boolean): void {
    this.#worker = null;
    this.#cancelPing();
    this.#pingedAtMs = null;
    this.#state = this.#stopping ? 'stopped' : 'replacing';
    this.#told.clear();
    this.#staleAll('its event worker is being replaced');
    this.#options.onEnded(data, clean);
    this.#settleQuiesce();
    this.#ended?.();
    if (!this.#stopping && !this.#held) this.#scheduleRestart();
  }

  #scheduleRestart(): void {
    this.#cancelRestart();
    this.#restarts += 1;
    this.#cancelRestart = this.#options.clock.after(this.#restartMs, () => this.start());
    this.#restartMs = Math.min(this.#restartMs * 2, RESTART_MAX_MS);
  }

  #settleQuiesce(): void {
    this.#quiesced?.();
    this.#quiesced = null;
  }

  /** The thread has closed its sockets; ends it should anything else keep it alive. */
  #endSoon(worker: Worker): void {
    const cancel = this.#options.clock.after(END_WITHIN_MS, () => void worker.terminate());
    worker.once('exit', cancel);
  }

  #schedulePing(): void {
    this.#cancelPing();
    this.#cancelPing = this.#options.clock.after(PING_INTERVAL_MS, () => this.#ping());
  }

  #ping(): void {
    const nowMs = this.#options.clock.nowMs();
    if (this.#pingedAtMs === null) {
      this.#pingedAtMs = nowMs;
      this.#worker?.postMessage({ type: 'ping' } satisfies ToEventWorker);
    } else if (nowMs - this.#pingedAtMs > this.#answerWithinMs() && this.#state !== 'hung') {
      this.#state = 'hung';
      this.#options.logger.error({}, 'event worker does not answer');
      this.#staleAll('its event worker does not answer');
    }
    this.#schedulePing();
  }

  #answered(): void {
    this.#pingedAtMs = null;
    if (this.#state !== 'hung') return;
    this.#state = 'running';
    for (const slot of this.#subscriptions.keys()) this.#show(slot);
  }

  #staleAll(reason: string): void {
    for (const slot of this.#subscriptions.keys()) {
      this.#options.onPublisher(slot, 'stale', reason);
    }
  }

  #show(slot: number): void {
    const told = this.#told.get(slot);
    if (told === undefined || this.#state === 'hung' || !this.#subscriptions.has(slot)) return;
    this.#options.onPublisher(slot, told.state, told.reason);
  }
}
