// Ranges of prompt lengths that endpoints are meant for, read off a label `min-max` in tokens. A
// label is read once per endpoint, not once per request.

import { z } from 'zod';
import type { PluginHost, SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import { labelOf } from './labels.js';

/** Parameters of context-length-aware, which is a filter and a scorer. */
export interface ContextLengthParameters {
  readonly label: string;
  readonly enableFiltering: boolean;
}

export const contextLengthParameters: z.ZodType<ContextLengthParameters> = z.strictObject({
  label: z
    .string()
    .min(1)
    .max(317)
    .default('llm-d.ai/context-length-range')
    .describe('Label whose value is the range of prompt tokens, `min-max`, both included.'),
  enableFiltering: z
    .boolean()
    .default(false)
    .describe('Whether endpoints out of range are removed; otherwise they only score lower.'),
});

const RANGE = /^\s*(\d{1,9})\s*-\s*(\d{1,9})\s*$/;

/** `unlabelled` takes every length, `malformed` none. */
export type RangeKind = 'range' | 'unlabelled' | 'malformed';

/** Range of the endpoint asked about last, so that asking allocates nothing. */
export class ContextRanges {
  least = 0;
  most = 0;
  readonly #label: string;
  readonly #texts: (string | undefined)[];
  readonly #least: Float64Array;
  readonly #most: Float64Array;

  constructor(label: string, { endpointCapacity }: PluginHost) {
    this.#label = label;
    this.#texts = new Array<undefined>(endpointCapacity).fill(undefined);
    this.#least = new Float64Array(endpointCapacity);
    this.#most = new Float64Array(endpointCapacity);
  }

  /** Reads the range of `slot` into `least` and `most`. */
  read(context: SchedulingContext, slot: number): RangeKind {
    const text = labelOf(candidateState(context, slot).endpoint.labels, this.#label);
    if (text === undefined) return 'unlabelled';
    if (this.#texts[slot] !== text) this.#parse(slot, text);
    this.least = this.#least[slot] as number;
    this.most = this.#most[slot] as number;
    return this.least <= this.most ? 'range' : 'malformed';
  }

  #parse(slot: number, text: string): void {
    const [, least, most] = RANGE.exec(text) ?? [];
    this.#texts[slot] = text;
    // What is no range becomes one that holds nothing.
    this.#least[slot] = least === undefined ? Number.POSITIVE_INFINITY : Number(least);
    this.#most[slot] = most === undefined ? Number.NEGATIVE_INFINITY : Number(most);
  }
}
