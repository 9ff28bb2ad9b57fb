// `npm run package`: one installable tarball with the compiled router and the native addon inside.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonFile, buildNative } from './build-native.js';
import { build, install } from './prepare.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
install(root);
build(root, { force: true });
buildNative(root);
if (!existsSync(addonFile(root))) {
  console.error('warmpath: no native addon was built, so there is nothing worth packing');
  process.exit(1);
}
const words = ['pack', '--ignore-scripts', ...process.argv.slice(2)];
const result = spawnSync('npm', words, { cwd: root, stdio: 'inherit' });
process.exit(result.status ?? 1);
