// The version of this package, which the native addon must have too.

import { readFileSync } from 'node:fs';

/** Version of this package, from package.json. */
export function packageVersion(): string {
  // dist/src/core → the package's root.
  const file = new URL('../../../package.json', import.meta.url);
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
  return parsed.version;
}
