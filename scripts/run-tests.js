// Builds, then runs the compiled tests of one suite with node:test. Folders decide the suite:
// unit, contract, property → `unit`; integration, end-to-end → `integration`.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonFile, buildNative } from './build-native.js';
import { build, install } from './prepare.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const suites = {
  unit: ['unit', 'contract', 'property'],
  integration: ['integration', 'end-to-end'],
  tidy: ['tidy'],
  all: ['tidy', 'unit', 'contract', 'property', 'integration', 'end-to-end'],
};

const suite = process.argv[2] ?? 'all';
const only = process.argv.slice(3);
if (!(suite in suites)) {
  console.error(`unknown suite ${suite}; one of ${Object.keys(suites).join(', ')}`);
  process.exit(2);
}
install(root);
build(root);
buildNative(root);

const files = only.length > 0 ? only.map(compiled) : suites[suite].flatMap(testFiles);
if (files.length === 0) {
  console.error(`no test files in suite ${suite}`);
  process.exit(1);
}
run(files, process.env);
// The router as a whole is tested on both cores: the native one is what runs where there is one.
const whole = only.length > 0 ? [] : suites[suite].filter((name) => name === 'end-to-end');
if (whole.length > 0 && existsSync(addonFile(root)) && process.env.WARMPATH_CORE === undefined) {
  run(whole.flatMap(testFiles), { ...process.env, WARMPATH_CORE: 'portable' });
}

// Two files at a time: more only makes two-core machines miss their own deadlines. A file that hangs
// is ended, so that its failure is seen.
function run(testFiles, env) {
  const result = spawnSync(
    process.env.WARMPATH_TEST_NODE ?? process.execPath,
    [
      '--test',
      '--test-concurrency=2',
      '--test-timeout=600000',
      '--enable-source-maps',
      ...testFiles,
    ],
    { stdio: 'inherit', cwd: root, env },
  );
  if (result.status !== 0) process.exit(result.status ?? 1);
}

function testFiles(folder) {
  const top = path.join(root, 'dist/test', folder);
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => path.join(top, name))
    .filter((file) => existsSync(compiledFrom(file)))
    .sort();
}

/** The TypeScript file a compiled test came from; without it the test is a leftover. */
function compiledFrom(file) {
  return path.join(root, path.relative(path.join(root, 'dist'), file)).replace(/\.js$/, '.ts');
}

function compiled(file) {
  return path.join(root, 'dist', path.relative(root, path.resolve(file))).replace(/\.ts$/, '.js');
}
