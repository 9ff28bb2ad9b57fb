// The Rust copy of limits, errors and offsets is what the contracts say now.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '#test/support/paths.js';

test('native/core/src/layout.rs is generated from the contracts as they are', async () => {
  const script = path.join(repositoryRoot, 'scripts/native-layout.js');
  const { nativeLayout, NATIVE_LAYOUT_FILE } = (await import(script)) as {
    nativeLayout: () => string;
    NATIVE_LAYOUT_FILE: string;
  };
  const written = readFileSync(path.join(repositoryRoot, NATIVE_LAYOUT_FILE), 'utf8');
  assert.equal(written, nativeLayout(), 'run `npm run generate`');
});
