// Gathers new requests and progress of one turn of the event loop and hands them to the handler
// together. Keeps the order: a request is announced before its progress, and its handle is
// released only after the handler has seen its `done`.

import type { DataPlaneHandler, ForwardProgress, RequestStore } from '#contracts/core.js';
import type { RequestHead } from '#contracts/request.js';

export class Batches {
  readonly #store: RequestStore;
  readonly #onDelivered: () => void;
  #handler: DataPlaneHandler | null = null;
  #requests: RequestHead[] = [];
  #progress: ForwardProgress[] = [];
  #scheduled = false;
  #inFlight = 0;

  constructor(store: RequestStore, onDelivered: () => void) {
    this.#store = store;
    this.#onDelivered = onDelivered;
  }

  set handler(handler: DataPlaneHandler) {
    this.#handler = handler;
  }

  /** Requests with a handle whose `done` the handler has not seen. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Counts a request that has got its handle; a `done` must follow. */
  opened(): void {
    this.#inFlight += 1;
  }

  announce(head: RequestHead): void {
    this.#requests.push(head);
    this.#schedule();
  }

  report(progress: ForwardProgress): void {
    this.#progress.push(progress);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    const requests = this.#requests;
    const progress = this.#progress;
    this.#requests = [];
    this.#progress = [];
    try {
      if (requests.length > 0) this.#handler?.onRequests(requests);
      if (progress.length > 0) this.#handler?.onProgress(progress, false);
    } finally {
      for (const record of progress) {
        if (record.kind !== 'done') continue;
        this.#inFlight -= 1;
        this.#store.release(record.handle);
      }
      this.#onDelivered();
    }
  }
}
