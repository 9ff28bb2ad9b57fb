// Where log lines go: standard output, many lines a write, never waiting for the reader. A reader that
// falls far behind loses lines, requests lose nothing.

import { type DestinationStream, pino } from 'pino';
import { processClock } from '#workers/process-clock.js';

/** Bytes held for a slow reader. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;
/** Bytes gathered before they are written; sonic-boom writes at most 16 KiB at once. */
const GATHERED_BYTES_MAX = 16_383;
/** How long a line waits for others: a write costs as much as a decision. */
const GATHER_MS = 5;

/** Lines of one process's log. */
export class LogOutput implements DestinationStream {
  readonly #stream = pino.destination({
    dest: 1,
    sync: false,
    minLength: GATHERED_BYTES_MAX,
    maxLength: HELD_BYTES_MAX,
  });
  #gathering = false;

  write(line: string): void {
    this.#stream.write(line);
    if (this.#gathering) return;
    this.#gathering = true;
    processClock.after(GATHER_MS, () => {
      this.#gathering = false;
      this.#stream.flush();
    });
  }
}
