// The lists of plugins as the configuration reader uses them: names, older names, parameters
// without effect, and what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { CATALOGUE, definitionOf, definitionsOf, ignoredAmong } from '#plugins/catalogue.js';
import { REFUSED_PLUGINS } from '#plugins/refused.js';

test('a name means one plugin of a kind, and is either supported or refused', () => {
  const seen = new Set<string>();
  for (const { kind, type, aliases } of CATALOGUE) {
    for (const name of [type, ...aliases]) {
      assert.ok(!seen.has(`${kind} ${name}`), `${kind} ${name} is there twice`);
      assert.ok(!REFUSED_PLUGINS.has(name), `${name} is refused too`);
      seen.add(`${kind} ${name}`);
    }
  }
  // Every routing plugin of llm-d is in one of the two lists, and nothing is lost by accident.
  assert.ok(seen.size >= 37, `${seen.size} names`);
  assert.ok(REFUSED_PLUGINS.size >= 45, `${REFUSED_PLUGINS.size} refused`);
});

test('reasons are whole sentences that go on after `type` is not supported', () => {
  for (const [type, why] of REFUSED_PLUGINS) assert.match(why, /^[a-z].*\.$/, type);
  for (const { type, ignored } of CATALOGUE) {
    for (const { why } of ignored) assert.match(why, /^[A-Z].*\.$/, type);
  }
});

test('older names find the plugin; a type can be there once per kind', () => {
  assert.equal(definitionOf('filter', 'by-label-selector')?.type, 'label-selector-filter');
  assert.equal(definitionOf('producer', 'tokenizer')?.type, 'token-producer');
  assert.equal(definitionOf('filter', 'queue-scorer'), null);
  assert.deepEqual(
    definitionsOf('context-length-aware').map(({ kind }) => kind),
    ['filter', 'scorer'],
  );
  assert.deepEqual(definitionsOf('latency-scorer'), []);
});

test('every parameter without effect is one the plugin accepts', () => {
  for (const { type, parameters, ignored } of CATALOGUE) {
    assert.ok(parameters instanceof z.ZodType, type);
    const schema = z.toJSONSchema(parameters, { io: 'input' });
    for (const path of ignored.flatMap(({ paths }) => paths)) {
      let level: z.core.JSONSchema.BaseSchema | undefined = schema;
      for (const name of path.split('.')) {
        const next: z.core.JSONSchema._JSONSchema | undefined = level?.properties?.[name];
        level = typeof next === 'object' ? next : undefined;
      }
      assert.ok(level !== undefined, `${type} does not know ${path}`);
    }
  }
});

test('of the parameters without effect, only what was written is named', () => {
  const producer = definitionOf('producer', 'precise-prefix-cache-producer');
  assert.ok(producer !== null);
  const written = {
    tokenProcessorConfig: { blockSize: 64 },
    kvEventsConfig: { zmqEndpoint: 'tcp://*:5557', concurrency: 4 },
  };
  assert.doesNotThrow(() => producer.parameters.parse(written));
  const paths = ignoredAmong(producer, written).map((entry) => entry.paths);
  assert.deepEqual(paths, [['tokenProcessorConfig'], ['kvEventsConfig.concurrency']]);
  assert.deepEqual(ignoredAmong(producer, {}), []);
  const scorer = definitionOf('scorer', 'queue-scorer');
  assert.ok(scorer !== null);
  assert.deepEqual(ignoredAmong(scorer, { prefixMatchInfoProducerName: 'x' }), []);
});

test('parameters as llm-d users have them are accepted', () => {
  const accepted: readonly (readonly [kind: 'producer' | 'scorer' | 'picker', string, object])[] = [
    ['producer', 'mm-embeddings-cache-producer', { cacheSizeInMB: 2048 }],
    ['producer', 'approx-prefix-cache-producer', { maxPrefixTokensToMatch: 16384, blockSize: 64 }],
    ['producer', 'token-producer', { modelName: 'm', vllm: { url: 'http://x', timeout: '5s' } }],
    ['producer', 'tokenizer', { udsTokenizerConfig: { socketFile: '/tmp/x' } }],
    ['scorer', 'prefix-cache-scorer', { prefixMatchInfoProducerName: 'precise' }],
    ['scorer', 'precise-prefix-cache-scorer', { indexerConfig: { kvBlockIndexConfig: {} } }],
    ['scorer', 'no-hit-lru-scorer', { lruSize: 2048, prefixPluginType: 'prefix-cache-scorer' }],
    ['scorer', 'active-request-scorer', { requestTimeout: '2m' }],
    ['picker', 'max-score-picker', { maxNumOfEndpoints: 5 }],
  ];
  for (const [kind, type, parameters] of accepted) {
    assert.doesNotThrow(() => definitionOf(kind, type)?.parameters.parse(parameters), type);
  }
});
