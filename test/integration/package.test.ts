// What `npm pack` would publish, unpacked beside nothing but the locked dependencies: it runs by
// itself, natively where it carries the addon, and says clearly what it does where it does not.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { packageVersion } from '#core/package-version.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { repositoryRoot } from '#test/support/paths.js';
import { type RunningProcess, startProcess } from '#test/support/processes.js';

const NODE = `Node ${process.versions.node}`;
const NO_ADDON = 'the native addon has not been built, which takes cargo (Rust 1.89 or newer)';

let home: string;
let installed: string;

before(() => {
  home = mkdtempSync(path.join(tmpdir(), 'warmpath-package-'));
  const words = ['pack', '--ignore-scripts', '--silent', '--pack-destination', home];
  succeed('npm', words, repositoryRoot);
  const [tarball = ''] = readdirSync(home);
  succeed('tar', ['-xzf', tarball], home);
  installed = path.join(home, 'package');
  symlinkSync(path.join(repositoryRoot, 'node_modules'), path.join(installed, 'node_modules'));
});

after(() => {
  rmSync(home, { recursive: true, force: true });
});

test('it holds what runs and nothing else', () => {
  const files = readdirSync(installed, { recursive: true }).map(String);
  const own = files.filter((file) => !file.startsWith('node_modules'));
  assert.deepEqual(
    own.filter((file) => /\.(map|ts|tsbuildinfo|rs)$|^(dist\/test|test|native|bench)\b/.test(file)),
    [],
  );
  for (const file of ['LICENSE', 'README.md', 'dist/src/main/index.js', 'scripts/warmpath.js']) {
    assert.ok(own.includes(file), file);
  }
});

test('with the addon inside it runs natively', { skip: nativeSkip }, async () => {
  const text = `warmpath ${packageVersion()} (core native, ${NODE})`;
  assert.deepEqual(version({}), { status: 0, stdout: text, stderr: '' });
  assert.equal(await answeredBy(start('scripts/warmpath.js', { WARMPATH_CORE: 'native' })), 200);
});

test('version says which core was asked for, and exits 2 for what is none', () => {
  const text = `warmpath ${packageVersion()} (core portable, ${NODE})`;
  const portable = version({ WARMPATH_CORE: 'portable' });
  assert.deepEqual(portable, { status: 0, stdout: text, stderr: '' });
  const stderr = 'WARMPATH_CORE is "nonsense"; it must be native, portable or auto';
  const nonsense = version({ WARMPATH_CORE: 'nonsense' });
  assert.deepEqual(nonsense, { status: 2, stdout: '', stderr });
  assert.deepEqual(run(['serve'], { WARMPATH_CORE: 'nonsense' }), nonsense);
});

test('without an addon the portable core runs, and says so once', async () => {
  rmSync(path.join(installed, 'dist/native'), { recursive: true, force: true });
  assert.ok(!existsSync(path.join(installed, 'dist/native')));
  const text = `warmpath ${packageVersion()} (core portable, because ${NO_ADDON}, ${NODE})`;
  assert.deepEqual(version({}), { status: 0, stdout: text, stderr: '' });
  const stderr = `WARMPATH_CORE asks for the native core, but ${NO_ADDON}`;
  const native = version({ WARMPATH_CORE: 'native' });
  assert.deepEqual(native, { status: 2, stdout: '', stderr });
  assert.deepEqual(run(['serve'], { WARMPATH_CORE: 'native' }), native);

  // As `npm start` does.
  const router = start('scripts/start.js', {});
  assert.equal(await answeredBy(router), 200);
  const warnings = router.lines.filter((line) => /portable core/.test(line));
  assert.equal(warnings.length, 1, warnings.join('\n'));
  assert.match(warnings[0] ?? '', /"level":"warn".*the native addon has not been built/);
});

/** The environment of someone who has Node and nothing else. */
function environment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { PATH: path.dirname(process.execPath), HOME: home, ...more };
}

function version(more: NodeJS.ProcessEnv): ReturnType<typeof run> {
  return run(['version'], more);
}

function run(
  words: readonly string[],
  more: NodeJS.ProcessEnv,
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(installed, 'scripts/warmpath.js'), ...words],
    { env: environment(more), cwd: home, encoding: 'utf8' },
  );
  return { status, stdout: stdout.trim(), stderr: stderr.trim() };
}

function start(script: string, more: NodeJS.ProcessEnv): RunningProcess {
  const words = ['serve', '--listen=127.0.0.1:0', '--admin=127.0.0.1:0'];
  return startProcess(
    process.execPath,
    [path.join(installed, script), ...words],
    environment(more),
  );
}

/** Sends one request; the status of the answer, after the router has ended. */
async function answeredBy(router: RunningProcess): Promise<number> {
  try {
    const ready = await router.waitForLine(/warmpath is ready on/);
    const [url = ''] = ready.match(/http:\/\/[^\s,]+/) ?? [];
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: models.data[0]?.id, prompt: 'one two', max_tokens: 2 }),
    });
    await response.text();
    return response.status;
  } finally {
    assert.equal(await router.end(), 0);
  }
}

function succeed(command: string, words: readonly string[], cwd: string): void {
  const { status, stderr } = spawnSync(command, words, { cwd, encoding: 'utf8' });
  assert.equal(status, 0, `${command} ${words.join(' ')}: ${stderr}`);
}
