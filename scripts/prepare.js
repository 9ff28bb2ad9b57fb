// What every command does first: install the locked dependencies if they are not there, compile
// if sources are newer than the last compilation. Plain Node, because nothing is installed yet.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';

/** Installs the locked dependencies unless node_modules already is what package-lock.json says. */
export function install(root) {
  const lock = path.join(root, 'package-lock.json');
  const installed = path.join(root, 'node_modules/.package-lock.json');
  if (!existsSync(lock)) return;
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  console.error('warmpath: installing the locked dependencies…');
  run(root, 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** Compiles TypeScript unless everything compiled is newer than every source. */
export function build(root, { force = false } = {}) {
  // An installed package is compiled already.
  if (!existsSync(path.join(root, 'tsconfig.json'))) return;
  const stamp = path.join(root, 'dist/.tsbuildinfo');
  const newest = Math.max(
    ...['src', 'test', 'bench'].map((folder) => newestMs(path.join(root, folder))),
  );
  const configured = Math.max(mtimeMs(path.join(root, 'tsconfig.json')), newest);
  if (!force && existsSync(stamp) && statSync(stamp).mtimeMs >= configured) return;
  if (!existsSync(path.join(root, 'node_modules/typescript'))) return;
  console.error('warmpath: compiling…');
  const startedMs = Date.now();
  run(root, process.execPath, [path.join(root, 'node_modules/typescript/bin/tsc')]);
  // The compiler leaves it alone when a newer file changed nothing: every start would compile again.
  utimesSync(stamp, startedMs / 1e3, startedMs / 1e3);
}

function newestMs(folder) {
  if (!existsSync(folder)) return 0;
  let newest = 0;
  for (const name of readdirSync(folder, { recursive: true })) {
    newest = Math.max(newest, mtimeMs(path.join(folder, String(name))));
  }
  return newest;
}

function mtimeMs(file) {
  return existsSync(file) ? statSync(file).mtimeMs : 0;
}

function run(root, command, args) {
  // Output goes to stderr, so that a command's own stdout stays machine-readable.
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) process.exit(result.status ?? 1);
}
