// A prompt worker that ends when it is given a body with a marker: `kill-always` each time,
// `kill-once` only the first time in the whole process (counted in the publishers' memory).

import { workerData } from 'node:worker_threads';
import type { PromptTask, PromptTaskResult, PromptWorkerData } from '#contracts/messages.js';
import { RecordTable } from '#core/portable/prompt/record.js';
import { run as runTask } from '#workers/prompt.worker.js';

const { memory } = workerData as PromptWorkerData;
const records = new RecordTable(memory.requests);
const deaths = new Int32Array(memory.publishers);

/** Runs a task, or ends the thread without a word. */
export async function run(task: PromptTask): Promise<PromptTaskResult> {
  if (task.type === 'encode') {
    for (let at = 0; at < task.handles.length; at += 2) {
      const handle = { slot: task.handles[at] ?? 0, generation: task.handles[at + 1] ?? 0 };
      const body = records.copyBody(handle)?.toString() ?? '';
      const once = body.includes('kill-once') && Atomics.add(deaths, 0, 1) === 0;
      if (once || body.includes('kill-always')) process.exit(1);
    }
  }
  return runTask(task);
}
