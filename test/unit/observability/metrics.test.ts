import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { EndpointState } from '#contracts/endpoint.js';
import { MODEL_LABELS_MAX } from '#contracts/limits.js';
import type { FinishedRequest } from '#contracts/observer.js';
import { publisherField, publisherMemoryBytes } from '#contracts/shared-layout.js';
import { RouterMetrics } from '#observability/metrics.js';
import { METRIC_PREFIX, METRICS, metricsReference } from '#observability/metrics-table.js';
import { PublisherStats } from '#observability/publisher-stats.js';
import { repositoryRoot } from '#test/support/paths.js';

function metrics(): RouterMetrics {
  return new RouterMetrics({
    core: 'portable',
    version: '1.2.3',
    nodeVersion: 'v20',
    processMetrics: false,
  });
}

const FINISHED: FinishedRequest = {
  requestId: 'r',
  route: 'chat-completions',
  model: 'm',
  endpoint: 'a:1',
  status: 200,
  outcome: 'completed',
  errorCode: null,
  stream: true,
  attempts: 1,
  firstByteMs: 120,
  lastByteMs: 900,
  meanInterTokenMs: 12,
  promptTokens: 100,
  predictedCachedTokens: 64,
  reportedPromptTokens: 100,
  reportedCachedTokens: 48,
  reportedCompletionTokens: 20,
};

/** Lines of the exposition that carry samples. */
async function samples(of: RouterMetrics): Promise<readonly string[]> {
  const { body } = await of.expose();
  return body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('the reference page is the table, in both directions', () => {
  const page = readFileSync(path.join(repositoryRoot, 'docs/reference/metrics.md'), 'utf8');
  assert.equal(page, metricsReference(), 'run `npm run generate`');
  const listed = [...page.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]);
  assert.deepEqual(
    listed,
    METRICS.map((metric) => `${METRIC_PREFIX}${metric.name}`),
  );
});

test('names carry unit and kind', () => {
  for (const { name, kind, help } of METRICS) {
    assert.match(name, /^[a-z_]+$/);
    assert.equal(name.endsWith('_total'), kind === 'counter', name);
    if (kind === 'histogram') assert.match(name, /_seconds$/);
    assert.match(help, /\.$/, name);
  }
});

test('one request: counted, timed as a hit, prediction compared', async () => {
  const subject = metrics();
  subject.admitted('chat-completions');
  subject.stage('tokenize', 250);
  subject.finished(FINISHED);
  const lines = await samples(subject);
  for (const expected of [
    'warmpath_requests_total{model="m",route="chat-completions",status="200",outcome="completed"} 1',
    'warmpath_requests_in_flight 0',
    'warmpath_time_to_first_token_seconds_count{model="m",prefix="hit"} 1',
    'warmpath_time_to_first_token_seconds_sum{model="m",prefix="hit"} 0.12',
    'warmpath_inter_token_latency_seconds_sum{model="m"} 0.012',
    'warmpath_cached_prompt_tokens_total{model="m"} 48',
    'warmpath_predicted_cached_tokens_total{endpoint="a:1"} 64',
    'warmpath_reported_cached_tokens_total{endpoint="a:1"} 48',
    'warmpath_predictions_total{endpoint="a:1",result="over"} 1',
    'warmpath_decision_stage_seconds_sum{stage="tokenize"} 0.00025',
    'warmpath_core_info{core="portable"} 1',
    'warmpath_build_info{version="1.2.3",node="v20"} 1',
  ]) {
    assert.ok(lines.includes(expected), `${expected}\n${lines.join('\n')}`);
  }
});

test('misses and unpredicted requests are told apart; refusals have no first token', async () => {
  const subject = metrics();
  subject.finished({ ...FINISHED, predictedCachedTokens: 0 });
  subject.finished({ ...FINISHED, predictedCachedTokens: null });
  subject.finished({ ...FINISHED, status: 404, errorCode: 'model_not_found', model: '' });
  const lines = await samples(subject);
  const counts = lines.filter((line) =>
    line.startsWith('warmpath_time_to_first_token_seconds_count'),
  );
  assert.deepEqual(counts, [
    'warmpath_time_to_first_token_seconds_count{model="m",prefix="miss"} 1',
    'warmpath_time_to_first_token_seconds_count{model="m",prefix="unknown"} 1',
  ]);
  assert.ok(lines.includes('warmpath_errors_total{code="model_not_found",source="client"} 1'));
});

test('model labels are bounded', async () => {
  const subject = metrics();
  for (let count = 0; count < MODEL_LABELS_MAX + 50; count += 1) {
    subject.finished({
      ...FINISHED,
      model: `m${count}`,
      firstByteMs: null,
      meanInterTokenMs: null,
    });
  }
  const lines = await samples(subject);
  const series = lines.filter((line) => line.startsWith('warmpath_requests_total'));
  assert.equal(series.length, MODEL_LABELS_MAX + 1);
  assert.ok(series.some((line) => line.includes('model="other"') && line.endsWith(' 50')));
});

test('figures of other owners are read at every scrape; endpoints that left are gone', async () => {
  const subject = metrics();
  const memory = new SharedArrayBuffer(publisherMemoryBytes(2));
  const counters = new Float64Array(memory);
  counters[publisherField(1, 'framesReceived')] = 7;
  counters[publisherField(1, 'framesMalformed')] = 2;
  const states: (EndpointState | null)[] = [null, endpointState()];
  subject.collectFrom({
    nowMs: () => 3000,
    fleet: () => ({ epoch: 1, bySlot: states }),
    publishers: new PublisherStats(memory),
    history: (slot) => (slot === 1 ? { blocks: 3, capacityBlocks: 9, requests: 1 } : null),
    index: () => ({
      epoch: 1,
      blocks: 5,
      blockCapacity: 10,
      sets: 2,
      setCapacity: 4,
      rejected: 3,
      bytes: 4096,
    }),
    encoder: () => ({
      workers: 2,
      workersLost: 1,
      queued: 0,
      prefixCacheHits: 8,
      prefixCacheLookups: 9,
    }),
    eventWorkers: () => ({ workers: 2, responsive: 1, lost: 0 }),
    store: () => ({ slots: 3, bytes: 300 }),
  });
  await samples(subject);
  const lines = await samples(subject);
  for (const expected of [
    'warmpath_endpoint_healthy{endpoint="a:1"} 1',
    'warmpath_endpoint_metrics_age_seconds{endpoint="a:1"} 2',
    'warmpath_events_received_total{endpoint="a:1"} 7',
    'warmpath_events_dropped_total{endpoint="a:1",reason="malformed"} 2',
    'warmpath_publisher_state{endpoint="a:1",state="live"} 1',
    'warmpath_publisher_state{endpoint="a:1",state="cold"} 0',
    'warmpath_index_blocks 5',
    'warmpath_index_rejected_total 3',
    'warmpath_prefix_cache_hits_total 8',
    'warmpath_prompt_workers_lost_total 1',
    'warmpath_event_workers 1',
  ]) {
    assert.ok(lines.includes(expected), `${expected}\n${lines.join('\n')}`);
  }
  states[1] = null;
  const after = await samples(subject);
  assert.deepEqual(
    after.filter((line) => line.includes('endpoint="a:1"')),
    [],
  );
});

function endpointState(): EndpointState {
  return {
    endpoint: {
      slot: 1,
      name: 'a:1',
      url: 'http://a:1',
      id: null,
      dpRank: null,
      engine: 'vllm',
      labels: {},
      security: { apiKey: 'secret', caPem: null },
      models: [],
      blockSize: 16,
      gpuBlocks: 10,
      cacheTokens: null,
      events: { address: 'tcp://a:2', mode: 'dial', replayAddress: null, topic: null },
    },
    reported: {
      waitingRequests: 1,
      runningRequests: 2,
      kvCacheUsage: 0.5,
      maxAdapters: 0,
      runningAdapters: new Set<string>(),
      waitingAdapters: new Set<string>(),
    },
    inFlight: { requests: 1, uncachedPromptTokens: 10, outputTokens: 0 },
    scrapedAtMs: 1000,
    healthy: true,
    draining: false,
    publisher: 'live',
  };
}
