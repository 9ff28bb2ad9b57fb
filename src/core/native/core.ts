// The native core as main takes it: faces over the addon. Its data plane has prompts encoded on
// native threads before the main thread hears of their requests.

import type { Core } from '#contracts/core.js';
import { HISTORY_WRITER_ID } from '#contracts/index-layout.js';
import type { Addon } from './addon.js';
import { createDataPlane } from './data-plane/data-plane.js';
import { createEngineWatcher } from './engine-watcher.js';
import { createRoutingHistory } from './history/routing-history.js';
import { openIndexOwner } from './index/owner.js';
import { createPromptEncoder } from './prompt-encoder.js';
import { createRequestStore } from './request-store.js';

export function nativeCore(addon: Addon): Core {
  return {
    name: 'native',
    createEngineWatcher: (lines) => createEngineWatcher(addon, lines),
    openIndexOwner: (index) => openIndexOwner(addon, index),
    createParts: ({ memory, hashSecret, clock, logger, ...options }) => {
      const store = createRequestStore(addon);
      const encoder = createPromptEncoder({
        addon,
        store,
        memory,
        hashSecret,
        threads: options.promptThreads,
        clock,
        logger,
      });
      const plane = createDataPlane(addon, {
        store,
        clock,
        logger,
        ...options.listen,
        ...options.dataPlane,
        timeouts: options.timeouts,
      });
      addon.planeAttachEncoder(plane.id, encoder.id);
      const history = createRoutingHistory(addon, {
        store: store.id,
        index: memory.index,
        writerId: HISTORY_WRITER_ID,
      });
      return { store, encoder, plane, history };
    },
  };
}
