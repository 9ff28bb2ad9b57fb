// The native encoder keeps a process alive exactly while something is waited for.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nativeSkip } from '#test/support/native-addon.js';

const PROCESS = fileURLToPath(new URL('../support/encoder-process.js', import.meta.url));

function run(...parameters: readonly string[]): { readonly status: number; readonly text: string } {
  const result = spawnSync(process.execPath, [PROCESS, ...parameters], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(result.signal, null, 'the process ended by itself');
  assert.equal(result.stderr, '');
  return { status: result.status ?? -1, text: result.stdout };
}

test('waiting keeps the process alive, an idle encoder does not', { skip: nativeSkip }, () => {
  assert.deepEqual(run(), { status: 0, text: '20001 tokens' });
});

test('an encoder can be stopped while it loads', { skip: nativeSkip }, () => {
  const text = 'Error: the prompt encoder is not running';
  assert.deepEqual(run('stop'), { status: 0, text });
});
