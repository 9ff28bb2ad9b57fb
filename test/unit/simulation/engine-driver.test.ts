// The live driver under virtual time: step lengths scaled, events before tokens, abort, idling.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineDriver } from '#simulation/engine-driver.js';
import { BASE, run, smallModel } from '#test/support/engine-model.js';
import { VirtualClock } from '#test/support/time.js';

const ONE_SECOND_STEPS = {
  fixedSeconds: 1,
  prefillSecondsPerToken: 0,
  attentionSecondsPerTokenPair: 0,
  contextSecondsPerToken: 0,
};

function start(timeScale: number): {
  clock: VirtualClock;
  driver: EngineDriver;
  seen: string[];
  submit: (id: string, outputTokens: number) => void;
} {
  const clock = new VirtualClock();
  const seen: string[] = [];
  const model = smallModel({ coefficients: ONE_SECOND_STEPS });
  const publish = (): void => {
    seen.push(`${clock.nowMs()} events`);
  };
  const driver = new EngineDriver({ model, clock, timeScale, publish });
  const submit = (id: string, outputTokens: number): void =>
    driver.submit(
      { id, promptTokenIds: run(id.charCodeAt(0) * 100, 4), outputTokens, identity: BASE },
      (token) => seen.push(`${clock.nowMs()} ${token.id}${token.finished ? ' finished' : ''}`),
    );
  return { clock, driver, seen, submit };
}

test('tokens come at the end of scaled steps, after the events of the same step', () => {
  const { clock, seen, submit } = start(10);
  submit('a', 3);
  clock.advance(99);
  assert.deepEqual(seen, []);
  clock.advance(1000);
  assert.deepEqual(seen, ['100 events', '100 a', '200 a', '300 a finished']);
});

test('a request that arrives during a step joins the next one', () => {
  const { clock, seen, submit } = start(1);
  submit('a', 2);
  clock.advance(500);
  submit('b', 1);
  clock.advance(5000);
  assert.deepEqual(seen, [
    '1000 events',
    '1000 a',
    '2000 events',
    '2000 a finished',
    '2000 b finished',
  ]);
});

test('an idle engine starts anew with the next request', () => {
  const { clock, seen, submit } = start(1);
  submit('a', 1);
  clock.advance(10_000);
  submit('b', 1);
  clock.advance(1000);
  assert.deepEqual(seen.at(-1), '11000 b finished');
});

test('nothing is heard of an aborted request or after a stop', () => {
  const { clock, driver, seen, submit } = start(1);
  submit('a', 5);
  submit('b', 2);
  clock.advance(1000);
  driver.abort('a');
  clock.advance(2000);
  const expected = ['1000 events', '1000 a', '2000 events', '2000 b', '3000 b finished'];
  assert.deepEqual(seen, expected);
  submit('c', 5);
  driver.stop();
  clock.advance(10_000);
  assert.deepEqual(seen, expected);
});
