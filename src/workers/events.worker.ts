// Event worker: follows its share of the publishers on the portable core.

import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { runEventWorker } from './event-worker-host.js';

runEventWorker(({ memory, writerId, hashSecret }) =>
  createEventApplier(openIndexWriter(memory.index, writerId), hashSecret),
);
