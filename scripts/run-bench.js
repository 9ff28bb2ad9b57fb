// Builds, then runs the benchmarks named (`npm run bench -- micro/prompt load/proxy`), or all. Flags
// (`--rounds 5`) go to every one of them.
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
const all = ['micro', 'load'].flatMap((kind) =>
  readdirSync(path.join(root, 'bench', kind))
    .filter((name) => name.endsWith('.bench.ts'))
    .map((name) => `${kind}/${name.replace('.bench.ts', '')}`)
    .sort(),
);
const words = process.argv.slice(2);
const firstFlag = words.findIndex((word) => word.startsWith('-'));
const names = firstFlag < 0 ? words : words.slice(0, firstFlag);
const flags = firstFlag < 0 ? [] : words.slice(firstFlag);
const unknown = names.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`no benchmark is called ${unknown.join(', ')}; there are ${all.join(', ')}`);
  process.exit(2);
}
for (const name of names.length > 0 ? names : all) {
  console.log(`\n## ${name}`);
  const result = spawnSync(
    process.execPath,
    ['--expose-gc', path.join(folder, `${name}.bench.js`), ...flags],
    { stdio: 'inherit', cwd: root },
  );
  if (result.status !== 0) process.exit(result.status ?? 1);
}
