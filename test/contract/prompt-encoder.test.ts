// The PromptEncoder suite on both cores.

import { createPromptEncoder as createNativeEncoder } from '#core/native/prompt-encoder.js';
import { createRequestStore } from '#core/native/request-store.js';
import { createPromptEncoder } from '#core/portable/prompt/prompt-encoder.js';
import { openRequestStore } from '#core/portable/request-store.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { processClock } from '#workers/process-clock.js';
import { promptEncoderSuite } from './prompt-encoder.suite.js';

promptEncoderSuite({
  name: 'portable',
  skip: false,
  openStore: ({ requests }) => openRequestStore(requests),
  createEncoder: ({ memory, hashSecret, threads, logger, dying }) => {
    const file = dying ? '../support/dying-prompt.worker.js' : '../../src/workers/prompt.worker.js';
    const workerUrl = new URL(file, import.meta.url);
    return createPromptEncoder({
      memory,
      hashSecret,
      workerUrl,
      threads,
      clock: processClock,
      logger,
    });
  },
});

let nativeStore: ReturnType<typeof createRequestStore> | null = null;

promptEncoderSuite({
  name: 'native',
  skip: nativeSkip,
  openStore: () => {
    nativeStore = createRequestStore(nativeAddon());
    return nativeStore;
  },
  createEncoder: ({ memory, hashSecret, threads, logger, dying }) => {
    if (dying || nativeStore === null) return null;
    return createNativeEncoder({
      addon: nativeAddon(),
      store: nativeStore,
      memory,
      hashSecret,
      threads,
      clock: processClock,
      logger,
    });
  },
});
