// Makes the native addon in dist/native unless it is there: `cargo build` where cargo is new enough,
// else a line that says what will run instead. WARMPATH_CORE=portable skips it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';

const CARGO_MINIMUM = [1, 89];
/** Values of WARMPATH_CORE for which it is worth building; portable and misspelt ones are not. */
const CORES_WITH_ADDON = ['', 'auto', 'native'];
const LIBRARY = { darwin: 'libwarmpath_binding.dylib', win32: 'warmpath_binding.dll' };

/** File of the addon, as src/core/native/addon.ts looks for it. */
export function addonFile(root) {
  return path.join(root, 'dist/native', `warmpath-${process.platform}-${process.arch}.node`);
}

/**
 * Builds the addon if its sources are newer than it, or there is none. `explain: false` leaves saying
 * that there is none to the program that is started next.
 */
export function buildNative(root, { explain = true } = {}) {
  if (!CORES_WITH_ADDON.includes(process.env.WARMPATH_CORE ?? '')) return;
  const file = addonFile(root);
  const sources = path.join(root, 'native');
  // An installed package has no sources: what it carries is of its own version.
  if (!existsSync(path.join(sources, 'Cargo.toml'))) return;
  if (existsSync(file) && statSync(file).mtimeMs >= newestSourceMs(sources)) return;
  const isForced = process.env.WARMPATH_CORE === 'native';
  const missing = cargoProblem();
  const problem = missing ?? compile(sources);
  if (problem !== null) {
    const hasOlder = existsSync(file);
    if (isForced && (missing === null || !hasOlder)) {
      console.error(`warmpath: WARMPATH_CORE asks for the native core, but ${problem}`);
      process.exit(missing === null ? 1 : 2);
    }
    if (hasOlder) {
      console.error(`warmpath: the native addon is older than its sources, but ${problem}`);
    } else if (explain || missing === null) {
      console.error(`warmpath: ${problem}; the slower portable core will run`);
    }
    return;
  }
  const target = process.env.CARGO_TARGET_DIR ?? path.join(sources, 'target');
  const library = LIBRARY[process.platform] ?? 'libwarmpath_binding.so';
  mkdirSync(path.dirname(file), { recursive: true });
  // Renamed into place: overwriting a loaded addon would end the processes that use it.
  copyFileSync(path.join(target, 'release', library), `${file}.new`);
  renameSync(`${file}.new`, file);
}

/** Runs cargo, which tells what it does; what went wrong, else null. */
function compile(sources) {
  console.error('warmpath: building the native core, a few minutes the first time…');
  const built = spawnSync(
    'cargo',
    ['build', '--release', '--locked', '--package', 'warmpath-binding'],
    { cwd: sources, stdio: ['ignore', 2, 2] },
  );
  return built.status === 0 ? null : 'it could not be built (cargo says why above)';
}

/** Why cargo cannot build the addon here, null when it can. */
export function cargoProblem() {
  const { status, stdout } = spawnSync('cargo', ['--version'], { encoding: 'utf8' });
  if (status !== 0) return 'cargo (Rust 1.89 or newer) is not installed';
  const [major = 0, minor = 0] = (/(\d+)\.(\d+)/.exec(stdout) ?? []).slice(1).map(Number);
  const [wantedMajor, wantedMinor] = CARGO_MINIMUM;
  const fine = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  return fine ? null : `cargo ${major}.${minor} is older than 1.89`;
}

/** Of the addon alone: the load generator and the benchmarks are no part of it. */
function newestSourceMs(native) {
  const files = ['Cargo.toml', 'Cargo.lock'].map(
    (name) => statSync(path.join(native, name)).mtimeMs,
  );
  return Math.max(
    ...files,
    ...['core', 'binding'].map((name) => newestMs(path.join(native, name))),
  );
}

function newestMs(folder) {
  let newest = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === 'target') continue;
    const file = path.join(folder, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestMs(file) : statSync(file).mtimeMs);
  }
  return newest;
}
