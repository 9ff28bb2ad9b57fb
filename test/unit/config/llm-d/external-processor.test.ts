// The form that articles of 2025 show: read as one of our policies where it says one, and explained
// where it cannot be.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { POLICY_PROFILES } from '#config/policies.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());
const FLAGS = { endpoints: ['http://10.0.0.1:8000'] };
const OLD =
  'old.yaml: is of a form that llm-d no longer reads; `warmpath config migrate` writes it as our own YAML';

function article(...lines: readonly string[]): void {
  const text = ['plugins:', '  - type: external_processor', ...lines, ''].join('\n');
  files.write('old.yaml', text);
}

test('the algorithm is one of our policies', () => {
  for (const [algorithm, policy] of [
    ['prefix-aware', 'precise'],
    ['KV_CACHE_AWARE', 'precise'],
    ['least-loaded', 'load-aware'],
    ['round_robin', 'round-robin'],
    ['random', 'random'],
  ] as const) {
    article('    routing:', `      algorithm: ${algorithm}`);
    const { configuration, warnings } = files.load(['old.yaml'], FLAGS);
    assert.deepEqual(configuration.policy.profiles, [POLICY_PROFILES[policy]], algorithm);
    assert.deepEqual(warnings, [OLD]);
  }
});

test('discovery and cache are told to have no effect, wherever they stand', () => {
  for (const [indent, ...head] of [['    '], ['      ', '    config:']] as const) {
    article(
      ...head,
      `${indent}discovery: {label_selector: "app=vllm"}`,
      `${indent}cache: {type: in-memory-lru, max_size: 10000}`,
      `${indent}routing: {algorithm: prefix-aware, session_affinity: false}`,
    );
    const at = indent === '    ' ? 'plugins[0]' : 'plugins[0].config';
    const line = indent === '    ' ? 3 : 4;
    assert.deepEqual(files.load(['old.yaml'], FLAGS).warnings, [
      OLD,
      `old.yaml:${line}:${indent.length + 1}: ${at}.discovery: has no effect: endpoints are not looked for in Kubernetes; give them with --endpoint or as \`endpoints\` in warmpath.yaml`,
      `old.yaml:${line + 1}:${indent.length + 1}: ${at}.cache: has no effect: the index follows the KV events of the engines and is as large as their caches; \`index.blockCapacity\` fixes its size`,
    ]);
  }
});

test('what cannot be read as ours is refused by name', () => {
  const write =
    'write `{type: session-affinity-scorer, weight: 10}` among `scheduling.profile.scorers` in warmpath.yaml instead';
  for (const [line, expected] of [
    [
      'routing: {algorithm: sticky}',
      `old.yaml:3:26: plugins[0].routing.algorithm: \`sticky\` is not translated; ${write}`,
    ],
    [
      'routing: {session_affinity: true}',
      `old.yaml:3:33: plugins[0].routing.session_affinity: \`session_affinity\` is not translated; ${write}`,
    ],
    [
      'routing: {algorithm: prefix-awre}',
      'old.yaml:3:26: plugins[0].routing.algorithm: unknown algorithm `prefix-awre`; did you mean `prefix-aware`?',
    ],
    [
      'routing: {algoritm: prefix-aware}',
      'old.yaml:3:15: plugins[0].routing.algoritm: unknown key; did you mean `algorithm`?',
    ],
  ] as const) {
    article(`    ${line}`);
    assert.deepEqual(files.mistakes(['old.yaml'], FLAGS), [expected]);
  }
  files.write('old.yaml', 'plugins: [{type: external_processor}, {type: queue-scorer}]\n');
  assert.deepEqual(files.mistakes(['old.yaml'], FLAGS), [
    'old.yaml:1:10: plugins: expected `external_processor` alone, got [{"type":"external_processor"},{"type":"queue-scorer"}]',
  ]);
});
