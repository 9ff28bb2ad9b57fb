// Tests of the native core that need no Node: unit and property tests, concurrency models, the fuzz
// corpus. In the release profile, whose dependencies the addon's build has compiled already.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cargoProblem } from './build-native.js';

const native = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'native');
const missing = cargoProblem();
if (missing !== null) {
  console.error(`native tests skipped: ${missing}`);
  process.exit(0);
}
const words = ['test', '--release', '--locked', '--workspace', ...process.argv.slice(2)];
const result = spawnSync('cargo', words, { cwd: native, stdio: 'inherit' });
process.exit(result.status ?? 1);
