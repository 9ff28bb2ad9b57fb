// `warmpath version`: what is installed here.

import { packageVersion } from '#core/package-version.js';
import { coreOrExplain } from '../core-choice.js';

/** Prints version, core and runtime; 2 when the core that was asked for is not there. */
export async function printVersion(output: (line: string) => void): Promise<number> {
  const chosen = await coreOrExplain();
  if (chosen === null) return 2;
  const why = chosen.reason === null ? '' : `, because ${chosen.reason}`;
  const core = `core ${chosen.core.name}${why}`;
  output(`warmpath ${packageVersion()} (${core}, Node ${process.versions.node})`);
  return 0;
}
