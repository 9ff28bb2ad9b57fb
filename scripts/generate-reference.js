// Writes the reference pages and the published JSON schema from what the code says.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, install } from './prepare.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
install(root);
build(root);
const { referenceFiles } = await import('../dist/src/config/reference.js');
for (const [file, content] of Object.entries(referenceFiles())) {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), content);
  console.error(`wrote ${file}`);
}
