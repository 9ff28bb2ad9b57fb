// Which core runs: the native one unless it is not there or WARMPATH_CORE says otherwise. Running the
// portable core by accident costs tenfold and more, so the reason is kept and shown everywhere.

import type { Core } from '#contracts/core.js';
import { type LoadedAddon, loadAddon } from '#core/native/addon.js';
import { nativeCore } from '#core/native/core.js';

/** The core, and why it is not the native one (null when it is, or was asked for). */
export interface ChosenCore {
  readonly core: Core;
  readonly reason: string | null;
}

/** Environment variable that forces a core. */
const VARIABLE = 'WARMPATH_CORE';

/** Chooses by the variable's value; a text when what it asks for is not to be had. */
export async function chooseCore(
  wanted: string,
  load: () => LoadedAddon = loadAddon,
): Promise<ChosenCore | string> {
  if (wanted === 'portable') return { core: await loadPortable(), reason: null };
  if (!['', 'auto', 'native'].includes(wanted)) {
    return `${VARIABLE} is "${wanted}"; it must be native, portable or auto`;
  }
  const loaded = load();
  if (loaded.ok) return { core: nativeCore(loaded.addon), reason: null };
  if (wanted === 'native') return `${VARIABLE} asks for the native core, but ${loaded.reason}`;
  return { core: await loadPortable(), reason: loaded.reason };
}

/** Only where it runs: what it imports takes longer to load than the native core. */
async function loadPortable(): Promise<Core> {
  return (await import('#core/portable/core.js')).portableCore;
}

/** The core this process's environment asks for; null, and said on stderr, when there is none. */
export async function coreOrExplain(): Promise<ChosenCore | null> {
  const chosen = await chooseCore(process.env[VARIABLE] ?? '');
  if (typeof chosen !== 'string') return chosen;
  process.stderr.write(`${chosen}\n`);
  return null;
}
