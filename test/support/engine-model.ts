// A small engine model for tests, and short forms for its requests and events.

import { noneHash, type SequenceIdentity } from '#simulation/block-hash.js';
import type { EngineEvent } from '#simulation/engine-event.js';
import { EngineModel, type EngineModelOptions, type StepResult } from '#simulation/engine-model.js';
import { DEFAULT_COEFFICIENTS } from '#simulation/step-time.js';

/** Blocks of 4 tokens, 16 usable ones unless said otherwise. */
export function smallModel(options: Partial<EngineModelOptions> = {}): EngineModel {
  return new EngineModel({
    blockSize: 4,
    noneHash: noneHash('0'),
    extraKeyForm: 'tagged',
    gpuBlocks: 17,
    batchedTokensMax: 64,
    runningMax: 8,
    lorasMax: 8,
    coefficients: DEFAULT_COEFFICIENTS,
    seed: 1,
    outputVocabulary: [900, 901, 902],
    ...options,
  });
}

export const BASE: SequenceIdentity = { lora: null, cacheSalt: null };

/** Token ids `first`, `first + 1`, … */
export function run(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, offset) => first + offset);
}

/** One whole step; throws when there is nothing to do. */
export function step(model: EngineModel): StepResult {
  if (model.beginStep() === null) throw new Error('the engine is idle');
  return model.endStep();
}

/** Steps until the engine is idle; at most 10,000. */
export function drain(model: EngineModel): EngineEvent[] {
  const events: EngineEvent[] = [];
  for (let steps = 0; steps < 10_000 && model.beginStep() !== null; steps++) {
    events.push(...model.endStep().events);
  }
  return events;
}

/** Serves one request to its end on an otherwise idle engine. */
export function serve(
  model: EngineModel,
  id: string,
  promptTokenIds: readonly number[],
  outputTokens = 1,
): EngineEvent[] {
  model.submit({ id, promptTokenIds, outputTokens, identity: BASE });
  return drain(model);
}

/** `stored 4+4`, `removed`, `cleared`: kinds and block counts in order. */
export function kinds(events: readonly EngineEvent[]): string[] {
  return events.map((event) =>
    event.type === 'BlockStored'
      ? `stored ${event.hashes.length}`
      : event.type === 'BlockRemoved'
        ? 'removed'
        : 'cleared',
  );
}
