// Every export of the addon, called over and over in a process of its own with what it is given in
// earnest and with what it must refuse: the process does not grow with the calls.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { GROWTH_MAX } from '#test/support/growth/measure.js';
import type { GrowthReport } from '#test/support/growth/process.js';
import { nativeSkip } from '#test/support/native-addon.js';

const PROCESS = fileURLToPath(new URL('../support/growth/process.js', import.meta.url));
/** What objects that start threads are called; everything else is called by the thousand. */
const CALLS_MIN = 100;

function run(environment: NodeJS.ProcessEnv): GrowthReport {
  const result = spawnSync(process.execPath, ['--expose-gc', PROCESS], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    timeout: 500_000,
  });
  assert.equal(result.status, 0, `${result.signal} ${result.stdout}${result.stderr}`);
  return JSON.parse(result.stdout) as GrowthReport;
}

test('no export makes the process grow with its calls', { skip: nativeSkip }, (t) => {
  const { exports, calls, growths } = run({});
  for (const { name, turns, bytes } of growths) {
    t.diagnostic(`${name}: ${bytes} bytes in ${turns} turns`);
    assert.ok(bytes < GROWTH_MAX, `${name}: ${bytes} bytes in ${turns} turns`);
  }
  assert.ok(exports.length > 0);
  const uncalled = exports.filter((name) => (calls[name] ?? 0) < CALLS_MIN);
  assert.deepEqual(uncalled, [], 'every export is called: add it to test/support/growth');
});

test('control: what is kept on purpose is seen', { skip: nativeSkip }, () => {
  const { growths } = run({ WARMPATH_GROWTH_LEAK: '1' });
  assert.equal(growths.length, 1);
  assert.ok(growths.every(({ bytes }) => bytes >= GROWTH_MAX));
});
