// `warmpath version`: what is installed here.

import { readFileSync } from 'node:fs';

/** Version of this package, from package.json. */
export function packageVersion(): string {
  // dist/src/main/commands → the package's root.
  const file = new URL('../../../../package.json', import.meta.url);
  const parsed = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
  return parsed.version;
}

/** Prints version, core and runtime; always succeeds. */
export function printVersion(output: (line: string) => void): number {
  output(`warmpath ${packageVersion()} (core portable, Node ${process.versions.node})`);
  return 0;
}
