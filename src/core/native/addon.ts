// The only place that loads the native addon. What it exports is typed module by module, beside the
// faces that call it; a missing or foreign addon is a reason in words, never an exception.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { PlaneAddon } from './data-plane/plane-addon.js';
import type { StoreAddon } from './request-store.js';

/** Everything the addon exports. Free functions over numbers and typed arrays. */
export interface Addon extends PlaneAddon, StoreAddon {
  /** Version of the sources it was built from. */
  version(): string;
}

/** Where the build leaves the addon: dist/native, beside the compiled sources. */
export const ADDON_FILE: string = fileURLToPath(
  new URL(`../../../native/warmpath-${process.platform}-${process.arch}.node`, import.meta.url),
);

/** The addon, or why there is none. */
export type LoadedAddon =
  | { readonly ok: true; readonly addon: Addon }
  | { readonly ok: false; readonly reason: string };

/** Loads the addon of exactly this version. Loading twice on a thread gives the same addon. */
export function loadAddon(version: string): LoadedAddon {
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(ADDON_FILE) as Addon;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const missing = code === 'MODULE_NOT_FOUND';
    return { ok: false, reason: missing ? 'the native addon has not been built' : message };
  }
  const built = addon.version();
  if (built === version) return { ok: true, addon };
  return { ok: false, reason: `the native addon is of version ${built}, not ${version}` };
}
