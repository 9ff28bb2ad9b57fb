// What our YAML says beside endpoints and scheduling: objectives, model rewrites, event ports, the
// endpoints file, and parameters of plugins that have no effect.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConfigurationFiles } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());

function mistakes(text: string): readonly string[] {
  files.write('warmpath.yaml', text);
  return files.mistakes(['warmpath.yaml']);
}

test('objectives and rewrites come over as they are, weights 1', () => {
  files.write(
    'warmpath.yaml',
    [
      'objectives: {batch: {priority: -1}, chat: {priority: 10}}',
      'modelRewrites:',
      '- match: {model: chat}',
      '  targets: [{model: org/a, weight: 9}, {model: org/b}]',
    ].join('\n'),
  );
  const { configuration, warnings } = files.load(['warmpath.yaml']);
  assert.deepEqual(configuration.objectives, { batch: { priority: -1 }, chat: { priority: 10 } });
  assert.deepEqual(configuration.modelRewrites, [
    {
      match: { model: 'chat' },
      targets: [
        { model: 'org/a', weight: 9 },
        { model: 'org/b', weight: 1 },
      ],
    },
  ]);
  assert.deepEqual(warnings, []);
});

test('mistakes in them', () => {
  for (const [text, expected] of [
    ['objectives: {a: {}}\n', 'warmpath.yaml:1:17: objectives.a.priority: is missing'],
    [
      'objectives: {a: {priority: 1.5}}\n',
      'warmpath.yaml:1:28: objectives.a.priority: expected int, got 1.5',
    ],
    [
      'modelRewrites: [{match: {model: a}, targets: []}]\n',
      'warmpath.yaml:1:46: modelRewrites[0].targets: too small: expected array to have >=1 items, got []',
    ],
    [
      'modelRewrites: [{match: {model: a}, targets: [{model: b, weight: 0}]}]\n',
      'warmpath.yaml:1:66: modelRewrites[0].targets[0].weight: too small: expected number to be >0, got 0',
    ],
    [
      'modelRewrites: [{match: {modell: a}, targets: [{model: b}]}]\n',
      'warmpath.yaml:1:26: modelRewrites[0].match.modell: unknown key; did you mean `model`?',
    ],
    [
      'modelRewrites:\n- {match: {model: a}, targets: [{model: b}]}\n- {match: {model: a}, targets: [{model: c}]}\n',
      'warmpath.yaml:3:19: modelRewrites[1].match.model: a is already rewritten by modelRewrites[0]',
    ],
    [
      'adapters: {a: {parent: base}, b: {parent: a}}\n',
      'warmpath.yaml:1:43: adapters.b.parent: a is an adapter itself; give its base model',
    ],
    ['adapters: {a: {}}\n', 'warmpath.yaml:1:15: adapters.a.parent: is missing'],
    [
      'modelRewrites: [{match: {model: a}, targets: [{model: b}, {model: b}]}]\n',
      'warmpath.yaml:1:67: modelRewrites[0].targets[1].model: b is already a target; add their weights up',
    ],
  ] as const) {
    assert.ok(mistakes(text).includes(expected), `${mistakes(text).join('\n')}\nlacks ${expected}`);
  }
});

test('events of engines that do not tell: a port of theirs, or an address of ours', () => {
  files.write(
    'warmpath.yaml',
    'endpoints: ["http://[fd00::1]:8000", "https://engine"]\nevents: {bind: "tcp://*:5557", topic: "kv@{host}:{port}@m", replayPort: 6000}\n',
  );
  const { endpoints } = files.load(['warmpath.yaml']).configuration;
  assert.deepEqual(
    endpoints.map(({ assumedEvents }) => assumedEvents),
    [
      {
        address: 'tcp://*:5557',
        mode: 'bind',
        replayAddress: 'tcp://[fd00::1]:6000',
        topic: 'kv@[fd00::1]:8000@m',
      },
      {
        address: 'tcp://*:5557',
        mode: 'bind',
        replayAddress: 'tcp://engine:6000',
        topic: 'kv@engine:443@m',
      },
    ],
  );
  for (const [text, expected] of [
    [
      '{port: 1, bind: "tcp://*:1", topic: t}',
      '1:18: events.bind: give either `port`, when engines listen, or `bind`, when they connect',
    ],
    ['{topic: t}', '1:17: events.topic: needs `bind` beside it'],
    ['{replayPort: 1}', '1:22: events.replayPort: needs `port` or `bind` beside it'],
    [
      '{bind: "tcp://*:1"}',
      '1:16: events.bind: needs `topic` beside it, which tells the engines apart',
    ],
    [
      '{bind: "tcp://*:1-2", topic: t}',
      '1:16: events.bind: expected one address such as tcp://*:5557, got "tcp://*:1-2"',
    ],
  ] as const) {
    const [line = ''] = mistakes(`events: ${text}\n`);
    assert.equal(
      line.replace(/^warmpath\.yaml:/, '').replace(/^1:\d+/, ''),
      expected.replace(/^1:\d+/, ''),
    );
  }
});

test('an endpoints file adds to the endpoints; clashes are told with the place', () => {
  files.write('endpoints.yaml', 'endpoints:\n- {name: a, address: engine-a, port: 8000}\n');
  files.write(
    'warmpath.yaml',
    'endpoints: [http://10.0.0.1:8000]\nendpointsFile: {path: endpoints.yaml}\n',
  );
  const { configuration } = files.load(['warmpath.yaml']);
  assert.deepEqual(
    configuration.endpoints.map(({ url }) => url),
    ['http://10.0.0.1:8000', 'http://engine-a:8000'],
  );
  assert.equal(configuration.endpointsFile?.watch, false);
  assert.deepEqual(
    configuration.endpointsFile?.beside.map(({ url }) => url),
    ['http://10.0.0.1:8000'],
  );
  for (const [text, expected] of [
    [
      '- {name: a, address: 10.0.0.1, port: 8000}',
      'endpoints.yaml:2:3: endpoints[0]: http://10.0.0.1:8000 is already given by the configuration',
    ],
    [
      '- {name: a, address: b, port: 1}\n- {name: c, address: b, port: "1"}',
      'endpoints.yaml:3:3: endpoints[1]: http://b:1 is already given by endpoints.yaml:2:3 (endpoints[0])',
    ],
    [
      '- {name: a, address: b, port: 1}\n- {name: a, address: b, port: 2}',
      'endpoints.yaml:3:10: endpoints[1].name: endpoints[0] has the same name and namespace',
    ],
    [
      '- {name: a, adress: b, port: 1}',
      'endpoints.yaml:2:13: endpoints[0].adress: unknown key; did you mean `address`?',
    ],
    [
      '- {name: a, address: "http://b", port: 1}',
      'endpoints.yaml:2:22: endpoints[0].address: expected an IP address or a host name, got "http://b"',
    ],
    [
      '- {name: a, address: b, port: "80a"}',
      'endpoints.yaml:2:31: endpoints[0].port: expected a port, got "80a"',
    ],
    [
      '- {name: a, address: b, port: 70000}',
      'endpoints.yaml:2:31: endpoints[0].port: expected a port, got 70000',
    ],
  ] as const) {
    files.write('endpoints.yaml', `endpoints:\n${text}\n`);
    const lines = files.mistakes(['warmpath.yaml']);
    assert.ok(lines.includes(expected), `${lines.join('\n')}\nlacks ${expected}`);
  }
});

test('parameters that have no effect are told in our YAML too', () => {
  files.write(
    'warmpath.yaml',
    'scheduling:\n  profile:\n    scorers: [{type: prefix-cache-scorer, parameters: {blockSize: 64}}]\n',
  );
  assert.deepEqual(files.load(['warmpath.yaml']).warnings, [
    "warmpath.yaml:3:56: scheduling.profile.scorers[0].parameters.blockSize: has no effect: whole prompts are matched in blocks of the engines' own size, and as many are kept as the engines keep",
  ]);
});
