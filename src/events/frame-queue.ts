// Frames of one publisher that wait for their turn: first in, first out, bounded in number and
// bytes. The receiver fills it, the publisher drains it; a full queue refuses, it never grows.

import { EVENT_QUEUE_BYTES_MAX, EVENT_QUEUE_FRAMES_MAX } from '#contracts/limits.js';
import type { OrderFrame } from './order-state.js';

/** Spent places at the front are given back once there are this many. */
const COMPACT_AT = 1024;

export class FrameQueue {
  readonly #framesMax: number;
  readonly #bytesMax: number;
  #frames: OrderFrame[] = [];
  #head = 0;
  #bytes = 0;

  constructor(
    framesMax: number = EVENT_QUEUE_FRAMES_MAX,
    bytesMax: number = EVENT_QUEUE_BYTES_MAX,
  ) {
    this.#framesMax = framesMax;
    this.#bytesMax = bytesMax;
  }

  get length(): number {
    return this.#frames.length - this.#head;
  }

  /** False, and nothing stored, when the frame does not fit. */
  push(frame: OrderFrame): boolean {
    const bytes = this.#bytes + frame.payload.length;
    if (this.length >= this.#framesMax || bytes > this.#bytesMax) return false;
    this.#bytes = bytes;
    this.#frames.push(frame);
    return true;
  }

  shift(): OrderFrame | null {
    const frame = this.#frames[this.#head];
    if (frame === undefined) return null;
    this.#bytes -= frame.payload.length;
    this.#head += 1;
    if (this.#head === this.#frames.length || this.#head >= COMPACT_AT) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
    return frame;
  }

  clear(): void {
    this.#frames = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
