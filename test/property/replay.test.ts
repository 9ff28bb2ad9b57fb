// A kept decision has everything a policy looked at: from its JSON the same policy chooses the same
// with the same totals, and another policy chooses what it would have chosen live.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildPolicy } from '#config/build-policy.js';
import type { PolicySettings } from '#config/configuration.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import type { Decision } from '#contracts/decision.js';
import type { Fleet, FleetSnapshot } from '#contracts/endpoint.js';
import { RouterError } from '#contracts/errors.js';
import { CATALOGUE } from '#plugins/catalogue.js';
import { Decider } from '#request/decide.js';
import { DecisionRing } from '#request/decision-ring.js';
import { exclusionName } from '#request/filter.js';
import { notePicked } from '#request/hooks.js';
import type { PolicyCycle } from '#request/policy-cycle.js';
import { clearSignals, policyCycle, scheduleByPolicy } from '#request/policy-cycle.js';
import { contextOf } from '#request/replay.js';
import { leastParameters } from '#test/support/plugins.js';
import { encodedPrompt, noObjectives, tells } from '#test/support/request-world.js';
import type { EndpointSketch } from '#test/support/scheduling.js';
import { fleetSnapshot, pluginHost, promptMatch, servedModel } from '#test/support/scheduling.js';
import { VirtualClock } from '#test/support/time.js';

const SEED = 20_262;
const NOW_MS = 10_000;

const plugin = (type: string, parameters: unknown = {}) => ({
  type,
  parameters: parameters as Record<string, unknown>,
});
const ofKind = (kind: string) =>
  CATALOGUE.filter((known) => known.kind === kind && !known.type.startsWith('header-')).map(
    (known) => plugin(known.type, leastParameters(known)),
  );
/** Filters that leave somebody in most fleets. */
const GENTLE = ofKind('filter').filter(({ type }) =>
  /affinity|bounded|context|by-label/.test(type),
);
const PRODUCERS = [
  ...ofKind('producer').filter(({ type }) => /agent|token|media|mm-/.test(type)),
  plugin('session-id-producer', { cookieName: 'sid' }),
  plugin('inflight-load-producer', { addEstimatedOutputTokens: true }),
];

/** All of them read the same headers, so that each can be asked about what another has decided. */
function policyOf(
  weight: (at: number) => number,
  filters: PolicySettings['profiles'][number]['filters'],
  picker: string,
): PolicySettings {
  const scorers = ofKind('scorer').map((scorer, at) => ({ ...scorer, weight: weight(at) }));
  const session = plugin('session-affinity-scorer', {
    strategy: 'session_id',
    sessionIdConfig: { sources: [{ attribute: 'session-id' }, { header: 'x-session-id' }] },
  });
  return {
    profiles: [
      {
        name: 'decode',
        filters,
        scorers: [...scorers, { ...session, weight: 1 }],
        picker: plugin(picker),
      },
      {
        name: 'other',
        filters: [plugin('session-affinity-filter')],
        scorers: scorers.slice(0, 3),
        picker: plugin(picker),
      },
    ],
    profileHandler: plugin('header-profile-handler'),
    producers: PRODUCERS,
  };
}

const POLICIES: readonly PolicySettings[] = [
  policyOf(() => 1, [], 'max-score-picker'),
  policyOf((at) => at % 4, GENTLE, 'weighted-random-picker'),
  policyOf((at) => 7 - (at % 7), GENTLE.slice(0, 2), 'max-score-picker'),
];

const ZONE_A = { label: 'zone', validValues: ['a'], allowsNoLabel: true };

const sketch: fc.Arbitrary<EndpointSketch> = fc.record({
  models: fc.constantFrom(
    [servedModel('model-a')],
    [servedModel('model-a'), servedModel('sql', 'model-a')],
    [servedModel('model-b')],
  ),
  waiting: fc.nat(20),
  running: fc.nat(20),
  kvCacheUsage: fc.double({ min: 0, max: 1, noNaN: true }),
  inFlight: fc.nat(30),
  inFlightTokens: fc.nat(5_000_000),
  outputTokens: fc.nat(100_000),
  maxAdapters: fc.nat(3),
  runningAdapters: fc.subarray(['sql', 'chat', 'code']),
  waitingAdapters: fc.subarray(['sql', 'chat', 'code']),
  labels: fc.record(
    {
      zone: fc.constantFrom('a', 'b'),
      'llm-d.ai/context-length-range': fc.constantFrom('0-100', '100-5000', '0-1000000'),
    },
    { requiredKeys: [] },
  ),
  scrapedAtMs: fc.constantFrom(0, 6000.25, NOW_MS, Number.NEGATIVE_INFINITY),
  healthy: fc.constantFrom(true, true, true, false),
  draining: fc.constantFrom(false, false, false, true),
  publisher: fc.constantFrom('cold', 'replaying', 'live', 'gapped', 'stale', 'dead'),
});
const headers = fc.record(
  {
    authorization: fc.constant('Bearer secret'),
    cookie: fc.constantFrom('sid=one', 'other=secret; sid=two', 'other=secret'),
    'x-session-id': fc.constantFrom('one', 'two'),
    'x-session-token': fc.constantFrom(...[0, 1, 9].map(tokenOf)),
    'x-claude-code-session-id': fc.constant('agent'),
    'epp-profile': fc.constantFrom('decode', 'other'),
  },
  { requiredKeys: ['authorization'] },
);

function tokenOf(slot: number): string {
  return Buffer.from(`10.0.0.${slot}:8000`).toString('base64');
}

/** One request on one state of the fleet. */
interface Moment {
  readonly sketches: readonly (EndpointSketch | null)[];
  readonly headers: Readonly<Record<string, string>>;
  readonly model: string;
  readonly usable: readonly number[];
  readonly matched: boolean;
}

const moments: fc.Arbitrary<Moment> = fc.record({
  sketches: fc.array(fc.option(sketch, { freq: 5 }), { minLength: 1, maxLength: 12 }),
  headers,
  model: fc.constantFrom('model-a', 'model-a', 'sql'),
  usable: fc.array(fc.nat(10), { minLength: 12, maxLength: 12 }),
  matched: fc.constantFrom(true, true, false),
});

/** What a policy decides live, as the router records it; null when it is refused before. */
function decideLive(settings: PolicySettings, moment: Moment): Decision | null {
  const snapshot = fleetSnapshot(moment.sketches);
  return decideBy(
    deciderOf(settings, () => snapshot),
    moment,
  );
}

function deciderOf(settings: PolicySettings, snapshot: () => FleetSnapshot): Decider {
  const capacity = snapshot().bySlot.length;
  return new Decider({
    readsSubset: false,
    policy: buildPolicy(settings, pluginHost(capacity)),
    priorities: noObjectives,
    endpointCapacity: capacity,
    fleet: standing(snapshot),
    clock: new VirtualClock(),
  });
}

/** Decides, tells the policy's plugins of the pick, and gives the record. */
function decideBy(decider: Decider, moment: Omit<Moment, 'sketches'>): Decision | null {
  const encoded = encodedPrompt([], {
    model: moment.model,
    match: promptMatch(
      moment.usable,
      moment.usable.map((blocks) => blocks + 1),
    ),
    noMatchReason: moment.matched ? null : 'tokenizer-unproven',
  });
  const head = {
    requestId: 'request-1',
    headers: moment.headers,
    telling: tells(moment.headers),
  };
  const decided = decider.decide(head, encoded, decider.resolve(encoded.model), NOW_MS);
  if (decided instanceof RouterError) return null;
  assert.equal(decided.cycle.failure, null);
  const ring = new DecisionRing(1);
  ring.record({
    decided,
    asked: decided.model.id,
    at: '2026-01-01T00:00:00.000Z',
    overheadMicros: 1,
  });
  const [first] = decided.targets;
  if (first !== undefined) notePicked(decided.cycle.hooks, decided.context, first.slot, unfailing);
  const text = JSON.stringify(ring.find('request-1')?.decision);
  assert.doesNotMatch(text, /secret/);
  return JSON.parse(text) as Decision;
}

const unfailing = (): void => assert.fail('no hook fails');

function standing(snapshot: () => FleetSnapshot): Fleet {
  return {
    snapshot,
    acquire: () => assert.fail('nothing is sent'),
    report: () => assert.fail('nothing is sent'),
  };
}

/** What counts of a choice. */
interface Choice {
  readonly picked: readonly string[];
  /** Total of a candidate, reason of the others. */
  readonly endpoints: Readonly<Record<string, number | string>>;
}

function choiceOf({ chosen, fallbacks, candidates }: Decision): Choice {
  return {
    picked: chosen === null ? [] : [chosen, ...fallbacks],
    endpoints: Object.fromEntries(
      candidates.map(({ endpoint, excludedBy, total }) => [endpoint, excludedBy ?? total]),
    ),
  };
}

/** What a policy decides from a record. */
function decideAgain(settings: PolicySettings, decision: Decision): Choice {
  return decideFrom(replayer(settings, contextOf(decision).context.fleet.bySlot.length), decision);
}

function replayer(settings: PolicySettings, capacity: number): PolicyCycle {
  return policyCycle(buildPolicy(settings, pluginHost(capacity)), capacity);
}

function decideFrom(policy: PolicyCycle, decision: Decision): Choice {
  const { context, serving } = contextOf(decision);
  const { bySlot } = context.fleet;
  // A policy that lives for several decisions makes its signals of each anew.
  const signals = clearSignals(policy);
  scheduleByPolicy(policy, { ...context, signals }, serving, () => 0);
  const { current } = policy;
  assert.equal(current.failure, null);
  if (current.pickedCount > 0) {
    notePicked(current.hooks, { ...context, signals }, current.picked[0] ?? -1, unfailing);
  }
  const states = bySlot.filter((state) => state !== null);
  return {
    picked: [...current.picked.subarray(0, current.pickedCount)].map(
      (slot) => bySlot[slot]?.endpoint.name ?? '',
    ),
    endpoints: Object.fromEntries(
      states.map(({ endpoint: { name, slot } }) => {
        const excludedBy = exclusionName(current.excludedBy[slot] ?? 0, current.profile);
        return [name, excludedBy ?? current.board.totals[slot] ?? 0];
      }),
    ),
  };
}

test('from its record the same policy decides the same, and others what they would have', () => {
  let compared = 0;
  let picked = 0;
  const property = fc.property(moments, (moment) => {
    for (const recorded of POLICIES) {
      const decision = decideLive(recorded, moment);
      if (decision === null) continue;
      assert.deepEqual(decideAgain(recorded, decision), choiceOf(decision));
      for (const other of POLICIES) {
        const live = decideLive(other, moment);
        assert.ok(live !== null);
        assert.deepEqual(decideAgain(other, decision), choiceOf(live));
        compared += 1;
        if (live.chosen !== null) picked += 1;
      }
    }
  });
  fc.assert(property, { seed: SEED, numRuns: 150 });
  assert.ok(compared > 500 && picked > 300, `${compared} compared, ${picked} picked`);
});

const bySession = (...sources: readonly object[]) => ({
  strategy: 'session_id',
  sessionIdConfig: { sources },
});
const single = (profile: Partial<PolicySettings['profiles'][number]>): PolicySettings =>
  singleProfilePolicy({ ...POLICY_PROFILES['load-aware'], ...profile });
/** No two of them read the same headers, and the first reads none. */
const STRANGERS: readonly PolicySettings[] = [
  single({}),
  single({ filters: [plugin('session-affinity-filter')] }),
  single({ filters: [plugin('session-affinity-filter', bySession({ header: 'x-session-id' }))] }),
  {
    ...single({
      filters: [plugin('session-affinity-filter', bySession({ attribute: 'agent-identity' }))],
    }),
    producers: [plugin('agent-identity')],
  },
  {
    profiles: [
      { ...POLICY_PROFILES['load-aware'], name: 'decode' },
      { ...POLICY_PROFILES['load-aware'], name: 'other', filters: [plugin('by-label', ZONE_A)] },
    ],
    profileHandler: plugin('header-profile-handler'),
    producers: [],
  },
];

/** A few requests of the same sessions on one fleet, whose load moves from one to the next. */
const histories = fc.record({
  sketches: fc.array(sketch, { minLength: 2, maxLength: 6 }),
  requests: fc.array(fc.record({ headers, waiting: fc.array(fc.nat(20), { minLength: 6 }) }), {
    minLength: 4,
    maxLength: 10,
  }),
});

test('sessions, agents and profiles are in every record, whatever headers its policy reads', () => {
  let moved = 0;
  const property = fc.property(histories, ({ sketches, requests }) => {
    const moments = requests.map(({ headers: sent, waiting }) => ({
      headers: sent,
      model: 'model-a',
      usable: [],
      matched: false,
      fleet: fleetSnapshot(
        sketches.map((one, slot) => ({ ...one, waiting: waiting[slot] ?? 0, scrapedAtMs: NOW_MS })),
      ),
    }));
    const livesOf = STRANGERS.map((settings) => decideAll(settings, moments));
    for (const recorded of livesOf) {
      for (const [at, other] of STRANGERS.entries()) {
        const policy = replayer(other, sketches.length);
        for (const [turn, decision] of recorded.entries()) {
          const live = livesOf[at]?.[turn];
          assert.ok(live !== undefined);
          assert.deepEqual(decideFrom(policy, decision), choiceOf(live));
          if (live.chosen !== decision.chosen) moved += 1;
        }
      }
    }
  });
  fc.assert(property, { seed: SEED, numRuns: 60 });
  assert.ok(moved > 300, `${moved} decisions in which the other policy chose otherwise`);
});

/** Decides them one after the other; moments that nobody serves are left out by all policies alike. */
function decideAll(
  settings: PolicySettings,
  moments: readonly (Omit<Moment, 'sketches'> & { readonly fleet: FleetSnapshot })[],
): readonly Decision[] {
  const [first] = moments;
  assert.ok(first !== undefined);
  let snapshot = first.fleet;
  const decider = deciderOf(settings, () => snapshot);
  return moments.flatMap((moment) => {
    snapshot = moment.fleet;
    return decideBy(decider, moment) ?? [];
  });
}
