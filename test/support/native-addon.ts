// The native addon for tests of both cores: `test(…, { skip: nativeSkip })` where there is none.

import { type Addon, loadAddon } from '#core/native/addon.js';

const loaded = loadAddon();

/** Reason to skip native tests, or false. */
export const nativeSkip: string | false = loaded.ok ? false : loaded.reason;

/** The addon; throws where `nativeSkip` should have been asked. */
export function nativeAddon(): Addon {
  if (!loaded.ok) throw new Error(loaded.reason);
  return loaded.addon;
}
