// Keeps the process alive while something native is waited for: native wake-ups alone hold nothing.

import { MessageChannel } from 'node:worker_threads';

export class ProcessHold {
  /** A handle of the event loop that can be held and let go. */
  readonly #alive = new MessageChannel().port1;

  constructor() {
    this.#alive.on('message', () => {});
    this.#alive.unref();
  }

  take(): void {
    this.#alive.ref();
  }

  release(): void {
    this.#alive.unref();
  }
}
