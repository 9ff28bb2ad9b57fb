import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COARSE_FROM_MS, CoarseClock, TICK_MS } from '#fleet/coarse-clock.js';
import { VirtualClock } from '#test/support/time.js';

test('long timers fire together, late by less than a tick and never early; short ones on time', () => {
  const inner = new VirtualClock();
  const clock = new CoarseClock(inner);
  inner.advance(7);
  const fired: [string, number][] = [];
  const begin = (name: string, delayMs: number) =>
    clock.after(delayMs, () => fired.push([name, clock.nowMs()]));
  begin('short', COARSE_FROM_MS - 1);
  begin('long', 1000);
  begin('longer', 1030);
  const cancel = begin('cancelled', 1010);
  begin('next tick', 1050);
  cancel();
  inner.advance(3000);
  assert.deepEqual(fired, [
    ['short', 7 + COARSE_FROM_MS - 1],
    ['long', 1050],
    ['longer', 1050],
    ['next tick', 1100],
  ]);
  assert.equal(1050 % TICK_MS, 0);
});

test('a timer begun or cancelled by another of its tick is begun or cancelled', () => {
  const inner = new VirtualClock();
  const clock = new CoarseClock(inner);
  const fired: string[] = [];
  clock.after(1000, () => {
    fired.push('first');
    cancelSecond();
    clock.after(1000, () => fired.push('third'));
  });
  const cancelSecond = clock.after(1000, () => fired.push('second'));
  inner.advance(1999);
  assert.deepEqual(fired, ['first']);
  inner.advance(1);
  assert.deepEqual(fired, ['first', 'third']);
});

test('a tick whose timers are all cancelled leaves no timer behind', () => {
  const inner = new VirtualClock();
  let running = 0;
  const counting = {
    nowMs: () => inner.nowMs(),
    after: (delayMs: number, callback: () => void) => {
      running += 1;
      const cancel = inner.after(delayMs, callback);
      return () => {
        running -= 1;
        cancel();
      };
    },
  };
  const clock = new CoarseClock(counting);
  const fired: string[] = [];
  const cancels = [1001, 1002].map((delayMs) => clock.after(delayMs, () => fired.push('late')));
  assert.equal(running, 1);
  for (const cancel of cancels) cancel();
  assert.equal(running, 0);
  clock.after(1003, () => fired.push('again'));
  inner.advance(2000);
  assert.deepEqual(fired, ['again']);
});
