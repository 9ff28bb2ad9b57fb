// The route table, and every spelling of a path that must not get past it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admit } from '#request/admit.js';

/** `route chat-completions`, `local /health`, `404`… */
function admitted(method: string, path: string, draining = false): string {
  const admission = admit(method, path, draining);
  if (admission.kind === 'route') return `route ${admission.route}`;
  if (admission.kind === 'local') return `local ${admission.path}`;
  return `${admission.error.status} ${admission.error.code}`;
}

test('the table', () => {
  assert.equal(admitted('POST', '/v1/chat/completions'), 'route chat-completions');
  assert.equal(admitted('POST', '/v1/completions?trace=1'), 'route completions');
  assert.equal(admitted('POST', '/inference/v1/generate'), 'route vllm-generate');
  assert.equal(admitted('POST', '/generate'), 'route sglang-generate');
  assert.equal(admitted('POST', '/v1/messages?beta=true'), 'route messages');
  assert.equal(admitted('POST', '/v1/messages/count_tokens'), 'route passthrough');
  assert.equal(admitted('POST', '/v1/responses'), 'route responses');
  assert.equal(admitted('GET', '/v1/responses/resp-1'), 'route passthrough');
  assert.equal(admitted('POST', '/v1/embeddings'), 'route passthrough');
  assert.equal(admitted('POST', '/v1/audio/transcriptions'), 'route passthrough');
  assert.equal(admitted('DELETE', '/v1/files/file-1.txt'), 'route passthrough');
  assert.equal(admitted('GET', '/v1/models'), 'local /v1/models');
  assert.equal(admitted('HEAD', '/health'), 'local /health');
  for (const path of ['/ready', '/status', '/metrics']) {
    assert.equal(admitted('GET', path), `local ${path}`);
  }
});

test('routes of engines outside of /v1 pass through', () => {
  const vllm = ['/pooling', '/classify', '/score', '/rerank', '/v2/rerank', '/v2/embed'];
  const both = ['/tokenize', '/detokenize', '/v1/score', '/v1/rerank', '/encode'];
  for (const path of [...vllm, ...both]) {
    assert.equal(admitted('POST', path), 'route passthrough', path);
    assert.equal(admitted('POST', `${path}?x=1`), 'route passthrough', path);
    assert.equal(admitted('POST', path, true), '503 shutting_down', path);
  }
});

test('wrong methods', () => {
  for (const [method, path] of [
    ['GET', '/v1/chat/completions'],
    ['PUT', '/v1/completions'],
    ['GET', '/generate'],
    ['GET', '/pooling'],
    ['PUT', '/rerank'],
    ['DELETE', '/tokenize'],
    ['POST', '/v1/models'],
    ['POST', '/metrics'],
    ['CONNECT', '/v1/embeddings'],
    ['TRACE', '/v1/embeddings'],
  ] as const) {
    assert.equal(admitted(method, path), '405 method_not_allowed', `${method} ${path}`);
  }
});

test('everything else does not exist, however it is spelled', () => {
  const corpus = [
    '/',
    '',
    '*',
    '/admin',
    '/debug/decisions',
    '/tokenize/',
    '/score/x',
    '/Rerank',
    '/v2/rerank/',
    '/v2/models',
    '//pooling',
    '/x/../score',
    '/prefix/v1/chat/completions',
    '/generate/',
    '/Generate',
    '/inference/v1/generate/x',
    '/inference/v1/models',
    '/reset_prefix_cache',
    '/sleep',
    '/v1',
    '/v1/',
    '//v1/models',
    '/v1//models',
    '/v1/../admin',
    '/v1/..',
    '/v1/.',
    '/v1/./models',
    '/v1/%2e%2e/admin',
    '/v1/%2E%2E%2Fadmin',
    '/v1/..%2fadmin',
    '/v1/..;/admin',
    '/v1/\\..\\admin',
    '/v1/models%00',
    '/v1/chat/completions/',
    '/v1/chat%2Fcompletions',
    '/V1/models',
    '/v1/models#x',
    '/v1/a b',
    '/v1/é',
    'http://other/v1/chat/completions',
    '/constructor',
    '/v1/load_lora_adapter',
    '/v1/unload_lora_adapter',
    `/${'x'.repeat(10_000)}`,
  ];
  for (const path of corpus) assert.equal(admitted('POST', path), '404 route_not_found', path);
});

test('a long path is cut in the message', () => {
  const admission = admit('GET', `/${'x'.repeat(10_000)}`, false);
  assert.ok(admission.kind === 'reject' && admission.error.message.length < 200);
});

test('while draining only local paths are answered', () => {
  assert.equal(admitted('POST', '/v1/chat/completions', true), '503 shutting_down');
  assert.equal(admitted('POST', '/v1/embeddings', true), '503 shutting_down');
  assert.equal(admitted('GET', '/health', true), 'local /health');
  assert.equal(admitted('GET', '/nowhere', true), '404 route_not_found');
});
