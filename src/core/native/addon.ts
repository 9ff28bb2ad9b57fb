// The only place that loads the native addon. What it exports is typed module by module, beside the
// faces that call it; a missing or foreign addon is a reason in words, never an exception.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { packageVersion } from '#core/package-version.js';
import type { PlaneAddon } from './data-plane/plane-addon.js';
import type { WatcherAddon } from './engine-watcher.js';
import type { EventAddon } from './events/applier.js';
import type { HistoryAddon } from './history/routing-history.js';
import type { IndexOwnerAddon } from './index/owner.js';
import type { IndexReaderAddon } from './index/reader.js';
import type { SpeculativeAddon } from './index/speculative.js';
import type { IndexWriterAddon } from './index/writer.js';
import type { PromptAddon } from './prompt-encoder.js';
import type { StoreAddon } from './request-store.js';

/** Everything the addon exports. Free functions over numbers and typed arrays. */
export interface Addon
  extends EventAddon,
    HistoryAddon,
    IndexOwnerAddon,
    IndexReaderAddon,
    IndexWriterAddon,
    PlaneAddon,
    PromptAddon,
    SpeculativeAddon,
    StoreAddon,
    WatcherAddon {
  /** Version of the sources it was built from. */
  version(): string;
}

/** Where the build leaves the addon: dist/native, beside the compiled sources. */
export const ADDON_FILE: string = fileURLToPath(
  new URL(`../../../native/warmpath-${process.platform}-${process.arch}.node`, import.meta.url),
);

const NOT_BUILT = 'the native addon has not been built, which takes cargo (Rust 1.89 or newer)';

/** The addon, or why there is none. */
export type LoadedAddon =
  | { readonly ok: true; readonly addon: Addon }
  | { readonly ok: false; readonly reason: string };

/** Loads the addon of exactly this package's version. Loading twice on a thread gives the same addon. */
export function loadAddon(): LoadedAddon {
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(ADDON_FILE) as Addon;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const missing = code === 'MODULE_NOT_FOUND';
    return { ok: false, reason: missing ? NOT_BUILT : message };
  }
  const version = packageVersion();
  const built = addon.version();
  if (built === version) return { ok: true, addon };
  return { ok: false, reason: `the native addon is of version ${built}, not ${version}` };
}
