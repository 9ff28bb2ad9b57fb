// What scripts/build-native.js does when the addon cannot be built, with a cargo that fails.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repositoryRoot } from '#test/support/paths.js';

/** A repository with native sources and no addon, and a `cargo` of this version whose builds fail. */
function brokenRepository(version: string): string {
  const root = mkdtempSync(path.join(tmpdir(), 'warmpath-build-'));
  for (const folder of ['native/core', 'native/binding', 'bin']) {
    mkdirSync(path.join(root, folder), { recursive: true });
  }
  for (const file of ['Cargo.toml', 'Cargo.lock', 'core/lib.rs', 'binding/lib.rs']) {
    writeFileSync(path.join(root, 'native', file), '');
  }
  const cargo = `#!/bin/sh\n[ "$1" = --version ] && echo "cargo ${version}" && exit 0\nexit 101\n`;
  writeFileSync(path.join(root, 'bin/cargo'), cargo, { mode: 0o755 });
  return root;
}

function build(root: string, core: string | null): { status: number | null; said: string } {
  const script = pathToFileURL(path.join(repositoryRoot, 'scripts/build-native.js')).href;
  const run = `import { buildNative } from ${JSON.stringify(script)};
    buildNative(${JSON.stringify(root)}); console.log('goes on');`;
  const { WARMPATH_CORE: _, ...environment } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', run],
    {
      encoding: 'utf8',
      env: {
        ...environment,
        PATH: `${path.join(root, 'bin')}${path.delimiter}${process.env['PATH']}`,
        ...(core === null ? {} : { WARMPATH_CORE: core }),
      },
    },
  );
  return { status, said: stdout + stderr };
}

test('a build that fails is told and the portable core runs, unless the native one is forced', () => {
  for (const [version, problem, forced] of [
    ['1.89.0', /could not be built/, 1],
    ['1.70.0', /cargo 1\.70 is older than 1\.89/, 2],
  ] as const) {
    const root = brokenRepository(version);
    try {
      for (const core of [null, 'auto']) {
        const { status, said } = build(root, core);
        assert.equal(status, 0, said);
        assert.match(said, problem);
        assert.match(said, /the slower portable core will run/);
        assert.match(said, /goes on/);
      }
      const native = build(root, 'native');
      assert.equal(native.status, forced);
      assert.match(native.said, problem);
      assert.doesNotMatch(native.said, /goes on/);
      assert.deepEqual(build(root, 'portable'), { status: 0, said: 'goes on\n' });
    } finally {
      rmSync(root, { recursive: true });
    }
  }
});
