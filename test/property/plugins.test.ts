// Laws every scorer and filter keeps on any fleet: scores in [0, 1], nobody skipped, the same for a
// fleet listed in another order, and never better for an endpoint that is worse off.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ScorerDefinition } from '#contracts/plugin.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import { boundedLoadFilter } from '#plugins/bounded-load-filter.js';
import { CATALOGUE } from '#plugins/catalogue.js';
import { prefillWaitFilter } from '#plugins/prefill-wait-filter.js';
import { keptBy, leastParameters } from '#test/support/plugins.js';
import type { EndpointSketch } from '#test/support/scheduling.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

interface Sketch extends EndpointSketch {
  readonly waiting: number;
  readonly running: number;
  readonly kvCacheUsage: number;
  readonly inFlight: number;
  readonly inFlightTokens: number;
  readonly usable: number;
  readonly extra: number;
}

const TOTAL_BLOCKS = 100;
const sketch: fc.Arbitrary<Sketch> = fc.record({
  waiting: fc.nat(200),
  running: fc.nat(200),
  kvCacheUsage: fc.double({ min: 0, max: 1, noNaN: true }),
  inFlight: fc.nat(200),
  inFlightTokens: fc.nat(5_000_000),
  maxAdapters: fc.nat(3),
  runningAdapters: fc.subarray(['sql', 'chat', 'code']),
  waitingAdapters: fc.subarray(['sql', 'chat', 'code']),
  labels: fc.record(
    {
      zone: fc.constantFrom('a', 'b'),
      'llm-d.ai/role': fc.constantFrom('decode', 'prefill', 'encode', 'both'),
      'llm-d.ai/context-length-range': fc.constantFrom('0-100', '100-5000', 'x', '0-1000000'),
    },
    { requiredKeys: [] },
  ),
  usable: fc.nat(50),
  extra: fc.nat(50),
  scrapedAtMs: fc.constantFrom(0, 6000, 10_000, Number.NEGATIVE_INFINITY),
  publisher: fc.constantFrom('cold', 'replaying', 'live', 'gapped', 'stale', 'dead'),
});
const fleetOf = fc.array(sketch, { minLength: 1, maxLength: 40 });
const scorers = CATALOGUE.filter((definition) => definition.kind === 'scorer');
const filters = CATALOGUE.filter((definition) => definition.kind === 'filter');
const SEED = 20_261;

function contextOf(sketches: readonly Sketch[]): Partial<SchedulingContext> {
  return {
    nowMs: 10_000,
    adapter: 'sql',
    promptTokens: 160,
    media: ['cat'],
    headers: () => ({ 'x-session-id': 's' }),
    totalBlocks: TOTAL_BLOCKS,
    match: promptMatch(
      sketches.map(({ usable }) => usable),
      sketches.map(({ usable, extra }) => usable + extra),
    ),
  };
}

function scores(definition: ScorerDefinition, sketches: readonly Sketch[]): readonly number[] {
  const fleet = fleetSnapshot(sketches);
  const written = new Float64Array(sketches.length).fill(Number.NaN);
  definition
    .create(definition.parameters.parse(leastParameters(definition)), pluginHost(sketches.length))
    .score(schedulingContext(fleet, contextOf(sketches)), candidatesOf(fleet), written);
  return [...written];
}

for (const definition of scorers) {
  test(`${definition.type}: every candidate gets a score in [0, 1]`, () => {
    fc.assert(
      fc.property(fleetOf, (sketches) => {
        for (const score of scores(definition, sketches)) assert.ok(score >= 0 && score <= 1);
      }),
      { seed: SEED },
    );
  });

  test(`${definition.type}: the order of the fleet does not matter`, () => {
    fc.assert(
      fc.property(fleetOf, (sketches) => {
        const reversed = scores(definition, [...sketches].reverse());
        assert.deepEqual([...reversed].reverse(), scores(definition, sketches));
      }),
      { seed: SEED },
    );
  });

  test(`${definition.type}: worse off is never scored better`, () => {
    fc.assert(
      fc.property(fleetOf, sketch, (sketches, better) => {
        const worse = {
          ...better,
          waiting: better.waiting + 1,
          running: better.running + 1,
          kvCacheUsage: Math.min(1, better.kvCacheUsage + 0.1),
          inFlight: better.inFlight + 1,
          inFlightTokens: better.inFlightTokens + 1,
          runningAdapters: better.runningAdapters?.filter((name) => name !== 'sql') ?? [],
          maxAdapters: 0,
          usable: Math.floor(better.usable / 2),
          extra: 0,
        };
        const [first = 0, second = 0] = scores(definition, [better, worse, ...sketches]);
        assert.ok(first >= second, `${first} < ${second}`);
      }),
      { seed: SEED },
    );
  });
}

for (const definition of filters) {
  test(`${definition.type}: the order of the fleet does not matter`, () => {
    fc.assert(
      fc.property(fleetOf, (sketches) => {
        const last = sketches.length - 1;
        const backwards = [...sketches].reverse();
        const reversed = keptBy(definition, backwards, { context: contextOf(backwards) });
        assert.deepEqual(
          reversed.map((slot) => last - slot).toReversed(),
          keptBy(definition, sketches, { context: contextOf(sketches) }),
        );
      }),
      { seed: SEED },
    );
  });
}

test('bounded-load-filter: somebody is always left, and nobody of them is over the bound', () => {
  const inFlight = fc.array(fc.nat(300), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(inFlight, fc.double({ min: 0.01, max: 4, noNaN: true }), (loads, slack) => {
      const sketches = loads.map((requests) => ({ inFlight: requests }));
      const kept = keptBy(boundedLoadFilter, sketches, { parameters: { slack, freeRequests: 0 } });
      assert.ok(kept.length > 0);
      const mean = loads.reduce((sum, load) => sum + load, 1) / loads.length;
      for (const slot of kept) assert.ok((loads[slot] ?? 0) < (1 + slack) * mean + 1);
      const fewest = loads.indexOf(Math.min(...loads));
      assert.ok(kept.includes(fewest), 'the least loaded one stays');
    }),
    { seed: SEED },
  );
});

test('prefill-wait-filter: somebody is always left, and whoever has nothing to compute', () => {
  const endpoint = fc.record({ inFlightTokens: fc.nat(4000), held: fc.nat(99) });
  fc.assert(
    fc.property(fc.array(endpoint, { minLength: 1, maxLength: 40 }), (endpoints) => {
      const match = promptMatch(endpoints.map(({ held }) => held));
      const context = { promptTokens: 1600, totalBlocks: 100, match };
      const kept = keptBy(prefillWaitFilter, endpoints, { context });
      assert.ok(kept.length > 0);
      for (const [slot, { inFlightTokens }] of endpoints.entries()) {
        if (inFlightTokens === 0) assert.ok(kept.includes(slot));
      }
    }),
    { seed: SEED },
  );
});

test('a burst under bounded-load-filter: nobody gets more than the bound, however it scores', () => {
  const loads = new Array<number>(8).fill(0);
  for (let turn = 0; turn < 1000; turn += 1) {
    const kept = keptBy(
      boundedLoadFilter,
      loads.map((requests) => ({ inFlight: requests })),
    );
    // Scores send everything to the first that is left.
    const slot = kept[0] ?? -1;
    loads[slot] = (loads[slot] ?? 0) + 1;
  }
  const used = loads.filter((load) => load > 0);
  const mean = 1000 / used.length;
  assert.ok(Math.max(...loads) <= 1.5 * mean, `${loads}`);
});

test('there are scorers and filters to test', () => {
  assert.equal(scorers.length, 13);
  assert.equal(filters.length, 11);
});
