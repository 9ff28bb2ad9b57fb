// Where tests find the repository and the recorded data, whatever folder they are run from.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Root of the repository (this file runs from dist/test/support). */
export const repositoryRoot: string = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  '../../..',
);

/** Recorded engine data kept in the repository; see its README. */
export function goldenFile(name: string): string {
  return path.join(repositoryRoot, 'test/golden', name);
}

/** A file of the shared folder beside the checkout, or null where there is none. */
export function sharedFile(name: string): string | null {
  const file = path.resolve(repositoryRoot, '../shared', name);
  return existsSync(file) ? file : null;
}
