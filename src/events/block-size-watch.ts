// Finds out a publisher's own block size, which its pool's canonical block size is made from. While
// nothing can be applied yet it looks into live frames and asks the replay socket; later the applier
// tells. Engines whose groups differ also store shorter blocks at the end of prompts, so it reports
// the greatest common divisor of all sizes told: that only falls, and a pool is not rebuilt for ever.

import type { Clock } from '#contracts/clock.js';
import { peekBlockSize } from './peek.js';
import { ReplayRun } from './replay.js';

/** Asking again, when an engine has stored nothing yet. */
const ASK_INTERVAL_MS = 2000;

export interface BlockSizeWatchOptions {
  readonly replayAddress: string | null;
  readonly clock: Clock;
  readonly report: (blockSize: number) => void;
}

export class BlockSizeWatch {
  readonly #options: BlockSizeWatchOptions;
  /** 0 until a frame told one. */
  #blockSize = 0;
  #replay: ReplayRun | null = null;

  constructor(options: BlockSizeWatchOptions) {
    this.#options = options;
  }

  /** Asks the engine for the frames it has published before. */
  ask(delayMs: number = 0): void {
    const { replayAddress, clock } = this.#options;
    this.stop();
    if (replayAddress === null || this.#blockSize > 0) return;
    const askAgain = (): void => this.ask(ASK_INTERVAL_MS);
    this.#replay = new ReplayRun(
      { address: replayAddress, fromSeq: 0, delayMs, clock },
      {
        onReplayFrame: (frame) => this.look(frame.payload),
        onReplayEnd: askAgain,
        onReplayFailed: askAgain,
      },
    );
    this.#replay.start();
  }

  stop(): void {
    this.#replay?.cancel();
    this.#replay = null;
  }

  /** A frame that is not applied now. */
  look(payload: Uint8Array): void {
    if (this.#blockSize === 0) this.told(peekBlockSize(payload));
  }

  /** A block size a frame told, 0 for none. */
  told(blockSize: number): void {
    if (blockSize === 0) return;
    const common = greatestCommonDivisor(blockSize, this.#blockSize);
    if (common === this.#blockSize) return;
    this.#blockSize = common;
    this.stop();
    this.#options.report(common);
  }
}

/** 0 is neutral. */
function greatestCommonDivisor(left: number, right: number): number {
  let [divisor, rest] = [left, right];
  while (rest !== 0) [divisor, rest] = [rest, divisor % rest];
  return divisor;
}
