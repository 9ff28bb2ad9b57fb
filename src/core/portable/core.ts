// The portable core as main takes it: TypeScript and the packages of the design card, on every
// platform, and the executable specification of the native one.

import type { Core } from '#contracts/core.js';
import { HISTORY_WRITER_ID } from '#contracts/index-layout.js';
import { createDataPlane } from './data-plane/data-plane.js';
import { createRoutingHistory } from './history/routing-history.js';
import { openIndexOwner } from './index/owner.js';
import { createPromptEncoder } from './prompt/prompt-encoder.js';
import { RecordTable } from './prompt/record.js';
import { openRequestStore } from './request-store.js';

export const portableCore: Core = {
  name: 'portable',
  openIndexOwner,
  createEngineWatcher: () => null,
  createParts: ({ memory, hashSecret, clock, logger, listen, timeouts, ...prompts }) => {
    const store = openRequestStore(memory.requests);
    const records = new RecordTable(memory.requests);
    return {
      store,
      encoder: createPromptEncoder({
        memory,
        hashSecret,
        clock,
        logger,
        threads: prompts.promptThreads,
        workerUrl: prompts.promptWorkerUrl,
      }),
      plane: createDataPlane({ store, clock, logger, ...listen, timeouts }),
      history: createRoutingHistory({
        index: memory.index,
        writerId: HISTORY_WRITER_ID,
        keysOf: (handle) => records.keys(handle),
      }),
    };
  },
};
