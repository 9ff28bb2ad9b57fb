// The routing histories as the request path uses them: which endpoints have one, what is told of a
// request that was really sent, and the slices of long prompts, one for each turn of the event loop.

import type { EncodedPrompt, RequestHandle } from '#contracts/request.js';
import type {
  HistoryPlan,
  HistoryTokens,
  HistoryWork,
  RoutingHistory,
} from '#contracts/routing-history.js';

/** What is known of a prompt that was encoded. */
export type SentPrompt = Pick<EncodedPrompt, 'promptTokens' | 'blockSize'>;

/** How a request ended, by what is known of its tokens. */
export interface AnsweredRequest extends HistoryTokens {
  /** Whether the answer carried usage. */
  readonly hasUsage: boolean;
}

/** What the stages call. */
export interface SentRequests {
  /** True when the endpoint has a history, which counts the prompt as held there from now on. */
  begin(handle: RequestHandle, slot: number, prompt: SentPrompt): boolean;
  end(handle: RequestHandle, slot: number, answered: AnsweredRequest): void;
  withdraw(handle: RequestHandle): void;
}

export interface HistoriesOptions {
  readonly history: RoutingHistory;
  /** Runs a callback in a later turn of the event loop. */
  readonly defer: (callback: () => void) => void;
  /** A lock of the block index stayed taken: it must be recovered. */
  readonly onStuck: () => void;
}

export class Histories implements SentRequests {
  readonly #options: HistoriesOptions;
  readonly #plans = new Map<number, HistoryPlan>();
  /** Slots whose engines report cached tokens. vLLM leaves the figure out where it is 0. */
  readonly #telling = new Set<number>();
  #isAdvancing = false;

  constructor(options: HistoriesOptions) {
    this.#options = options;
  }

  /** Opens and closes histories so that they are these. One whose plan is the same goes on. */
  update(plans: ReadonlyMap<number, HistoryPlan>): void {
    for (const [slot, plan] of this.#plans) {
      const next = plans.get(slot);
      if (next !== undefined && samePlan(plan, next)) continue;
      this.#plans.delete(slot);
      this.#telling.delete(slot);
      this.#options.history.close(slot);
    }
    for (const [slot, plan] of plans) {
      if (this.#plans.has(slot)) continue;
      this.#plans.set(slot, plan);
      this.#options.history.open(slot, plan);
    }
  }

  /** The engine behind the slot is another process: it holds nothing. */
  restarted(slot: number): void {
    const plan = this.#plans.get(slot);
    if (plan !== undefined) this.#options.history.open(slot, plan);
  }

  begin(handle: RequestHandle, slot: number, { promptTokens, blockSize }: SentPrompt): boolean {
    const plan = this.#plans.get(slot);
    if (plan === undefined) return false;
    // Keys of another pool's block size say nothing here; the engine will tell how long it was.
    const tokens = blockSize === plan.blockSize ? promptTokens : 0;
    this.#note(this.#options.history.begin(handle, slot, tokens));
    return true;
  }

  end(handle: RequestHandle, slot: number, answered: AnsweredRequest): void {
    const { computed, cached, hasUsage } = answered;
    if (cached >= 0) this.#telling.add(slot);
    const found = cached < 0 && hasUsage && this.#telling.has(slot) ? 0 : cached;
    this.#note(this.#options.history.end(handle, { computed, cached: found }));
  }

  withdraw(handle: RequestHandle): void {
    this.#note(this.#options.history.withdraw(handle));
  }

  #note(work: HistoryWork): void {
    if (work === 'done') return;
    if (work === 'stuck') this.#options.onStuck();
    else if (!this.#isAdvancing) {
      this.#isAdvancing = true;
      this.#options.defer(() => {
        this.#isAdvancing = false;
        this.#note(this.#options.history.advance());
      });
    }
  }
}

function samePlan(plan: HistoryPlan, next: HistoryPlan): boolean {
  return (
    plan.endpoint === next.endpoint &&
    plan.capacityBlocks === next.capacityBlocks &&
    plan.blockSize === next.blockSize &&
    plan.alignmentBlocks === next.alignmentBlocks
  );
}
