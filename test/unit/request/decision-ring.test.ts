// The ring of decisions: which are kept, how results find them, and that places are reused without
// anything of the decision before showing through.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProfile } from '#config/build-policy.js';
import { POLICY_PROFILES } from '#config/policies.js';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import type { FinishedRequest } from '#contracts/observer.js';
import { DecisionRing } from '#request/decision-ring.js';
import { planTargets } from '#request/forward.js';
import type { Explained } from '#request/kept-decision.js';
import { schedule, scheduleCycle } from '#request/schedule.js';
import { encodedPrompt } from '#test/support/request-world.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

const CAPACITY = 8;
const cycle = scheduleCycle(buildProfile(POLICY_PROFILES.precise, pluginHost(CAPACITY)), CAPACITY);
const twoEndpoints = fleetSnapshot([{}, {}]);

/** A decision that has just been made among the endpoints of `fleet`. */
function explained(
  requestId: string,
  changes: { readonly fleet?: FleetSnapshot; readonly usable?: readonly number[] } = {},
): Explained {
  const { fleet = twoEndpoints, usable = [] } = changes;
  const match = usable.length > 0 ? promptMatch(usable) : null;
  const context = schedulingContext(fleet, { requestId, totalBlocks: 10, match });
  const serving = candidatesOf(fleet);
  assert.equal(
    schedule(cycle, context, serving, () => 0),
    'picked',
  );
  return {
    decided: {
      context,
      encoded: encodedPrompt(usable),
      model: { id: 'model-a', pool: 'model-a', adapter: '', serving },
      cycle,
      keptHeaders: { reads: [], identities: true },
      targets: planTargets(cycle, context),
      refusal: null,
    },
    asked: 'model-a',
    at: '2026-01-01T00:00:00.000Z',
    overheadMicros: 12,
  };
}

const FINISHED: FinishedRequest = {
  requestId: 'r1',
  route: 'chat-completions',
  model: 'model-a',
  endpoint: 'a:1',
  status: 200,
  outcome: 'completed',
  errorCode: null,
  stream: true,
  attempts: 1,
  firstByteMs: 1,
  lastByteMs: 2,
  meanInterTokenMs: null,
  promptTokens: 160,
  predictedCachedTokens: 0,
  reportedPromptTokens: 160,
  reportedCachedTokens: 0,
  reportedCompletionTokens: 5,
};

test('results are joined to their decisions', () => {
  const ring = new DecisionRing(2);
  const first = ring.record(explained('r1')).sequence;
  assert.equal(ring.find('r1')?.result, null);
  ring.finish(first, FINISHED);
  assert.equal(ring.find('r1')?.result?.lastByteMs, 2);
  ring.record(explained('r2'));
  ring.record(explained('r3'));
  ring.finish(first, FINISHED);
  assert.equal(ring.find('r3')?.result, null, 'the place of r1 is another decision by now');
});

test('the oldest decision makes room, the newest comes first', () => {
  const ring = new DecisionRing(3);
  for (const id of ['r1', 'r2', 'r3', 'r4']) ring.record(explained(id));
  assert.equal(ring.find('r1'), null);
  const ids = (count: number): readonly string[] =>
    ring.last(count).map((entry) => entry.decision.requestId);
  assert.deepEqual(ids(10), ['r4', 'r3', 'r2']);
  assert.deepEqual(ids(1), ['r4']);
  assert.deepEqual(new DecisionRing(3).last(5), []);
});

test('a reused request id finds its latest decision', () => {
  const ring = new DecisionRing(3);
  ring.record(explained('same', { usable: [4] }));
  ring.record(explained('same', { usable: [7] }));
  assert.equal(ring.find('same')?.decision.candidates[0]?.usableBlocks, 7);
  for (const id of ['r3', 'r4', 'r5']) ring.record(explained(id));
  assert.equal(ring.find('same'), null);
});

test('a reused place shows nothing of the decision before', () => {
  const ring = new DecisionRing(1);
  const sequence = ring.record(explained('r1', { usable: [8, 5] })).sequence;
  ring.finish(sequence, FINISHED);
  assert.deepEqual(
    ring.last(1)[0]?.decision.candidates.map(({ usableBlocks }) => usableBlocks),
    [8, 5],
  );
  const grown = fleetSnapshot([{}, {}, { waiting: 3 }, {}]);
  ring.record(explained('r2', { fleet: grown }));
  const [kept] = ring.last(1);
  assert.equal(kept?.result, null);
  assert.deepEqual(
    kept?.decision.candidates.map(({ usableBlocks, waitingRequests }) => [
      usableBlocks,
      waitingRequests,
    ]),
    [
      [0, 0],
      [0, 0],
      [0, 3],
      [0, 0],
    ],
  );
  assert.deepEqual(
    ring.last(1),
    [{ decision: kept?.decision, result: null }],
    'reading changes nothing',
  );
});
