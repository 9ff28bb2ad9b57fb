// Builds, then runs the benchmarks named (`npm run bench -- micro/prompt load/run`), or all.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from './build-native.js';
import { build, install } from './prepare.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
install(root);
build(root);
buildNative(root);
const folder = path.join(root, 'dist/bench');
const all = readdirSync(path.join(folder, 'micro'))
  .filter((name) => name.endsWith('.bench.js'))
  .map((name) => `micro/${name.replace('.bench.js', '')}`)
  .sort();
const names = process.argv.length > 2 ? process.argv.slice(2) : [...all, 'load/run'];
for (const name of names) {
  const file = name.startsWith('micro/') ? `${name}.bench.js` : `${name}.js`;
  console.log(`\n## ${name}`);
  const result = spawnSync(process.execPath, ['--expose-gc', path.join(folder, file)], {
    stdio: 'inherit',
    cwd: root,
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
}
