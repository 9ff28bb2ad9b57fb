// What a request is worth, in llm-d's sense: higher is worth more. It is recorded and orders nothing yet. The objective that it names decides;
// without one it is what the body asks of the engine, which gets the body's field as it came.

import type { Logger } from '#contracts/logger.js';
import type { RequestObserver } from '#contracts/observer.js';
import type { RequestHead } from '#contracts/request.js';
import { shorten } from './admit.js';

/** Priorities by the name of the objective. */
export type Objectives = Readonly<Record<string, { readonly priority: number }>>;

const HEADER = 'x-llm-d-inference-objective';
/** As llm-d spelled it before. */
const OLD_HEADER = 'x-gateway-inference-objective';
/** As llm-d has it for objectives that nobody defined. */
const UNKNOWN_PRIORITY = 0;
/** Clients make names up: so many get a line in the log, all are counted. */
const UNKNOWN_NAMES_TOLD_MAX = 100;

/** What is told of objectives that are not configured. */
interface Told {
  readonly observer: Pick<RequestObserver, 'objectiveUnknown'>;
  readonly logger: Pick<Logger, 'warn'>;
}

/** Gives requests their priorities. */
export class RequestPriorities {
  readonly #byName: ReadonlyMap<string, number>;
  readonly #told: Told;
  readonly #namesTold = new Set<string>();

  constructor(objectives: Objectives, told: Told) {
    const named = Object.entries(objectives);
    this.#byName = new Map(named.map(([name, { priority }]) => [name, priority]));
    this.#told = told;
  }

  /** `bodyPriority` is in vLLM's sense, lower goes first; 0 when the body has none. */
  of(head: Pick<RequestHead, 'headers'>, bodyPriority: number): number {
    // Without objectives nobody needs the headers, and making them costs.
    if (this.#byName.size > 0) {
      const { headers } = head;
      const name = headers[HEADER] ?? headers[OLD_HEADER] ?? '';
      if (name !== '') return this.#byName.get(name) ?? this.#unknown(name);
    }
    return 0 - bodyPriority;
  }

  #unknown(name: string): number {
    const { observer, logger } = this.#told;
    observer.objectiveUnknown();
    if (this.#namesTold.size < UNKNOWN_NAMES_TOLD_MAX && !this.#namesTold.has(name)) {
      this.#namesTold.add(name);
      const fields = { objective: shorten(name), priority: UNKNOWN_PRIORITY };
      logger.warn(fields, 'Requests name an objective that is not configured');
    }
    return UNKNOWN_PRIORITY;
  }
}
