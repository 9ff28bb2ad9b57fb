// The line `Got pod scores` that every decision writes, spelled as llm-d's users know it.

import type { LogFields } from '#contracts/logger.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import type { KeptDecision } from './kept-decision.js';

/** Usable blocks by endpoint, or `scores: null` and the reason when nobody holds any of the prompt. */
export function scoreLogFields(decision: KeptDecision, context: SchedulingContext): LogFields {
  const scores = matchedBlocks(context);
  const fields = {
    'x-request-id': context.requestId,
    model: decision.model,
    resolvedTargetModel: decision.resolvedTargetModel,
    criticality: criticality(decision.priority),
    scores,
    endpoint: decision.chosen,
  };
  if (scores !== null) return fields;
  return { ...fields, reason: decision.noMatchReason };
}

function matchedBlocks(context: SchedulingContext): Readonly<Record<string, number>> | null {
  const { match, fleet } = context;
  if (match === null) return null;
  let scores: Record<string, number> | null = null;
  for (let slot = 0; slot < fleet.bySlot.length; slot += 1) {
    const blocks = match.usableBlocks[slot] ?? 0;
    const state = fleet.bySlot[slot];
    if (blocks === 0 || state === null || state === undefined) continue;
    scores ??= {};
    scores[state.endpoint.name] = blocks;
  }
  return scores;
}

/** A priority (higher goes first) in llm-d's three words. */
function criticality(priority: number): 'Critical' | 'Standard' | 'Sheddable' {
  if (priority === 0) return 'Standard';
  return priority > 0 ? 'Critical' : 'Sheddable';
}
