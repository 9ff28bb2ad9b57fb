// Where log lines go: standard output, one write for all lines of a turn of the event loop, never
// waiting for the reader. A reader that falls far behind loses lines, requests lose nothing.

import { type DestinationStream, pino } from 'pino';

/** Bytes held for a slow reader. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** Bytes gathered before the turn is over; sonic-boom writes at most 16 KiB at once. */
const GATHERED_BYTES_MAX = 16_383;

/** Lines of one process's log. */
export class LogOutput implements DestinationStream {
  readonly #stream = pino.destination({
    dest: 1,
    sync: false,
    minLength: GATHERED_BYTES_MAX,
    maxLength: HELD_BYTES_MAX,
  });
  #flushing = false;

  write(line: string): void {
    this.#stream.write(line);
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#stream.flush();
    });
  }
}
