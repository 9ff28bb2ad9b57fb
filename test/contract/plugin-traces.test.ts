// What every plugin of the catalogue must keep so that requests can be explained without being sent:
// only `picked` changes what later decisions see, and every header it looks at is declared.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PluginDefinition } from '#contracts/plugin.js';
import type { CandidateSet, PluginHooks, SchedulingContext } from '#contracts/scheduling.js';
import { requestSignals } from '#contracts/scheduling.js';
import { CATALOGUE } from '#plugins/catalogue.js';
import { parameterCases } from '#test/support/plugins.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';

const SLOTS = 4;
const TURNS = 40;
const fleet = fleetSnapshot([{}, { waiting: 3, kvCacheUsage: 0.4 }, { inFlight: 2 }, {}]);

interface Stepped {
  readonly hooks: PluginHooks;
  /** The plugin's own step: what it answers, and the slot a decision would go to. */
  step(context: SchedulingContext, candidates: CandidateSet): readonly [unknown, number];
}

function create(definition: PluginDefinition, written: unknown): Stepped {
  const parameters = definition.parameters.parse(written);
  // Drawing is no trace; a constant keeps it out of the comparison.
  const host = pluginHost(SLOTS, { next: () => 0.5 });
  switch (definition.kind) {
    case 'filter': {
      const plugin = definition.create(parameters, host);
      return {
        hooks: plugin,
        step: (context, candidates) => {
          plugin.filter(context, candidates);
          return [slotsOf(candidates), candidates.next(0)];
        },
      };
    }
    case 'scorer': {
      const plugin = definition.create(parameters, host);
      return {
        hooks: plugin,
        step: (context, candidates) => {
          const scores = new Float64Array(SLOTS);
          plugin.score(context, candidates, scores);
          return [[...scores], scores.indexOf(Math.max(...scores))];
        },
      };
    }
    case 'picker': {
      const plugin = definition.create(parameters, host);
      return {
        hooks: plugin,
        step: (context, candidates) => {
          const picked = new Uint32Array(3);
          const count = plugin.pick(context, candidates, new Float64Array(SLOTS), picked);
          return [[...picked.subarray(0, count)], picked[0] ?? 0];
        },
      };
    }
    case 'producer': {
      const plugin = definition.create(parameters, host);
      return {
        hooks: plugin,
        step: (context) => {
          plugin.produce?.(context);
          return [{ ...context.signals }, 0];
        },
      };
    }
    case 'profile-handler': {
      const plugin = definition.create(parameters, host);
      const several = definition.fault(parameters, ['decode', 'prefill']) === null;
      const hooks = plugin.reads === undefined ? {} : { reads: plugin.reads };
      return { hooks, step: (context) => [several ? plugin.choose(context) : null, 0] };
    }
  }
}

function slotsOf(candidates: CandidateSet): readonly number[] {
  return [...Array(SLOTS).keys()].filter((slot) => candidates.has(slot));
}

/** Request number `turn`: cold and warm ones, of a few sessions, with and without media. */
function contextOf(turn: number, session = `session-${turn % 3}`): SchedulingContext {
  const cold = turn % 2 === 0;
  return schedulingContext(fleet, {
    requestId: `request-${session}-${turn}`,
    nowMs: turn,
    promptTokens: 160,
    totalBlocks: 10,
    match: cold ? promptMatch([]) : promptMatch([1, 0, 7, 2]),
    media: turn % 4 === 0 ? [`image-${turn % 3}`] : [],
    headers: () => ({
      'x-session-id': session,
      'x-session-token': Buffer.from(`10.0.0.${turn % 5}:8000`).toString('base64'),
      cookie: `sid=${session}`,
    }),
    signals: { sessionId: session, agentIdentity: session, outputTokens: 0 },
  });
}

/** What the plugin answers to requests that are sent, with others between that are explained only. */
function answers(definition: PluginDefinition, written: unknown, explained: number): unknown[] {
  const { hooks, step } = create(definition, written);
  const seen: unknown[] = [];
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (let other = 0; other < explained; other += 1) {
      step(contextOf(turn + other + 1, 'explained'), candidatesOf(fleet));
      step(contextOf(turn + other), candidatesOf(fleet, [1, 3]));
    }
    const context = contextOf(turn);
    const [answer, slot] = step(context, candidatesOf(fleet));
    seen.push(answer);
    if (slot >= 0) hooks.picked?.(context, slot);
  }
  return seen;
}

for (const definition of CATALOGUE) {
  for (const written of parameterCases(definition)) {
    const name = `${definition.kind} ${definition.type} ${JSON.stringify(written)}`;

    test(`${name}: explaining leaves no trace`, () => {
      const alone = answers(definition, written, 0);
      assert.deepEqual(answers(definition, written, 3), alone);
    });

    test(`${name}: declares the headers it reads`, () => {
      const { hooks, step } = create(definition, written);
      const declared = (hooks.reads ?? []).map(({ header }) => header);
      const looked = new Set<string>();
      const headers = new Proxy<Record<string, string>>(
        {},
        {
          get: (_target, header) => {
            looked.add(String(header));
            return undefined;
          },
        },
      );
      const context = schedulingContext(fleet, {
        headers: () => headers,
        signals: requestSignals(),
      });
      step(context, candidatesOf(fleet));
      hooks.picked?.(context, 0);
      hooks.responseHeaders?.(context, 0);
      for (const header of looked) assert.ok(declared.includes(header), `${header} is undeclared`);
      for (const header of declared) {
        assert.equal(header, header.toLowerCase());
        assert.ok(looked.has(header), `${header} is declared and never read`);
      }
    });
  }
}

test('a plugin with state shows it, so the comparison means something', () => {
  const stateful = CATALOGUE.filter((definition) =>
    ['round-robin-picker', 'no-hit-lru-scorer'].includes(definition.type),
  );
  assert.equal(stateful.length, 2);
  for (const definition of stateful) {
    const [first, ...more] = answers(definition, {}, 0).filter((_, turn) => turn % 2 === 0);
    assert.ok(
      more.some((answer) => JSON.stringify(answer) !== JSON.stringify(first)),
      definition.type,
    );
  }
});
