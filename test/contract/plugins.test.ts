// What every plugin of the catalogue must keep, whatever it does: sane parameters, no exception on
// a fleet about which nothing is known, answers within its kind's contract, and state that does not
// grow with requests.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { PluginDefinition } from '#contracts/plugin.js';
import { PLUGIN_KINDS } from '#contracts/plugin.js';
import type { CandidateSet, PluginHooks, SchedulingContext } from '#contracts/scheduling.js';
import { requestSignals } from '#contracts/scheduling.js';
import { CATALOGUE } from '#plugins/catalogue.js';
import { parameterCases } from '#test/support/plugins.js';
import type { EndpointSketch } from '#test/support/scheduling.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

const SLOTS = 8;
/** Slot 5 is free, and 6 is no candidate. */
const CANDIDATES = [0, 1, 2, 3, 4, 7];
const never = Number.NEGATIVE_INFINITY;

/** Endpoints about which nothing is known, ones in trouble, and ordinary ones. */
const FLEET: readonly (EndpointSketch | null)[] = [
  { scrapedAtMs: never, publisher: 'cold', models: [] },
  { scrapedAtMs: never, publisher: 'dead', labels: { 'llm-d.ai/role': 'nonsense' } },
  { labels: { 'llm-d.ai/context-length-range': 'nonsense', zone: 'b' }, publisher: 'gapped' },
  { waiting: 500, running: 900, kvCacheUsage: 1, inFlight: 5000, inFlightTokens: 1e9 },
  { labels: { 'llm-d.ai/role': 'decode', zone: 'a' }, maxAdapters: 1, runningAdapters: ['sql'] },
  null,
  {},
  { inFlight: 3, outputTokens: 100 },
];

/** Contexts from which everything is missing that can be missing, and a full one. */
const CONTEXTS: readonly (readonly [name: string, Partial<SchedulingContext>])[] = [
  ['nothing known', {}],
  ['an empty match', { match: promptMatch([]), totalBlocks: 10, promptTokens: 160 }],
  ['a match of no blocks', { match: promptMatch([1, 2, 3]), totalBlocks: 0, blockSize: 0 }],
  [
    'everything known',
    {
      match: promptMatch([9, 0, 3, 10, 0, 0, 0, 1], [9, 5, 3, 10, 0, 0, 0, 1]),
      totalBlocks: 10,
      promptTokens: 170,
      adapter: 'sql',
      media: ['cat', 'dog'],
      headers: () => ({ 'x-session-id': 's', 'x-session-token': 'AAAA', cookie: 'a=b' }),
      signals: { sessionId: 's', agentIdentity: 'a', outputTokens: 3 },
    },
  ],
];

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** One request through the plugin as the cycle would drive it, hooks included. */
type Drive = (context: SchedulingContext, candidates: CandidateSet) => void;

function drive(definition: PluginDefinition, written: unknown): Drive {
  const parameters = definition.parameters.parse(written);
  const host = pluginHost(SLOTS);
  switch (definition.kind) {
    case 'filter': {
      const plugin = definition.create(parameters, host);
      return (context, candidates) => {
        const before = slotsOf(candidates);
        plugin.filter(context, candidates);
        const after = slotsOf(candidates);
        assert.ok(
          after.every((slot) => before.includes(slot)),
          'a filter only removes',
        );
        hooks(plugin, context, before);
      };
    }
    case 'scorer': {
      const plugin = definition.create(parameters, host);
      const scores = new Float64Array(SLOTS);
      return (context, candidates) => {
        scores.fill(-1);
        plugin.score(context, candidates, scores);
        for (const [slot, score] of scores.entries()) {
          if (candidates.has(slot)) assert.ok(score >= 0 && score <= 1, `${score} for ${slot}`);
          else assert.equal(score, -1, `a score for ${slot}, which is no candidate`);
        }
        hooks(plugin, context, slotsOf(candidates));
      };
    }
    case 'picker': {
      const plugin = definition.create(parameters, host);
      const totals = Float64Array.from([1, 0, 2, 0, 0, 9, 9, 1]);
      return (context, candidates) => {
        const picked = new Uint32Array(3).fill(7);
        const count = plugin.pick(context, candidates, totals, picked);
        const named = [...picked.subarray(0, count)];
        assert.equal(count, Math.min(3, candidates.count()));
        assert.ok(plugin.endpointsMax === undefined || plugin.endpointsMax >= count);
        assert.equal(new Set(named).size, count, 'nobody twice');
        assert.ok(
          named.every((slot) => candidates.has(slot)),
          'candidates only',
        );
        hooks(plugin, context, named);
      };
    }
    case 'producer': {
      const plugin = definition.create(parameters, host);
      return (context, candidates) => {
        plugin.produce?.(context);
        const { sessionId, agentIdentity, outputTokens } = context.signals;
        assert.deepEqual(
          [typeof sessionId, typeof agentIdentity, outputTokens >= 0],
          ['string', 'string', true],
        );
        hooks(plugin, context, slotsOf(candidates));
      };
    }
    case 'profile-handler': {
      const plugin = definition.create(parameters, host);
      const several = definition.fault(parameters, ['decode', 'prefill']) === null;
      return (context) => {
        if (several) assert.equal(typeof plugin.choose(context), 'string');
      };
    }
  }
}

function hooks(plugin: PluginHooks, context: SchedulingContext, slots: readonly number[]): void {
  for (const slot of slots.slice(0, 1)) {
    plugin.picked?.(context, slot)?.(slots.at(-1) ?? slot);
    for (const [name, value] of plugin.responseHeaders?.(context, slot) ?? []) {
      assert.match(name, /^[a-z0-9-]+$/);
      assert.match(value, /^[\x21-\x7e]+$/);
    }
  }
}

function slotsOf(candidates: CandidateSet): readonly number[] {
  return [...Array(SLOTS).keys()].filter((slot) => candidates.has(slot));
}

const CASES = CATALOGUE.flatMap((definition) =>
  parameterCases(definition).map((written) => ({ definition, written: written as object })),
);

for (const { definition, written } of CASES) {
  const name = `${definition.kind} ${definition.type} ${JSON.stringify(written)}`;

  test(`${name}: knows its parameters and refuses others`, () => {
    assert.doesNotThrow(() => definition.parameters.parse(written));
    assert.throws(() => definition.parameters.parse({ ...written, noSuchParameter: 1 }));
    assert.throws(() => definition.parameters.parse([]));
    assert.match(definition.summary, /\.$/);
  });

  for (const [what, changes] of CONTEXTS) {
    test(`${name}: keeps its contract with ${what}`, () => {
      const fleet = fleetSnapshot(FLEET);
      const run = drive(definition, written);
      for (const slots of [CANDIDATES, [3], [0, 1], []]) {
        const context = schedulingContext(fleet, { signals: requestSignals(), ...changes });
        run(context, candidatesOf(fleet, slots));
      }
    });
  }

  test(`${name}: its state does not grow with requests`, () => {
    const requests = endless(definition, written);
    // More sessions than are remembered, and far more media: what can fill up has done so by then,
    // and a map of 100,000 has made its table as large as deleting and adding ever makes it.
    const full = requests(150_000);
    const grown = requests(50_000) - full;
    // 50,000 leaked ids alone would be more than this.
    assert.ok(grown < 2_000_000, `${grown} bytes in 50,000 requests`);
  });
}

/** Sends that many more requests, no two alike, through one plugin; returns the heap's bytes. */
function endless(definition: PluginDefinition, written: unknown): (count: number) => number {
  const fleet = fleetSnapshot(FLEET);
  const candidates = candidatesOf(fleet, []);
  const slots = [0, 4, 7].map((slot) => candidatesOf(fleet, [slot, 2]));
  const request = quietly(definition, written);
  let turn = 0;
  const context: SchedulingContext = {
    ...schedulingContext(fleet),
    get requestId() {
      return `request-${turn}`;
    },
    get nowMs() {
      return turn;
    },
    get media() {
      return [`image-${turn}`];
    },
    headers: () => ({ 'x-session-id': `session-${turn}`, 'x-session-token': `token-${turn}` }),
  };
  return (count) => {
    for (const end = turn + count; turn < end; turn += 1) {
      candidates.copyFrom(slots[turn % slots.length] ?? candidates);
      request(context, candidates);
    }
    collect();
    return process.memoryUsage().heapUsed;
  };
}

/** The same as `drive`, without looking at what the plugin does. */
function quietly(definition: PluginDefinition, written: unknown): Drive {
  const parameters = definition.parameters.parse(written);
  const host = pluginHost(SLOTS);
  const scratch = new Float64Array(SLOTS);
  const picked = new Uint32Array(3);
  switch (definition.kind) {
    case 'filter': {
      const plugin = definition.create(parameters, host);
      return withHooks(plugin, (context, candidates) => plugin.filter(context, candidates));
    }
    case 'scorer': {
      const plugin = definition.create(parameters, host);
      return withHooks(plugin, (context, candidates) => plugin.score(context, candidates, scratch));
    }
    case 'picker': {
      const plugin = definition.create(parameters, host);
      return withHooks(plugin, (context, candidates) => {
        plugin.pick(context, candidates, scratch, picked);
      });
    }
    case 'producer': {
      const plugin = definition.create(parameters, host);
      return withHooks(plugin, (context) => plugin.produce?.(context));
    }
    case 'profile-handler': {
      const plugin = definition.create(parameters, host);
      const several = definition.fault(parameters, ['decode', 'prefill']) === null;
      return (context) => {
        if (several) plugin.choose(context);
      };
    }
  }
}

function withHooks(plugin: PluginHooks, step: Drive): Drive {
  return (context, candidates) => {
    step(context, candidates);
    const slot = candidates.next(0);
    if (slot < 0) return;
    plugin.picked?.(context, slot)?.(4);
    plugin.responseHeaders?.(context, slot);
  };
}

test('there are plugins of every kind', () => {
  for (const kind of PLUGIN_KINDS)
    assert.ok(
      CATALOGUE.some((known) => known.kind === kind),
      kind,
    );
});
