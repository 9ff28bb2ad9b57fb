// no-hit-lru-scorer: what is cold goes where nothing cold has gone for longest.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SchedulingContext, Scorer } from '#contracts/scheduling.js';
import { noHitLruScorer } from '#plugins/no-hit-lru-scorer.js';
import {
  candidatesOf,
  endpointState,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

const fleet = fleetSnapshot([{}, {}, {}, {}]);
const cold = (requestId: string): Partial<SchedulingContext> => ({
  requestId,
  totalBlocks: 10,
  match: promptMatch([0, 0, 0, 0]),
});

function create(parameters: unknown = {}, host = pluginHost(4)): Scorer {
  return noHitLruScorer.create(noHitLruScorer.parameters.parse(parameters), host);
}

function scores(
  scorer: Scorer,
  changes: Partial<SchedulingContext>,
  slots: readonly number[] = [0, 1, 2, 3],
): readonly number[] {
  const written = new Float64Array(4).fill(-1);
  scorer.score(schedulingContext(fleet, changes), candidatesOf(fleet, slots), written);
  return [...written].map((score) => Math.round(score * 1e4) / 1e4);
}

/** One cold request, sent to `slot`. */
function place(scorer: Scorer, requestId: string, slot: number): void {
  scores(scorer, cold(requestId));
  scorer.picked?.(schedulingContext(fleet, cold(requestId)), slot);
}

test('who had none yet is best; among the others the longest ago', () => {
  const scorer = create();
  assert.deepEqual(scores(scorer, cold('a')), [1, 1, 1, 1]);
  place(scorer, 'a', 2);
  // Three had none; 2 has rank 3 of 0…3.
  assert.deepEqual(scores(scorer, cold('b')), [1, 1, 0, 1]);
  place(scorer, 'b', 0);
  // Two had none; 2 (longer ago) has rank 2, 0 has rank 3.
  assert.deepEqual(scores(scorer, cold('c')), [0, 1, 0.3333, 1]);
  place(scorer, 'c', 1);
  place(scorer, 'd', 3);
  assert.deepEqual(scores(scorer, cold('e')), [0.6667, 0.3333, 1, 0]);
  place(scorer, 'e', 2);
  assert.deepEqual(scores(scorer, cold('f')), [1, 0.6667, 0, 0.3333]);
});

test('ranks are those among the candidates; a single one is 1', () => {
  const scorer = create();
  for (const [at, slot] of [3, 2, 1, 0].entries()) place(scorer, `request ${at}`, slot);
  assert.deepEqual(scores(scorer, cold('x'), [0, 2]), [0, -1, 1, -1]);
  assert.deepEqual(scores(scorer, cold('x'), [0]), [1, -1, -1, -1]);
});

test('with any hit, also an expected one, it says nothing and notes nothing', () => {
  const scorer = create();
  place(scorer, 'a', 1);
  const warm = { requestId: 'b', totalBlocks: 10, match: promptMatch([0, 0, 0, 0], [0, 0, 4, 0]) };
  assert.deepEqual(scores(scorer, warm), [0.5, 0.5, 0.5, 0.5]);
  scorer.picked?.(schedulingContext(fleet, warm), 0);
  assert.deepEqual(scores(scorer, cold('c')), [1, 0, 1, 1]);
  // A holder that is no candidate does not count.
  const elsewhere = { ...warm, match: promptMatch([0, 0, 4, 0]) };
  assert.deepEqual(scores(scorer, elsewhere, [0, 1]), [1, 0, -1, -1]);
});

test('a cold prompt that goes on to another endpoint counts there too, a warm one nowhere', () => {
  const scorer = create();
  scores(scorer, cold('a'));
  const moved = scorer.picked?.(schedulingContext(fleet, cold('a')), 0);
  // Others are rated meanwhile.
  scores(scorer, cold('b'));
  moved?.(3);
  assert.deepEqual(scores(scorer, cold('c')), [0.3333, 1, 1, 0]);
  const warm = { requestId: 'd', totalBlocks: 10, match: promptMatch([0, 4, 0, 0]) };
  scores(scorer, warm);
  assert.equal(scorer.picked?.(schedulingContext(fleet, warm), 1), undefined);
});

test('a prompt about which nothing is known is cold', () => {
  assert.deepEqual(scores(create(), { match: null }), [1, 1, 1, 1]);
});

test('a pick of a request that was not scored is not noted', () => {
  const scorer = create();
  place(scorer, 'a', 1);
  scorer.picked?.(schedulingContext(fleet, cold('never scored')), 2);
  assert.deepEqual(scores(scorer, cold('b')), [1, 0, 1, 1]);
});

test('only the most recent endpoints are remembered, as many as lruSize says', () => {
  const scorer = create({ lruSize: 2 });
  for (const [at, slot] of [0, 1, 2].entries()) place(scorer, `request ${at}`, slot);
  // 0 is forgotten: two had none; 1 has rank 2, 2 has rank 3.
  assert.deepEqual(scores(scorer, cold('x')), [1, 0.3333, 0, 1]);
});

test('another endpoint in an old slot had none yet', () => {
  const scorer = create();
  place(scorer, 'a', 1);
  const changed = fleetSnapshot([{}, {}, {}, {}]);
  const renamed = endpointState(1);
  const bySlot = changed.bySlot.map((state, slot) =>
    slot === 1 ? { ...renamed, endpoint: { ...renamed.endpoint, name: 'new:8000' } } : state,
  );
  const written = new Float64Array(4);
  const context = schedulingContext({ epoch: 2, bySlot }, cold('b'));
  scorer.score(context, candidatesOf(changed), written);
  assert.deepEqual([...written], [1, 1, 1, 1]);
});

test('in several profiles it is one scorer; one of another name or size is not', () => {
  const host = pluginHost(4);
  const [here, there] = [create({}, host), create({}, host)];
  const others = [create({}, { ...host, name: 'other' }), create({ lruSize: 4 }, host)];
  place(here, 'a', 2);
  assert.deepEqual(scores(there, cold('b')), [1, 1, 0, 1]);
  // What was scored in one profile is noted there alone.
  there.picked?.(schedulingContext(fleet, cold('a')), 0);
  assert.deepEqual(scores(here, cold('c')), [1, 1, 0, 1]);
  for (const other of others) assert.deepEqual(scores(other, cold('d')), [1, 1, 1, 1]);
});
