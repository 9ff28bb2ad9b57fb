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

/** All that releases of llm-d have or had in `indexerConfig`. */
const INDEXER = {
  tokenProcessorConfig: { blockSize: 64, hashSeed: '42' },
  kvBlockIndexConfig: {
    costAwareMemoryConfig: { size: '2GiB' },
    inMemoryConfig: { size: 100_000_000, podCacheSize: 10 },
    redisConfig: { address: 'redis://127.0.0.1:6379' },
    valkeyConfig: { address: 'valkey://127.0.0.1:6379', backendType: 'valkey', enableRDMA: false },
    enableMetrics: true,
    metricsLoggingInterval: 60_000_000_000,
  },
  kvCacheBackendConfigs: [
    { name: 'gpu', weight: 1 },
    { name: 'cpu', weight: 0.8 },
  ],
  prefixStoreConfig: { cacheSize: 500_000, blockSize: 256 },
  tokenizersPoolConfig: {
    modelName: 'm',
    workersCount: 8,
    minPrefixOverlapRatio: 0.85,
    uds: { socketFile: '/tmp/x' },
    hf: { enabled: true, huggingFaceToken: 'x', tokenizersCacheDir: '/tmp/x' },
    local: {
      autoDiscoveryDir: '/mnt/models',
      autoDiscoveryTokenizerFileName: 'tokenizer.json',
      modelTokenizerMap: { m: '/mnt/models/m/tokenizer.json' },
    },
  },
  speculativeIndexing: true,
};
const ESTIMATE = {
  image: { mode: 'static', static: { staticToken: 256 } },
  video: {
    tokensPerFrame: { mode: 'dynamic', dynamic: { factor: 1024 } },
    frames: { mode: 'sampled', maxFrames: 768, sampled: { sampleFPS: 2, temporalPatchSize: 2 } },
    defaultResolution: { width: 640, height: 360 },
    defaultDuration: 10,
  },
  audio: { mode: 'dynamic', dynamic: { tokensPerSecond: 25 } },
};

test('parameters as llm-d users have them are accepted', () => {
  const accepted: readonly (readonly [kind: 'producer' | 'scorer' | 'picker', string, object])[] = [
    ['producer', 'mm-embeddings-cache-producer', { cacheSizeInMB: 2048 }],
    ['producer', 'approx-prefix-cache-producer', { maxPrefixTokensToMatch: 16384, blockSize: 64 }],
    ['producer', 'token-producer', { modelName: 'm', vllm: { url: 'http://x', timeout: '5s' } }],
    ['producer', 'tokenizer', { udsTokenizerConfig: { socketFile: '/tmp/x' } }],
    ['scorer', 'prefix-cache-scorer', { prefixMatchInfoProducerName: 'precise' }],
    ['scorer', 'precise-prefix-cache-scorer', { indexerConfig: { kvBlockIndexConfig: {} } }],
    ['producer', 'precise-prefix-cache-producer', { indexerConfig: INDEXER }],
    ['producer', 'token-producer', { estimate: ESTIMATE }],
    ['scorer', 'no-hit-lru-scorer', { lruSize: 2048, prefixPluginType: 'prefix-cache-scorer' }],
    ['scorer', 'active-request-scorer', { requestTimeout: '2m' }],
    ['picker', 'max-score-picker', { maxNumOfEndpoints: 5 }],
  ];
  for (const [kind, type, parameters] of accepted) {
    assert.doesNotThrow(() => definitionOf(kind, type)?.parameters.parse(parameters), type);
  }
});
