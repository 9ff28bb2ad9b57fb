import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AttemptOutcome } from '#contracts/endpoint.js';
import { healthOf, newEjectionState, noteOutcome, type Standing } from '#fleet/eject.js';
import {
  connectionFailed,
  newProbeState,
  probeDelayMs,
  probeFailed,
  probeSucceeded,
} from '#fleet/probe.js';

function ejectedBy(outcomes: readonly AttemptOutcome[]): number {
  const state = newEjectionState();
  return outcomes.findIndex((outcome) => noteOutcome(state, outcome, 0));
}

test('three timeouts or five server errors in a row eject', () => {
  assert.equal(ejectedBy(new Array<AttemptOutcome>(9).fill('timed-out')), 2);
  assert.equal(ejectedBy(new Array<AttemptOutcome>(9).fill('server-error')), 4);
});

test('back-pressure never ejects, an answer ends the row', () => {
  assert.equal(ejectedBy(new Array<AttemptOutcome>(1000).fill('busy')), -1);
  const interrupted: AttemptOutcome[] = ['server-error', 'server-error', 'timed-out', 'answered'];
  assert.equal(ejectedBy(['timed-out', 'timed-out', 'answered', 'timed-out', 'timed-out']), -1);
  assert.equal(ejectedBy([...interrupted.slice(0, 2), 'answered', ...interrupted]), 5);
});

test('later ejections last longer; failures of older requests do not lengthen one', () => {
  const state = newEjectionState();
  for (let count = 0; count < 3; count += 1) noteOutcome(state, 'timed-out', 1000);
  assert.equal(state.untilMs, 2000);
  for (let count = 0; count < 50; count += 1) noteOutcome(state, 'timed-out', 1500);
  assert.equal(state.untilMs, 2000);
  assert.equal(noteOutcome(state, 'timed-out', 2001), true, 'the first failure after it suffices');
  assert.equal(state.untilMs, 4001);
  noteOutcome(state, 'answered', 5000);
  for (let count = 0; count < 3; count += 1) noteOutcome(state, 'timed-out', 100_000);
  assert.equal(state.untilMs, 101_000, 'old ejections are forgotten');
});

function standings(
  counts: { up: number; ejected: number; dead: number },
  pool = 'p',
): readonly Standing[] {
  const make = (count: number, unreachable: boolean, ejected: boolean): Standing[] =>
    Array.from({ length: count }, () => ({ pool, unreachable, ejected }));
  return [
    ...make(counts.up, false, false),
    ...make(counts.ejected, false, true),
    ...make(counts.dead, true, false),
  ];
}

test('half a pool may be ejected, more than half never; the unreachable always are', () => {
  const healthyCount = (list: readonly Standing[]): number => healthOf(list).filter(Boolean).length;
  assert.equal(healthyCount(standings({ up: 4, ejected: 4, dead: 0 })), 4);
  assert.equal(healthyCount(standings({ up: 2, ejected: 6, dead: 0 })), 8, 'panic');
  assert.equal(healthyCount(standings({ up: 1, ejected: 3, dead: 4 })), 4, 'of the reachable ones');
  assert.equal(healthyCount(standings({ up: 0, ejected: 1, dead: 0 })), 1, 'a pool of one');
  assert.equal(healthyCount(standings({ up: 0, ejected: 0, dead: 3 })), 0);
  const twoPools = [
    ...standings({ up: 4, ejected: 0, dead: 0 }, 'p'),
    ...standings({ up: 0, ejected: 2, dead: 0 }, 'q'),
  ];
  assert.equal(healthyCount(twoPools), 6, 'pools are counted apart');
});

test('probes have hysteresis, a refused connection of real traffic has none', () => {
  const state = newProbeState();
  assert.equal(probeSucceeded(state, 0), true, 'one success at first contact');
  assert.equal(probeFailed(state, 'timed-out', { nowMs: 1, failuresMax: 2 }), false);
  assert.equal(probeSucceeded(state, 2), false);
  assert.equal(probeFailed(state, 'timed-out', { nowMs: 3, failuresMax: 2 }), false);
  assert.equal(probeFailed(state, 'timed-out', { nowMs: 4, failuresMax: 2 }), true);
  assert.equal(probeSucceeded(state, 5), false);
  assert.equal(probeSucceeded(state, 6), true);
  assert.equal(connectionFailed(state, 7), true);
  assert.equal(connectionFailed(state, 8), false, 'already down');
});

test('the next probe comes soon while a verdict is due, later the longer an outage lasts', () => {
  const timings = { intervalMs: 1000, fastMs: 100 };
  const state = newProbeState();
  probeSucceeded(state, 0);
  assert.equal(probeDelayMs(state, timings), 1000);
  probeFailed(state, 'unreachable', { nowMs: 1, failuresMax: 2 });
  assert.equal(probeDelayMs(state, timings), 100);
  for (let count = 0; count < 30; count += 1)
    probeFailed(state, 'unreachable', { nowMs: 2, failuresMax: 2 });
  assert.equal(probeDelayMs(state, timings), 1000);
  probeSucceeded(state, 3);
  assert.equal(probeDelayMs(state, timings), 100);
});
