import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointState } from '#contracts/endpoint.js';
import { publisherField, publisherMemoryBytes } from '#contracts/shared-layout.js';
import { PublisherStats } from '#observability/publisher-stats.js';
import { buildReady, buildStatus, type StatusInput } from '#observability/status.js';

function endpoint(options: { healthy: boolean; scrapedAtMs?: number }): EndpointState {
  return {
    endpoint: {
      slot: 0,
      name: 'a:1',
      url: 'http://a:1',
      id: null,
      dpRank: null,
      engine: 'vllm',
      labels: { zone: 'x' },
      security: { apiKey: 'very-secret', caPem: 'PEM-TEXT' },
      models: [{ id: 'm', parent: null, root: null, maxModelLen: null, loaded: true, raw: {} }],
      blockSize: 16,
      gpuBlocks: 10,
      cacheTokens: null,
      events: { address: 'tcp://*:9', mode: 'bind', replayAddress: null, topic: 'kv@a:1@m' },
    },
    reported: {
      waitingRequests: 1,
      runningRequests: 2,
      kvCacheUsage: 0.5,
      maxAdapters: 0,
      runningAdapters: new Set<string>(),
      waitingAdapters: new Set<string>(),
    },
    inFlight: { requests: 3, uncachedPromptTokens: 40, outputTokens: 0 },
    scrapedAtMs: options.scrapedAtMs ?? Number.NEGATIVE_INFINITY,
    healthy: options.healthy,
    draining: false,
    publisher: 'gapped',
  };
}

function input(states: readonly EndpointState[], draining = false): StatusInput {
  const memory = new SharedArrayBuffer(publisherMemoryBytes(1));
  const counters = new Float64Array(memory);
  counters[publisherField(0, 'gaps')] = 2;
  counters[publisherField(0, 'lastFrameAtMs')] = 4000;
  return {
    history: () => null,
    core: { name: 'portable', reason: 'no addon' },
    version: '1.0.0',
    uptimeMs: 12_345,
    nowMs: 5000,
    draining,
    fleet: { epoch: 4, bySlot: [...states, null] },
    unhealthyReason: () => 'unreachable',
    problems: new Map([['http://b', 'ECONNREFUSED']]),
    models: [
      {
        id: 'm',
        pool: 'm',
        adapter: '',
        tokenizer: '/t',
        proof: 'proven',
        matched: true,
        maxModelLen: null,
      },
    ],
    pools: [{ pool: 'm', blockSize: 16, endpoints: 1 }],
    publishers: new PublisherStats(memory),
    index: {
      epoch: 1,
      blocks: 0,
      blockCapacity: 1,
      sets: 0,
      setCapacity: 1,
      rejected: 0,
      bytes: 1,
    },
    encoder: { workers: 1, workersLost: 0, queued: 0, prefixCacheHits: 0, prefixCacheLookups: 0 },
    eventWorkers: { workers: 2, responsive: 1, lost: 1 },
    requests: { inFlight: 1, slots: 1, bodyBytes: 10 },
  };
}

test('ready only with a healthy endpoint, and not while shutting down', () => {
  const unhealthy = buildReady(input([endpoint({ healthy: false })]));
  assert.equal(unhealthy.status, 503);
  assert.equal(unhealthy.body['reason'], 'no endpoint is healthy');
  const healthy = buildReady(input([endpoint({ healthy: true })]));
  assert.equal(healthy.status, 200);
  assert.deepEqual(healthy.body['endpoints'], { total: 1, healthy: 1 });
  assert.deepEqual(healthy.body['models'], { total: 1, matched: 1 });
  assert.deepEqual(healthy.body['eventWorkers'], { total: 2, responsive: 1 });
  assert.equal(healthy.body['coreReason'], 'no addon');
  const draining = buildReady(input([endpoint({ healthy: true })], true));
  assert.deepEqual([draining.status, draining.body['reason']], [503, 'shutting down']);
});

test('the status of an endpoint shows health, load with age, events, and no secret', () => {
  const status = buildStatus(input([endpoint({ healthy: false, scrapedAtMs: 4250 })]));
  const text = JSON.stringify(status);
  assert.doesNotMatch(text, /secret|PEM-TEXT/);
  const [first] = status['endpoints'] as Record<string, unknown>[];
  assert.equal(first?.['unhealthyReason'], 'unreachable');
  assert.equal(first?.['loadAgeSeconds'], 0.75);
  assert.deepEqual(first?.['inFlight'], { requests: 3, uncachedPromptTokens: 40, outputTokens: 0 });
  const events = first?.['events'] as Record<string, unknown>;
  assert.equal(events['state'], 'gapped');
  assert.equal(events['identity'], 'topic');
  assert.equal(events['gaps'], 2);
  assert.equal(events['lastFrameAgeSeconds'], 1);
  assert.deepEqual(status['fleet'], { epoch: 4, problems: { 'http://b': 'ECONNREFUSED' } });
});

test('figures that were never scraped are null, not zero', () => {
  const status = buildStatus(input([endpoint({ healthy: true })]));
  const [first] = status['endpoints'] as Record<string, unknown>[];
  assert.equal(first?.['load'], null);
  assert.equal(first?.['loadAgeSeconds'], null);
});
