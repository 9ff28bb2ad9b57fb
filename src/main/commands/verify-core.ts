// The core that `verify` runs a recording on: index and applier of one implementation.

import type { BlockIndexReader } from '#contracts/block-index.js';
import type { EventApplier } from '#contracts/core.js';
import { loadAddon } from '#core/native/addon.js';
import { createEventApplier as createNativeApplier } from '#core/native/events/applier.js';
import { openIndexReader as openNativeReader } from '#core/native/index/reader.js';
import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';

/** What was asked for; `auto` is native where there is an addon. */
export type VerifyCoreChoice = 'auto' | 'native' | 'portable';

/** One side of the index each, over one buffer. */
export interface OpenedCore {
  readonly reader: BlockIndexReader;
  readonly applier: EventApplier;
  readonly close: () => void;
}

export interface VerifyCore {
  readonly name: 'native' | 'portable';
  readonly open: (index: SharedArrayBuffer, hashSecret: bigint) => OpenedCore;
}

export const portableVerifyCore: VerifyCore = {
  name: 'portable',
  open: (index, hashSecret) => ({
    reader: openIndexReader(index),
    applier: createEventApplier(openIndexWriter(index, 0), hashSecret),
    close: () => {},
  }),
};

/** The core asked for, or why it cannot be had. */
export function chooseVerifyCore(choice: VerifyCoreChoice): VerifyCore | string {
  if (choice === 'portable') return portableVerifyCore;
  const loaded = loadAddon();
  if (!loaded.ok) return choice === 'auto' ? portableVerifyCore : loaded.reason;
  const { addon } = loaded;
  return {
    name: 'native',
    open: (index, hashSecret) => {
      const reader = openNativeReader(addon, index);
      const applier = createNativeApplier(addon, { index, writerId: 0, hashSecret });
      const close = (): void => {
        reader.close();
        applier.destroy();
      };
      return { reader, applier, close };
    },
  };
}
