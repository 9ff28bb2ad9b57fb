// Spreads prompts that nobody holds any of: each goes where such a prompt has not gone for longest,
// so that caches fill evenly. Says nothing about prompts that somebody holds a part of.

import { z } from 'zod';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { defineScorer } from '#contracts/plugin.js';
import type { CandidateSet, MovedOn, SchedulingContext, Scorer } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import { IGNORED_MATCH_PRODUCER } from './ignored.js';
import { matchedBlocks } from './prefix-match.js';
import { RecentSlots } from './recent-slots.js';

const parameters = z.strictObject({
  lruSize: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(1024)
    .describe('Endpoints whose last cold prompt is remembered.'),
  prefixPluginType: z.string().optional().describe('Never used by llm-d.'),
  prefixPluginName: z.string().optional().describe('Never used by llm-d.'),
  prefixMatchInfoProducerName: z.string().optional().describe('Producer of the match.'),
});

/** llm-d's no-hit-lru-scorer. */
export const noHitLruScorer: ScorerDefinition = defineScorer({
  type: 'no-hit-lru-scorer',
  summary:
    '0.5 for all when a candidate holds any of the prompt; else 1 − rank / (n − 1) over the n ' +
    'candidates, ranked by their last cold prompt with the longest ago first, and 1 for every one ' +
    'that had none yet.',
  parameters,
  ignored: [
    IGNORED_MATCH_PRODUCER,
    {
      paths: ['prefixPluginType', 'prefixPluginName'],
      why: 'The match is a property of the request, not of a plugin.',
    },
  ],
  consumes: ['prefix-match'],
  create: ({ lruSize }, { shared, name, endpointCapacity }) => {
    const make = (): RecentSlots => new RecentSlots(endpointCapacity, lruSize);
    return new NoHitLru(shared.of(`cold prompts of ${name}, ${lruSize}`, RecentSlots, make));
  },
});

class NoHitLru implements Scorer {
  readonly #recent: RecentSlots;
  /** The request scored last, if it was cold: only what is decided next can be noted. */
  #cold = '';

  constructor(recent: RecentSlots) {
    this.#recent = recent;
  }

  score(context: SchedulingContext, candidates: CandidateSet, scores: Float64Array): void {
    const cold = isCold(context, candidates);
    this.#cold = cold ? context.requestId : '';
    let count = 0;
    let neverCount = 0;
    for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
      scores[slot] = cold ? 1 : 0.5;
      count += 1;
      const { name } = candidateState(context, slot).endpoint;
      if (!this.#recent.has(slot, name)) neverCount += 1;
    }
    if (!cold || count === 1) return;
    let rank = neverCount;
    for (let slot = this.#recent.first(); slot >= 0; slot = this.#recent.next(slot)) {
      if (!candidates.has(slot)) continue;
      const { name } = candidateState(context, slot).endpoint;
      if (!this.#recent.has(slot, name)) continue;
      scores[slot] = 1 - rank / (count - 1);
      rank += 1;
    }
  }

  picked(context: SchedulingContext, slot: number): MovedOn | undefined {
    if (this.#cold !== context.requestId) return undefined;
    const touch = (at: number): void =>
      this.#recent.touch(at, candidateState(context, at).endpoint.name);
    touch(slot);
    return touch;
  }
}

function isCold(context: SchedulingContext, candidates: CandidateSet): boolean {
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    if (matchedBlocks(context, slot) > 0) return false;
  }
  return true;
}
