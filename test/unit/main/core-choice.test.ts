// Which core WARMPATH_CORE chooses, with and without an addon.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LoadedAddon } from '#core/native/addon.js';
import { chooseCore } from '#main/core-choice.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';

const REASON = 'the native addon is of version 9.9.9, not 0.1.0';
const none = (): LoadedAddon => ({ ok: false, reason: REASON });
const there = (): LoadedAddon => ({ ok: true, addon: nativeAddon() });

async function chosen(wanted: string, load: () => LoadedAddon): Promise<string> {
  const choice = await chooseCore(wanted, load);
  return typeof choice === 'string' ? choice : `${choice.core.name}: ${choice.reason}`;
}

test('the native core runs where it is there, unless portable is asked for', {
  skip: nativeSkip,
}, async () => {
  assert.equal(await chosen('', there), 'native: null');
  assert.equal(await chosen('auto', there), 'native: null');
  assert.equal(await chosen('native', there), 'native: null');
  assert.equal(await chosen('portable', there), 'portable: null');
});

test('without an addon the portable core runs and the reason is kept', async () => {
  assert.equal(await chosen('', none), `portable: ${REASON}`);
  assert.equal(await chosen('auto', none), `portable: ${REASON}`);
  assert.equal(await chosen('portable', none), 'portable: null');
});

test('what cannot be had is a text', async () => {
  const native = `WARMPATH_CORE asks for the native core, but ${REASON}`;
  assert.equal(await chosen('native', none), native);
  const nonsense = 'WARMPATH_CORE is "nonsense"; it must be native, portable or auto';
  assert.equal(await chosen('nonsense', none), nonsense);
  assert.equal(await chosen('Native', there), nonsense.replace('nonsense', 'Native'));
});

test('portable never touches the addon', async () => {
  const broken = (): LoadedAddon => assert.fail('loaded');
  assert.equal(await chosen('portable', broken), 'portable: null');
});
