// What the main thread waits for natively: numbers that are given out with a call and come back
// with an event. While anything is waited for, the process stays alive; otherwise nothing here
// keeps it.

import { ProcessHold } from './process-hold.js';

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Tickets are 32-bit numbers that start over. */
const TICKETS = 2 ** 32;

export class Tickets {
  readonly #waiting = new Map<number, Waiting>();
  readonly #hold = new ProcessHold();
  #next = 0;

  /** Gives a ticket to `begin`, which is true when there is nothing to wait for. */
  async wait(begin: (ticket: number) => boolean): Promise<void> {
    const ticket = this.#next;
    this.#next = (ticket + 1) % TICKETS;
    if (begin(ticket)) return;
    await new Promise<void>((resolve, reject) => {
      if (this.#waiting.size === 0) this.#hold.take();
      this.#waiting.set(ticket, { resolve, reject });
    });
  }

  /** Ends the wait for a ticket; one that nobody waits for is ignored. */
  resolve(ticket: number): void {
    this.#take(ticket)?.resolve();
  }

  rejectAll(error: Error): void {
    for (const ticket of [...this.#waiting.keys()]) this.#take(ticket)?.reject(error);
  }

  #take(ticket: number): Waiting | undefined {
    const waiting = this.#waiting.get(ticket);
    this.#waiting.delete(ticket);
    if (this.#waiting.size === 0) this.#hold.release();
    return waiting;
  }
}
