// Runs an event pipeline on a worker thread. Its one guard keeps the rule that matters: a thread
// that ends with an open ZeroMQ socket aborts the whole process, so whatever goes wrong here, every
// socket is closed first, main is told, and the thread then ends by itself.

import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '#contracts/assert.js';
import type { EventApplier } from '#contracts/core.js';
import type { EventWorkerData, FromEventWorker, ToEventWorker } from '#contracts/messages.js';
import { seededRandom } from '#contracts/random.js';
import { EventPipeline } from '#events/pipeline.js';
import { closeAllSockets } from '#wire/zmq.js';
import { processClock } from './process-clock.js';

/** Called once, by the entry file of the worker. */
export function runEventWorker(createApplier: (data: EventWorkerData) => EventApplier): void {
  assert(parentPort !== null, 'an event worker runs on a worker thread');
  const port = parentPort;
  const post = (message: FromEventWorker): void => port.postMessage(message);
  let pipeline: EventPipeline | null = null;
  let ended = false;

  const end = (last: FromEventWorker): void => {
    if (ended) return;
    ended = true;
    // First of all, and whatever the pipeline's own clean-up does.
    closeAllSockets();
    const writing = pipeline?.writing ?? true;
    pipeline?.stop();
    closeAllSockets();
    // The lock of a write that was cut off stays taken: only main can repair that.
    if (writing && last.type === 'failed') post({ type: 'index-stuck' });
    post(last);
    port.close();
  };
  const fail = (error: unknown): void => {
    end({ type: 'failed', error: error instanceof Error ? (error.stack ?? '') : String(error) });
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);

  const data = workerData as EventWorkerData;
  pipeline = new EventPipeline({
    clock: processClock,
    random: seededRandom(data.seed),
    staleAfterMs: data.staleAfterMs,
    publishers: data.memory.publishers,
    createApplier: () => createApplier(data),
    report: post,
  });
  const running = pipeline;
  port.on('message', (message: ToEventWorker) => {
    if (message.type === 'stop') end({ type: 'stopped' });
    else running.handle(message);
  });
  post({ type: 'ready' });
}
