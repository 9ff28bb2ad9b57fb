// Entry of a prompt worker: one PromptService per thread, called by the pool of
// core/portable/prompt/prompt-encoder.ts. Holds wiring only.

import { workerData } from 'node:worker_threads';
import type { PromptTask, PromptTaskResult, PromptWorkerData } from '#contracts/messages.js';
import { PromptService } from '#core/portable/prompt/prompt-service.js';
import { processClock } from './process-clock.js';

const service = new PromptService({
  data: workerData as PromptWorkerData,
  clock: processClock,
  random: { next: () => Math.random() },
  today: () => new Date(),
});

/** Runs one task of the pool. */
export function run(task: PromptTask): Promise<PromptTaskResult> {
  return service.run(task);
}
