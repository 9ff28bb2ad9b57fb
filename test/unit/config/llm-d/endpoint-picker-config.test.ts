// Reading an EndpointPickerConfig: what each part of it becomes, and for every kind of mistake the
// file, line, column and words that a person reads.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Configuration, PolicySettings } from '#config/configuration.js';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());
const NO_ENDPOINTS =
  'epp.yaml: names no endpoints, because llm-d finds them in Kubernetes; give them with --endpoint, as `endpoints` in warmpath.yaml, or in a file that `file-discovery` names';
const FLAGS = { endpoints: ['http://10.0.0.1:8000'] };

function load(...lines: readonly string[]): Configuration {
  files.write('epp.yaml', endpointPickerConfig(...lines));
  return files.load(['epp.yaml'], FLAGS).configuration;
}

function warnings(...lines: readonly string[]): readonly string[] {
  files.write('epp.yaml', endpointPickerConfig(...lines));
  return files.load(['epp.yaml'], FLAGS).warnings;
}

/** Names, filters, scorers with weights and picker of every profile. */
function shown({ profiles }: PolicySettings): readonly (readonly unknown[])[] {
  return profiles.map(({ name, filters, scorers, picker }) => [
    name,
    filters.map(({ type }) => type),
    scorers.map(({ type, weight }) => `${type} ${weight}`),
    picker.type,
  ]);
}

test('with nothing in it, it is what llm-d does without a configuration', () => {
  const { policy } = load();
  assert.deepEqual(shown(policy), [
    [
      'default',
      [],
      ['prefix-cache-scorer 3', 'kv-cache-utilization-scorer 2', 'queue-scorer 2'],
      'max-score-picker',
    ],
  ]);
  assert.deepEqual(warnings(), []);
  files.write('epp.yaml', endpointPickerConfig());
  assert.deepEqual(files.load(['epp.yaml']).warnings, [NO_ENDPOINTS]);
});

test('older API groups are the same', () => {
  for (const group of ['inference.networking.x-k8s.io', 'inference.networking.k8s.io']) {
    files.write('epp.yaml', `kind: EndpointPickerConfig\napiVersion: ${group}/v1alpha1\n`);
    assert.equal(files.load(['epp.yaml']).configuration.policy.profiles[0]?.name, 'default');
  }
});

test('a profile has its plugins by name, in order, with weights and parameters', () => {
  const { policy } = load(
    'plugins:',
    '- {name: zone, type: by-label-selector, parameters: {matchLabels: {zone: a}}}',
    '- type: decode-filter',
    '- {name: short, type: queue-scorer}',
    '- {name: full, type: load-aware-scorer, parameters: {threshold: 32}}',
    '- {type: weighted-random-picker, parameters: {maxNumOfEndpoints: 1}}',
    'schedulingProfiles:',
    '- plugins:',
    '  - pluginRef: weighted-random-picker',
    '  - pluginRef: full',
    '    weight: 0.5',
    '  - pluginRef: zone',
    '  - pluginRef: decode-filter',
    '  - pluginRef: short',
  );
  assert.deepEqual(policy, {
    profiles: [
      {
        name: 'default',
        filters: [
          { type: 'label-selector-filter', parameters: { matchLabels: { zone: 'a' } } },
          { type: 'decode-filter', parameters: {} },
        ],
        scorers: [
          { type: 'load-aware-scorer', weight: 0.5, parameters: { threshold: 32 } },
          { type: 'queue-scorer', weight: 1, parameters: {} },
        ],
        picker: { type: 'weighted-random-picker', parameters: { maxNumOfEndpoints: 1 } },
      },
    ],
    profileHandler: { type: 'single-profile-handler', parameters: {} },
    producers: [],
  });
});

test('without profiles there is one of all plugins; without a picker the one that is listed', () => {
  const { policy } = load(
    'plugins:',
    '- type: queue-scorer',
    '- type: decode-filter',
    '- type: random-picker',
    '- type: session-id-producer',
    '  parameters: {headerName: x-session}',
  );
  assert.deepEqual(shown(policy), [
    ['default', ['decode-filter'], ['queue-scorer 1'], 'random-picker'],
  ]);
  assert.deepEqual(policy.producers, [
    { type: 'session-id-producer', parameters: { headerName: 'x-session' } },
  ]);
  const profile = ['schedulingProfiles:', '- name: a', '  plugins: [{pluginRef: queue-scorer}]'];
  const listed = load('plugins: [{type: queue-scorer}, {type: random-picker}]', ...profile);
  assert.deepEqual(shown(listed.policy), [['a', [], ['queue-scorer 1'], 'random-picker']]);
  const none = load('plugins: [{type: queue-scorer}]', ...profile);
  assert.deepEqual(shown(none.policy), [['a', [], ['queue-scorer 1'], 'max-score-picker']]);
});

test('a plugin that filters and scores does both', () => {
  const { policy } = load(
    'plugins:',
    '- {type: context-length-aware, parameters: {enableFiltering: true}}',
    'schedulingProfiles:',
    '- plugins: [{pluginRef: context-length-aware, weight: 4}]',
  );
  const type = 'context-length-aware';
  assert.deepEqual(shown(policy), [['default', [type], [`${type} 4`], 'max-score-picker']]);
});

test('a weight may be as large as somebody likes', () => {
  const { policy } = load(
    'plugins: [{type: queue-scorer}, {type: load-aware-scorer}]',
    'schedulingProfiles:',
    '- plugins: [{pluginRef: queue-scorer, weight: 1000000}, {pluginRef: load-aware-scorer, weight: 0.001}]',
  );
  assert.deepEqual(
    policy.profiles[0]?.scorers.map(({ weight }) => weight),
    [1_000_000, 0.001],
  );
});

test('older spellings of the prefix scorer are today’s', () => {
  const scorers = (parameters: string) =>
    load(`plugins: [{type: prefix-cache-scorer, parameters: ${parameters}}]`).policy.profiles[0]
      ?.scorers;
  assert.deepEqual(scorers('{hashBlockSize: 64, lruCapacityPerServer: 10}'), [
    { type: 'prefix-cache-scorer', weight: 1, parameters: {} },
  ]);
  const tracking = '{mode: cache_tracking, kvEventsConfig: {podDiscoveryConfig: {socketPort: 7}}}';
  assert.deepEqual(scorers(tracking), [
    { type: 'precise-prefix-cache-scorer', weight: 1, parameters: {} },
  ]);
  files.write(
    'epp.yaml',
    endpointPickerConfig(`plugins: [{type: prefix-cache-scorer, parameters: ${tracking}}]`),
  );
  const [endpoint] = files.load(['epp.yaml'], FLAGS).configuration.endpoints;
  assert.equal(endpoint?.assumedEvents?.address, 'tcp://10.0.0.1:7');
  files.write(
    'epp.yaml',
    endpointPickerConfig('plugins: [{type: prefix-cache-scorer, parameters: {mode: other}}]'),
  );
  assert.deepEqual(files.mistakes(['epp.yaml']), [
    'epp.yaml:3:52: plugins[0].parameters.mode: unknown key',
  ]);
});

test('several profiles come with who chooses among them', () => {
  const { policy } = load(
    'plugins:',
    '- {type: header-profile-handler, parameters: {defaultProfile: b}}',
    '- type: queue-scorer',
    'schedulingProfiles:',
    '- {name: a, plugins: [{pluginRef: queue-scorer}]}',
    '- {name: b, plugins: []}',
  );
  assert.deepEqual(shown(policy), [
    ['a', [], ['queue-scorer 1'], 'max-score-picker'],
    ['b', [], [], 'max-score-picker'],
  ]);
  assert.equal(policy.profileHandler.type, 'header-profile-handler');
});

test('the interval of the metrics source is ours; Go writes durations in parts', () => {
  const layer = ['dataLayer:', '  sources: [{pluginRef: metrics-data-source}]'];
  for (const [interval, expected] of [
    ['50ms', 50],
    ['1m', 60_000],
    ['1.5s', 1500],
    ['1s250ms', 1250],
  ] as const) {
    const source = `plugins: [{type: metrics-data-source, parameters: {interval: ${interval}}}]`;
    assert.equal(load(source, ...layer).scrape.intervalMs, expected, interval);
  }
});

test('KV events: ports of engines that do not tell are llm-d’s, one further per engine of a host', () => {
  const profile = ['schedulingProfiles: [{plugins: []}]'];
  const plugin = 'precise-prefix-cache-producer';
  const endpoints = ['http://10.0.0.1:8001', 'http://10.0.0.2:8000', 'http://10.0.0.1:8000'];
  const assumed = (parameters: string): readonly unknown[] => {
    const text = `plugins: [{type: ${plugin}, parameters: {kvEventsConfig: ${parameters}}}]`;
    files.write('epp.yaml', endpointPickerConfig(text, ...profile));
    const { configuration } = files.load(['epp.yaml'], { endpoints });
    return configuration.endpoints.map(({ assumedEvents }) => [
      assumedEvents?.address,
      assumedEvents?.replayAddress,
    ]);
  };
  assert.deepEqual(assumed('{}'), [
    ['tcp://10.0.0.1:5558', null],
    ['tcp://10.0.0.2:5557', null],
    ['tcp://10.0.0.1:5557', null],
  ]);
  assert.deepEqual(assumed('{podDiscoveryConfig: {socketPort: 7000, replaySocketPort: 8000}}'), [
    ['tcp://10.0.0.1:7001', 'tcp://10.0.0.1:8001'],
    ['tcp://10.0.0.2:7000', 'tcp://10.0.0.2:8000'],
    ['tcp://10.0.0.1:7000', 'tcp://10.0.0.1:8000'],
  ]);
  const none = [undefined, undefined];
  assert.deepEqual(assumed('{discoverPods: false}'), [none, none, none]);
  assert.equal(load('plugins: [{type: queue-scorer}]').endpoints[0]?.assumedEvents, null);
});

test('KV events: engines that connect are told apart by topics with the model', () => {
  const central = `{kvEventsConfig: {zmqEndpoint: "tcp://*:5557"}}`;
  const lines = (model: string) => [
    'plugins:',
    `- {type: token-producer, parameters: {modelName: ${model}}}`,
    `- {type: precise-prefix-cache-producer, parameters: ${central}}`,
  ];
  assert.deepEqual(load(...lines('org/model')).endpoints[0]?.assumedEvents, {
    address: 'tcp://*:5557',
    mode: 'bind',
    replayAddress: null,
    topic: 'kv@10.0.0.1:8000@org/model',
  });
  const sample = lines('hf-repo/model-name');
  assert.equal(load(...sample).endpoints[0]?.assumedEvents, null);
  assert.deepEqual(warnings(...sample).slice(1), [
    'epp.yaml:5:71: plugins[1].parameters.kvEventsConfig.zmqEndpoint: has no effect: the topics of engines that connect hold the model, which is not named here; engines that do not tell need `events: {bind: "tcp://*:5557", topic: "kv@{host}:{port}@MODEL"}` in warmpath.yaml',
  ]);
});

test('endpoints of file-discovery, beside those of flags or not', () => {
  files.write(
    'endpoints.yaml',
    [
      'endpoints:',
      '- {name: one, address: 10.0.0.1, port: "8000", labels: {zone: a}}',
      '- {name: two, namespace: other, address: "fd00::1", port: 8000}',
    ].join('\n'),
  );
  for (const discovery of ['{pluginRef: found}', '{endpoints: {pluginRef: found}}']) {
    files.write(
      'epp.yaml',
      endpointPickerConfig(
        'plugins:',
        '- name: found',
        '  type: file-discovery',
        '  parameters: {path: endpoints.yaml, watchFile: true}',
        `dataLayer: {discovery: ${discovery}}`,
      ),
    );
    const { configuration, warnings } = files.load(['epp.yaml']);
    assert.deepEqual(warnings, []);
    assert.equal(configuration.endpointsFile?.watch, true);
    assert.deepEqual(
      configuration.endpoints.map(({ url, id, labels }) => [url, id, labels]),
      [
        ['http://10.0.0.1:8000', 'default/one', { zone: 'a' }],
        ['http://[fd00::1]:8000', 'other/two', {}],
      ],
    );
    const flagged = files.load(['epp.yaml'], { endpoints: ['http://other:1'] }).configuration;
    assert.deepEqual(
      flagged.endpoints.map(({ url }) => url),
      ['http://other:1'],
    );
    assert.equal(flagged.endpointsFile, null);
  }
});

/** What is told of valid parts that have no effect, or another one. */
const WARNINGS: readonly (readonly [lines: readonly string[], expected: readonly string[]])[] = [
  [
    ['featureGates: [flowControl=false, haPopulateNonLeaderDatastore, dataLayer]'],
    [
      'epp.yaml:3:35: featureGates[1]: `haPopulateNonLeaderDatastore` has no effect: every Warmpath follows every engine, so there is no leader',
      'epp.yaml:3:65: featureGates[2]: `dataLayer` has no effect: the data layer is always on',
    ],
  ],
  [
    ['plugins: [{type: openai-parser}]'],
    ['epp.yaml:3:11: plugins[0]: `openai-parser` is not used: nothing refers to it'],
  ],
  [
    ['flowControl: {maxBytes: 1Gi, priorityBands: [{priority: 1}]}'],
    [
      'epp.yaml:3:1: flowControl: has no effect: llm-d looks at it only with the gate `flowControl`, and this version has no flow control',
    ],
  ],
  [
    ['saturationDetector: {queueDepthThreshold: 5}'],
    [
      'epp.yaml:3:1: saturationDetector: has no effect: this version turns no request away for saturation; busy endpoints score low instead',
    ],
  ],
  [
    [
      'plugins: [{type: queue-scorer}, {type: random-picker}, {name: idle, type: queue-scorer}]',
      'schedulingProfiles: [{plugins: [{pluginRef: queue-scorer}, {pluginRef: random-picker, weight: 2}]}]',
    ],
    [
      'epp.yaml:3:56: plugins[2]: `idle` is not used: nothing refers to it',
      'epp.yaml:4:87: schedulingProfiles[0].plugins[1].weight: has no effect: `random-picker` is a picker, and only scores are weighted',
    ],
  ],
  [
    [
      'plugins: [{type: approx-prefix-cache-producer}]',
      'schedulingProfiles: [{plugins: [{pluginRef: approx-prefix-cache-producer}]}]',
    ],
    [
      'epp.yaml:4:34: schedulingProfiles[0].plugins[0].pluginRef: `approx-prefix-cache-producer` has no effect in a profile: it is a producer',
    ],
  ],
  [
    [
      'plugins:',
      '- type: core-metrics-extractor',
      '  parameters: {defaultEngine: sglang, engineConfigs: [{name: x, kvUsageSpec: y}]}',
      '- type: models-data-source',
      'dataLayer:',
      '  injectDefaults: false',
      '  sources: [{pluginRef: models-data-source, extractors: [{pluginRef: core-metrics-extractor}]}]',
      '  peerDiscovery: {pluginRef: peers}',
      '  crossReplicaSyncerPluginRef: syncer',
      '  crossReplicaSyncInterval: 1s',
    ],
    [
      'epp.yaml:4:3: plugins[0]: `core-metrics-extractor` has no effect: Warmpath recognises vLLM, SGLang, TensorRT-LLM and Triton by the names of their metrics, without labels; of an engine with series of other names it knows what it has sent there itself',
      'epp.yaml:6:3: plugins[1]: `models-data-source` has no effect: Warmpath asks each engine for its models itself',
      'epp.yaml:8:3: dataLayer.injectDefaults: has no effect: Warmpath always reads the metrics of its engines',
      'epp.yaml:10:3: dataLayer.peerDiscovery: has no effect: replicas share nothing, because each follows every engine and counts its own requests',
      'epp.yaml:11:3: dataLayer.crossReplicaSyncerPluginRef: has no effect: replicas share nothing, because each follows every engine and counts its own requests',
    ],
  ],
  [
    [
      'plugins: [{type: openai-parser}, {type: anthropic-parser}, {type: passthrough-parser}]',
      'requestHandler:',
      '  parsers: [{pluginRef: openai-parser}, {pluginRef: anthropic-parser}, {pluginRef: passthrough-parser}]',
    ],
    [
      'epp.yaml:3:34: plugins[1]: `anthropic-parser` has no effect: requests to `/v1/messages` are read as the chats that engines make of them without it',
      'epp.yaml:3:60: plugins[2]: `passthrough-parser` has no effect: other requests are routed by load as long as their path is below `/v1/`',
    ],
  ],
  [
    [
      'plugins: [{type: vllmhttp-parser}, {type: sglanghttp-parser}]',
      'parser: {pluginRef: vllmhttp-parser}',
    ],
    [
      'epp.yaml:3:11: plugins[0]: `vllmhttp-parser` has no effect: requests to `/inference/v1/generate` are matched by their token ids without it',
      'epp.yaml:3:36: plugins[1]: `sglanghttp-parser` has no effect: requests to `/generate` are matched by `input_ids` or `text` without it',
    ],
  ],
  [
    [
      'plugins:',
      '- type: precise-prefix-cache-producer',
      '  parameters:',
      '    tokenProcessorConfig: {blockSize: 64, hashSeed: "42"}',
      '    indexerConfig:',
      '      kvBlockIndexConfig: {inMemoryConfig: {size: 100, podCacheSize: 10}}',
      '    kvEventsConfig: {topicFilter: kv@x, concurrency: 8}',
      '    speculativeIndexing: true',
    ],
    [
      "epp.yaml:6:5: plugins[0].parameters.tokenProcessorConfig: has no effect: block keys are computed from the token ids inside the engines' own events, so neither block size nor seed nor hash must agree",
      'epp.yaml:7:5: plugins[0].parameters.indexerConfig: has no effect: the block index lies in shared memory of this process and is sized from the fleet; `index` in the configuration changes that',
      "epp.yaml:9:22: plugins[0].parameters.kvEventsConfig.topicFilter: has no effect: every topic of an endpoint's own socket is its; `endpoints[].topic` narrows it",
      'epp.yaml:9:41: plugins[0].parameters.kvEventsConfig.concurrency: has no effect: every endpoint that publishes is followed, whatever its engine; `events.shards` says by how many threads',
      'epp.yaml:10:5: plugins[0].parameters.speculativeIndexing: has no effect: a decision always counts at once, for two seconds or until events confirm it',
    ],
  ],
];

for (const [lines, expected] of WARNINGS) {
  test(`told: ${lines.join(' ').slice(0, 60)}`, () => {
    assert.deepEqual(warnings(...lines), expected);
  });
}
