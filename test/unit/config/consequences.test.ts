// Faults that only follow from others: each of these files has the one fault that is told, and what would
// be wrong without the part that could not be read is not told beside it.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());

function mistakes(text: string): readonly string[] {
  files.write('warmpath.yaml', text);
  return files
    .mistakes(['warmpath.yaml'])
    .map((line) => line.replace(/^warmpath\.yaml:\d+:\d+: /, ''));
}

const SESSIONS =
  'profile: {scorers: [{type: session-affinity-scorer, parameters: {strategy: session_id, ' +
  'sessionIdConfig: {sources: [{attribute: session-id}]}}}]}';
const BY_HEADER = 'profileHandler: {type: header-profile-handler, parameters: {defaultProfile: a}}';

/** What is written, and all that is told. */
const ALONE: readonly (readonly [name: string, text: string, told: string])[] = [
  [
    'events of the wrong form beside a replay',
    'endpoints: [{url: "http://a:1", events: 5, replay: "tcp://a:2", topic: t}]',
    'endpoints[0].events: expected string, got 5',
  ],
  [
    'events under a wrong name beside a replay',
    'endpoints: [{url: "http://a:1", event: "tcp://a:1", replay: "tcp://a:2", topic: t}]',
    'endpoints[0].event: unknown key; did you mean `events`?',
  ],
  [
    'a replay of the wrong form',
    'endpoints: [{url: "http://a:1", replay: {address: "tcp://a:2"}}]',
    'endpoints[0].replay: expected string, got {"address":"tcp://a:2"}',
  ],
  [
    'a URL under a wrong name',
    'endpoints: [{ur: "http://a:1", replay: "tcp://a:2"}]',
    'endpoints[0].ur: unknown key; did you mean `url`?',
  ],
  [
    'a port of events that is none',
    'events: {port: x, replayPort: 6000}',
    'events.port: expected number, got "x"',
  ],
  [
    'a port of events under a wrong name',
    'events: {prt: 5, replayPort: 6000}',
    'events.prt: unknown key; did you mean `port`?',
  ],
  [
    'an address of events that is none',
    'events: {bind: 7, topic: t}',
    'events.bind: expected string, got 7',
  ],
  [
    'the topic of an address under a wrong name',
    'events: {bind: "tcp://*:1", topc: t}',
    'events.topc: unknown key; did you mean `topic`?',
  ],
  [
    'a profile that is missed, with its name under a wrong key',
    `scheduling: {profiles: [{nme: a}, {name: b}], ${BY_HEADER}}`,
    'scheduling.profiles[0].nme: unknown key; did you mean `name`?',
  ],
  [
    'a profile that is missed, of the wrong form',
    `scheduling: {profiles: [{name: b}, 5], ${BY_HEADER}}`,
    'scheduling.profiles[1]: expected object, got 5',
  ],
  [
    'a profile whose default name is another one’s',
    'scheduling: {profiles: [{nme: a}, {name: custom}], profileHandler: {type: header-profile-handler}}',
    'scheduling.profiles[0].nme: unknown key; did you mean `name`?',
  ],
  [
    'the one who chooses under a wrong name',
    `scheduling: {profiles: [{name: a}, {name: b}], ${BY_HEADER.replace('Handler', 'Handlr')}}`,
    'scheduling.profileHandlr: unknown key; did you mean `profileHandler`?',
  ],
  [
    'a producer whose type is under a wrong name',
    `scheduling: {${SESSIONS}, producers: [{typ: session-id-producer}]}`,
    'scheduling.producers[0].typ: unknown key; did you mean `type`?',
  ],
  [
    'a producer of an unknown type',
    `scheduling: {${SESSIONS}, producers: [{type: session-id-producr}]}`,
    'scheduling.producers[0].type: unknown producer `session-id-producr`; did you mean `session-id-producer`?',
  ],
  [
    'a producer that is needed by name, with the name under a wrong key',
    'scheduling: {profile: {scorers: [{type: mm-embeddings-cache-scorer, parameters: {producerName: a}}, ' +
      '{type: mm-embeddings-cache-scorer}]}, producers: [{type: mm-embeddings-cache-producer}, ' +
      '{type: mm-embeddings-cache-producer, nam: a}]}',
    'scheduling.producers[1].nam: unknown key; did you mean `name`?',
  ],
  [
    'producers under a wrong name',
    `scheduling: {${SESSIONS}, producrs: [{type: session-id-producer}]}`,
    'scheduling.producrs: unknown key; did you mean `producers`?',
  ],
];

for (const [name, text, told] of ALONE) {
  test(`told alone: ${name}`, () => {
    assert.deepEqual(mistakes(`${text}\n`), [told]);
  });
}

test('what does not follow is told beside it', () => {
  const text = [
    'endpoints:',
    '- {url: "http://a:1", apiKeyFle: x, replay: "tcp://a:2"}',
    '- {url: "http://b:1", kvstream: "tcp://b:1", replay: "tcp://b:2"}',
    'events: {prt: 5, topic: t}',
    `scheduling: {profiles: [{name: b, filters: 5}, {name: c}], ${BY_HEADER}, producers: [{type: agent-identity}]}`,
    '',
  ];
  assert.deepEqual(mistakes(text.join('\n')), [
    'endpoints[0].apiKeyFle: unknown key; did you mean `apiKeyFile`?',
    'endpoints[0].replay: needs `events` beside it',
    'endpoints[1].kvstream: unknown key',
    'endpoints[1].replay: needs `events` beside it',
    'events.prt: unknown key; did you mean `port`?',
    'events.topic: needs `bind` beside it',
    'scheduling.profiles[0].filters: expected array, got 5',
    'scheduling.profileHandler: `header-profile-handler`: its defaultProfile `a` is none of the profiles b, c',
  ]);
});

test('other entries are named by where they were written', () => {
  const text = [
    'endpoints: [5, "http://a:1", {url: "http://a:1"}, {url: "http://b:1", events: "tcp://e:1"}, {url: "http://c:1", events: "tcp://e:1"}]',
    'modelRewrites: [5, {match: {model: a}, targets: [{model: b}]}, {match: {model: a}, targets: [{model: b}]}]',
    '',
  ];
  assert.deepEqual(mistakes(text.join('\n')), [
    'endpoints[0]: expected text or a mapping, got 5',
    'endpoints[2].url: http://a:1 is already given by endpoints[1]',
    'endpoints[4].events: endpoints[3] has the same address and topic; events would be mixed',
    'modelRewrites[0]: expected object, got 5',
    'modelRewrites[2].match.model: a is already rewritten by modelRewrites[1]',
  ]);
  const plugins = ['- 5', '- {type: queue-scorer}', '- {type: queue-scorer}'];
  files.write('epp.yaml', endpointPickerConfig('plugins:', ...plugins));
  assert.match(
    files.mistakes(['epp.yaml']).at(-1) ?? '',
    /plugins\[2\]\.type: plugins\[1\] is called `queue-scorer` too/,
  );
});
