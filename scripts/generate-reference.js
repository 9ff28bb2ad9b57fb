// Writes the reference pages, the published JSON schema and the Rust copy of layouts and limits from
// what the code says.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, install } from './prepare.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
install(root);
build(root);
const { referenceFiles } = await import('../dist/src/config/reference.js');
const { metricsReference } = await import('../dist/src/observability/metrics-table.js');
const { NATIVE_LAYOUT_FILE, nativeLayout } = await import('./native-layout.js');
const files = {
  ...referenceFiles(),
  'docs/reference/metrics.md': metricsReference(),
  [NATIVE_LAYOUT_FILE]: nativeLayout(),
};
for (const [file, content] of Object.entries(files)) {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), content);
  console.error(`wrote ${file}`);
}
