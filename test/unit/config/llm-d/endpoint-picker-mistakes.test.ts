// Mistakes in an EndpointPickerConfig: for every kind of them the file, line, column and words that a
// person reads.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());

type Mistake = readonly [name: string, lines: readonly string[], expected: readonly string[]];

const MISTAKES: readonly Mistake[] = [
  [
    'unknown key',
    ['scheduleProfiles: []'],
    ['epp.yaml:3:1: scheduleProfiles: unknown key; did you mean `schedulingProfiles`?'],
  ],
  [
    'unknown key further in',
    [
      'plugins: [{type: queue-scorer}]',
      'schedulingProfiles: [{plugins: [{pluginRf: queue-scorer}]}]',
    ],
    [
      'epp.yaml:4:34: schedulingProfiles[0].plugins[0].pluginRf: unknown key; did you mean `pluginRef`?',
    ],
  ],
  [
    'unknown gate',
    ['featureGates: [flowcontrol]'],
    [
      'epp.yaml:3:16: featureGates[0]: unknown feature gate `flowcontrol`; did you mean `flowControl`?',
    ],
  ],
  [
    'gate with another value',
    ['featureGates: [flowControl=maybe]'],
    [
      'epp.yaml:3:16: featureGates[0]: expected flowControl, flowControl=true or flowControl=false, got "flowControl=maybe"',
    ],
  ],
  [
    'flow control',
    ['featureGates: [flowControl=true]'],
    [
      'epp.yaml:3:16: featureGates[0]: `flowControl` is refused: this version has no flow control; leave the gate out, and requests are scheduled as they come',
    ],
  ],
  [
    'unknown type',
    ['plugins: [{type: queue-score}]'],
    [
      'epp.yaml:3:18: plugins[0].type: unknown plugin type `queue-score`; did you mean `queue-scorer`?',
    ],
  ],
  [
    'unknown type near a refused one only',
    ['plugins: [{type: disagg-profil-handler}]'],
    [
      'epp.yaml:3:18: plugins[0].type: unknown plugin type `disagg-profil-handler`; did you mean `disagg-profile-handler`?',
    ],
  ],
  [
    'refused types, and nothing about what is missing without them',
    [
      'plugins: [{type: disagg-profile-handler}, {type: vllmgrpc-parser}, {type: latency-scorer}]',
      'parser: {pluginRef: vllmgrpc-parser}',
      'schedulingProfiles: [{name: a, plugins: [{pluginRef: latency-scorer}]}, {name: b}]',
    ],
    [
      'epp.yaml:3:18: plugins[0].type: `disagg-profile-handler` is not supported: it belongs to disaggregated serving, which this version does not have.',
      'epp.yaml:3:50: plugins[1].type: `vllmgrpc-parser` is not supported: engines are spoken to over HTTP only.',
      'epp.yaml:3:75: plugins[2].type: `latency-scorer` is not supported: it needs latency prediction, which this version does not have.',
    ],
  ],
  [
    'unknown parameter',
    ['plugins:', '- {type: load-aware-scorer, parameters: {treshold: 5}}'],
    ['epp.yaml:4:42: plugins[0].parameters.treshold: unknown key; did you mean `threshold`?'],
  ],
  [
    'unknown parameter of what is not scheduling',
    ['plugins:', '- {type: file-discovery, parameters: {path: x, watch: true}}'],
    ['epp.yaml:4:48: plugins[0].parameters.watch: unknown key'],
  ],
  [
    'missing parameter',
    ['plugins: [{type: file-discovery}]'],
    ['epp.yaml:3:11: plugins[0].parameters.path: is missing'],
  ],
  [
    'unknown name',
    [
      'plugins: [{type: queue-scorer}]',
      'schedulingProfiles: [{plugins: [{pluginRef: queue-scorers}]}]',
    ],
    [
      'epp.yaml:4:45: schedulingProfiles[0].plugins[0].pluginRef: no plugin is called `queue-scorers`; did you mean `queue-scorer`?',
    ],
  ],
  [
    'unknown name in parameters',
    [
      'plugins:',
      '- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: man}}',
      '- {name: main, type: precise-prefix-cache-producer}',
    ],
    [
      'epp.yaml:4:73: plugins[0].parameters.prefixMatchInfoProducerName: no plugin is called `man`; did you mean `main`?',
    ],
  ],
  [
    'name twice',
    ['plugins: [{type: queue-scorer}, {name: queue-scorer, type: random-picker}]'],
    [
      'epp.yaml:3:40: plugins[1].name: plugins[0] is called `queue-scorer` too; give one of them another `name`',
    ],
  ],
  [
    'two pickers',
    [
      'plugins: [{type: random-picker}, {type: max-score-picker}]',
      'schedulingProfiles: [{plugins: [{pluginRef: random-picker}, {pluginRef: max-score-picker}]}]',
    ],
    [
      'epp.yaml:4:73: schedulingProfiles[0].plugins[1].pluginRef: `max-score-picker` is a second picker; a profile has one',
    ],
  ],
  [
    'several profiles, no handler',
    ['schedulingProfiles: [{name: a}, {name: b}]'],
    [
      'epp.yaml:3:1: schedulingProfiles: several profiles need a profile handler among the plugins, such as `header-profile-handler`',
    ],
  ],
  [
    'several profiles, the handler of one',
    ['plugins: [{type: single-profile-handler}]', 'schedulingProfiles: [{name: a}, {name: b}]'],
    [
      'epp.yaml:3:11: plugins[0]: `single-profile-handler`: it handles a single profile and there are 2; `header-profile-handler` chooses',
    ],
  ],
  [
    'two handlers',
    ['plugins: [{type: single-profile-handler}, {type: header-profile-handler}]'],
    [
      'epp.yaml:3:50: plugins[1].type: `header-profile-handler` is a second profile handler beside `single-profile-handler`',
    ],
  ],
  [
    'profile name twice',
    [
      'plugins: [{type: header-profile-handler, parameters: {defaultProfile: a}}]',
      'schedulingProfiles: [{name: a}, {name: a}]',
    ],
    ['epp.yaml:4:40: schedulingProfiles[1].name: another profile is called `a` too'],
  ],
  [
    'weight out of bounds',
    [
      'plugins: [{type: queue-scorer}]',
      'schedulingProfiles: [{plugins: [{pluginRef: queue-scorer, weight: -1}]}]',
    ],
    [
      'epp.yaml:4:67: schedulingProfiles[0].plugins[0].weight: too small: expected number to be >=0, got -1',
    ],
  ],
  [
    'what is no data source, extractor, discovery or parser',
    [
      'plugins: [{type: queue-scorer}, {type: metrics-data-source}]',
      'dataLayer:',
      '  sources:',
      '  - {pluginRef: queue-scorer, extractors: [{pluginRef: metrics-data-source}]}',
      '  discovery: {pluginRef: metrics-data-source}',
      'requestHandler: {parsers: [{pluginRef: queue-scorer}]}',
    ],
    [
      'epp.yaml:6:17: dataLayer.sources[0].pluginRef: `queue-scorer` is a scorer, not a data source',
      'epp.yaml:6:56: dataLayer.sources[0].extractors[0].pluginRef: `metrics-data-source` is a data source, not an extractor',
      'epp.yaml:7:26: dataLayer.discovery.pluginRef: `metrics-data-source` is a data source; `file-discovery` can be named here',
      'epp.yaml:8:40: requestHandler.parsers[0].pluginRef: `queue-scorer` is a scorer, not a parser',
    ],
  ],
  [
    'interval that is none, and one that is too short',
    [
      'plugins: [{type: metrics-data-source, parameters: {interval: fast}}]',
      'dataLayer: {sources: [{pluginRef: metrics-data-source}]}',
    ],
    [
      'epp.yaml:3:62: plugins[0].parameters.interval: expected a duration such as 50ms, 2s or 5m, got "fast"',
    ],
  ],
  [
    'interval that is too short',
    [
      'plugins: [{type: metrics-data-source, parameters: {interval: 10ms}}]',
      'data: {sources: [{pluginRef: metrics-data-source}]}',
    ],
    ['epp.yaml:3:62: plugins[0].parameters.interval: expected between 50ms and 1m, got "10ms"'],
  ],
  [
    'both names of the data layer',
    ['data: {}', 'dataLayer: {}'],
    ['epp.yaml:3:1: data: is an older name of `dataLayer`, which is there too'],
  ],
  [
    'endpoints file that is not there',
    [
      'plugins: [{type: file-discovery, parameters: {path: nowhere.yaml}}]',
      'dataLayer: {discovery: {pluginRef: file-discovery}}',
    ],
    ["nowhere.yaml: cannot be read: ENOENT: no such file or directory, open 'nowhere.yaml'"],
  ],
  [
    'faults of the form, and what is wrong besides',
    [
      'plugins:',
      '- {typ: queue-scorer}',
      '- {type: disagg-profile-handler}',
      '- {name: mine, type: load-aware-scorer, parameters: 3}',
      '- {type: random-picker, parameters: {maxNumOfEndpoint: 2}}',
      'schedulingProfiles:',
      '- plugins:',
      '  - {pluginRef: queue-scorer, wieght: 2}',
      '  - {pluginRf: nobody}',
      '  - {pluginRef: mine, weight: heavy}',
      '  - {pluginRef: random-picker}',
      'featureGates: [flowControl, 3]',
    ],
    [
      'epp.yaml:4:4: plugins[0].typ: unknown key; did you mean `type`?',
      'epp.yaml:5:10: plugins[1].type: `disagg-profile-handler` is not supported: it belongs to disaggregated serving, which this version does not have.',
      'epp.yaml:6:53: plugins[2].parameters: expected record, got 3',
      'epp.yaml:7:38: plugins[3].parameters.maxNumOfEndpoint: unknown key; did you mean `maxNumOfEndpoints`?',
      'epp.yaml:10:31: schedulingProfiles[0].plugins[0].wieght: unknown key; did you mean `weight`?',
      'epp.yaml:11:6: schedulingProfiles[0].plugins[1].pluginRf: unknown key; did you mean `pluginRef`?',
      'epp.yaml:12:31: schedulingProfiles[0].plugins[2].weight: expected number, got "heavy"',
      'epp.yaml:14:16: featureGates[0]: `flowControl` is refused: this version has no flow control; leave the gate out, and requests are scheduled as they come',
      'epp.yaml:14:29: featureGates[1]: expected string, got 3',
    ],
  ],
  [
    'a name that nobody has, beside an entry that cannot be used',
    [
      'plugins: [{name: a}, {type: queue-scorer}]',
      'schedulingProfiles: [{plugins: [{pluginRef: b}, {pluginRef: a}]}]',
    ],
    [
      'epp.yaml:3:11: plugins[0].type: is missing',
      'epp.yaml:4:45: schedulingProfiles[0].plugins[0].pluginRef: no plugin is called `b`; there are queue-scorer',
    ],
  ],
  [
    'test helpers',
    [
      'plugins:',
      '- type: header-based-testing-filter',
      '- type: destination-endpoint-served-verifier',
      'schedulingProfiles: [{plugins: [{pluginRef: header-based-testing-filter}]}]',
    ],
    [
      "epp.yaml:4:9: plugins[0].type: `header-based-testing-filter` is not supported: it is for conformance tests of llm-d's, with Envoy in front, and decides nothing for users.",
      "epp.yaml:5:9: plugins[1].type: `destination-endpoint-served-verifier` is not supported: it is for conformance tests of llm-d's, with Envoy in front, and decides nothing for users.",
    ],
  ],
  [
    'weights below 0 and without end',
    [
      'plugins: [{type: queue-scorer}, {type: load-aware-scorer}]',
      'schedulingProfiles:',
      '- plugins: [{pluginRef: queue-scorer, weight: -1}, {pluginRef: load-aware-scorer, weight: .inf}]',
    ],
    [
      'epp.yaml:5:47: schedulingProfiles[0].plugins[0].weight: too small: expected number to be >=0, got -1',
      'epp.yaml:5:91: schedulingProfiles[0].plugins[1].weight: expected number, got null',
    ],
  ],
  [
    'unknown keys in what has no effect',
    [
      'plugins:',
      '- type: token-producer',
      '  parameters:',
      '    estimate: {imge: {}, image: {mode: fixed, static: {token: 3}}}',
      '    udsTokenizerConfig: {socket: /tmp/x}',
      '- type: precise-prefix-cache-producer',
      '  parameters:',
      '    indexerConfig:',
      '      kvBlockIndexConfig: {inMemoryConfg: {}, redisConfig: {adress: x}}',
      '      kvCacheBackendConfigs: [{nme: gpu, weight: 1}]',
      '      tokenizersPoolConfig: {hf: {enabld: true}, local: {autoDiscoveryDirectory: /x}}',
      '- {type: k8s-notification-source, parameters: {versoin: v1}}',
    ],
    [
      'epp.yaml:6:16: plugins[0].parameters.estimate.imge: unknown key; did you mean `image`?',
      'epp.yaml:6:40: plugins[0].parameters.estimate.image.mode: expected one of dynamic, static, got "fixed"',
      'epp.yaml:6:56: plugins[0].parameters.estimate.image.static.token: unknown key',
      'epp.yaml:7:26: plugins[0].parameters.udsTokenizerConfig.socket: unknown key',
      'epp.yaml:11:28: plugins[1].parameters.indexerConfig.kvBlockIndexConfig.inMemoryConfg: unknown key; did you mean `inMemoryConfig`?',
      'epp.yaml:11:61: plugins[1].parameters.indexerConfig.kvBlockIndexConfig.redisConfig.adress: unknown key; did you mean `address`?',
      'epp.yaml:12:32: plugins[1].parameters.indexerConfig.kvCacheBackendConfigs[0].nme: unknown key; did you mean `name`?',
      'epp.yaml:13:35: plugins[1].parameters.indexerConfig.tokenizersPoolConfig.hf.enabld: unknown key; did you mean `enabled`?',
      'epp.yaml:13:58: plugins[1].parameters.indexerConfig.tokenizersPoolConfig.local.autoDiscoveryDirectory: unknown key; did you mean `autoDiscoveryDir`?',
      'epp.yaml:14:48: plugins[2].parameters.versoin: unknown key; did you mean `version`?',
    ],
  ],
];

for (const [name, lines, expected] of MISTAKES) {
  test(`mistake: ${name}`, () => {
    files.write('epp.yaml', endpointPickerConfig(...lines));
    assert.deepEqual(files.mistakes(['epp.yaml']), expected);
  });
}

/** Files that are no EndpointPickerConfig, and what they probably should be. */
const KINDS: readonly (readonly [text: string, expected: string])[] = [
  [
    'plugins: [{type: queue-scorer}]\n',
    'file.yaml:1:1: plugins: belongs to an EndpointPickerConfig, which begins with `apiVersion: llm-d.ai/v1alpha1` and `kind: EndpointPickerConfig`',
  ],
  [
    'apiVersion: llm-d.ai/v1alpha1\nplugins: []\n',
    'file.yaml:1:1: apiVersion: belongs to an EndpointPickerConfig, which begins with `apiVersion: llm-d.ai/v1alpha1` and `kind: EndpointPickerConfig`',
  ],
  ['kind: EndpointPickerConfig\n', 'file.yaml:1:7: kind: needs `apiVersion` beside it'],
  [
    'kind: EndpointPickerConfg\n',
    'file.yaml:1:7: kind: expected EndpointPickerConfig, or none for a configuration of our own, got "EndpointPickerConfg"; did you mean `EndpointPickerConfig`?',
  ],
  [
    'kind: EndpointPickerConfig\napiVersion: llm-d.ai/v1alpha2\n',
    'file.yaml:2:13: apiVersion: expected llm-d.ai/v1alpha1 or inference.networking.x-k8s.io/v1alpha1, got "llm-d.ai/v1alpha2"; did you mean `llm-d.ai/v1alpha1`?',
  ],
  [
    'kind: ConfigMap\napiVersion: v1\n',
    'file.yaml:1:7: kind: a ConfigMap is not read; put the EndpointPickerConfig that lies under its `data` into a file of its own',
  ],
  [
    'kind: InferenceObjective\n',
    'file.yaml:1:7: kind: an InferenceObjective is not read; write `objectives: {NAME: {priority: N}}` into warmpath.yaml',
  ],
  [
    'kind: InferenceModelRewrite\n',
    'file.yaml:1:7: kind: an InferenceModelRewrite is not read; write `modelRewrites: [{match: {model: NAME}, targets: [{model: NAME, weight: N}]}]` into warmpath.yaml',
  ],
];

for (const [text, expected] of KINDS) {
  test(`no EndpointPickerConfig: ${JSON.stringify(text)}`, () => {
    files.write('file.yaml', text);
    assert.deepEqual(files.mistakes(['file.yaml']), [expected]);
  });
}

test('what llm-d writes in braces stays as it is', () => {
  const label = '$' + '{POD_NAME}';
  files.write(
    'epp.yaml',
    endpointPickerConfig(
      `plugins: [{type: label-selector-filter, parameters: {matchLabels: {pod: "${label}"}}}]`,
    ),
  );
  const [profile] = files.load(['epp.yaml']).configuration.policy.profiles;
  assert.deepEqual(profile?.filters[0]?.parameters, { matchLabels: { pod: label } });
});
