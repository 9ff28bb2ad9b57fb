// Laws every scorer keeps on any fleet: scores in [0, 1], nobody skipped, the same for a fleet
// listed in another order, and never better for an endpoint that is worse off.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ScorerDefinition } from '#contracts/plugin.js';
import { CATALOGUE } from '#plugins/catalogue.js';
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
  readonly usable: number;
  readonly extra: number;
}

const TOTAL_BLOCKS = 100;
const sketch: fc.Arbitrary<Sketch> = fc.record({
  waiting: fc.nat(200),
  running: fc.nat(200),
  kvCacheUsage: fc.double({ min: 0, max: 1, noNaN: true }),
  usable: fc.nat(50),
  extra: fc.nat(50),
  scrapedAtMs: fc.constantFrom(0, 6000, 10_000, Number.NEGATIVE_INFINITY),
  publisher: fc.constantFrom('cold', 'replaying', 'live', 'gapped', 'stale', 'dead'),
});
const fleetOf = fc.array(sketch, { minLength: 1, maxLength: 40 });
const scorers = CATALOGUE.filter((definition) => definition.kind === 'scorer');
const SEED = 20_261;

function scores(definition: ScorerDefinition, sketches: readonly Sketch[]): readonly number[] {
  const fleet = fleetSnapshot(sketches);
  const context = schedulingContext(fleet, {
    nowMs: 10_000,
    totalBlocks: TOTAL_BLOCKS,
    match: promptMatch(
      sketches.map(({ usable }) => usable),
      sketches.map(({ usable, extra }) => usable + extra),
    ),
  });
  const written = new Float64Array(sketches.length).fill(Number.NaN);
  definition
    .create(definition.parameters.parse({}), pluginHost(sketches.length))
    .score(context, candidatesOf(fleet), written);
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

test('there are scorers to test', () => assert.equal(scorers.length, 5));
