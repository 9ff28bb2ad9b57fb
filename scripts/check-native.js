// Lints of the native core: format and clippy, warnings as errors. Without cargo it says so and
// passes, as the build does.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cargoProblem } from './build-native.js';

const native = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'native');
const missing = cargoProblem();
if (missing !== null) {
  console.error(`native lints skipped: ${missing}`);
  process.exit(0);
}
cargo('fmt', '--all', '--check');
cargo('clippy', '--release', '--locked', '--workspace', '--all-targets', '--', '-D', 'warnings');

function cargo(...words) {
  const result = spawnSync('cargo', words, { cwd: native, stdio: 'inherit' });
  if (result.status !== 0) process.exit(result.status ?? 1);
}
