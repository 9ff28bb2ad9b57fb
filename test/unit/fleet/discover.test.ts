import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventSource } from '#contracts/endpoint.js';
import { type ConfiguredAddress, endpointName } from '#fleet/addresses.js';
import { type DiscoveredEngine, discoverEngine } from '#fleet/discover.js';
import {
  type EngineAnswers,
  MemoryEngineClient,
  NO_SECURITY,
  trtllmAnswers,
  vllmAnswers,
  zmqSource,
} from '#test/support/fake-engine.js';

function discover(
  answers: EngineAnswers,
  options: { url?: string; events?: EventSource; assumedEvents?: EventSource } = {},
): Promise<DiscoveredEngine> {
  const url = options.url ?? 'http://10.0.0.5:8000';
  const client = new MemoryEngineClient();
  client.add(url, answers);
  const address: ConfiguredAddress = {
    url,
    id: null,
    labels: {},
    security: NO_SECURITY,
    events: options.events ?? null,
    assumedEvents: options.assumedEvents ?? null,
    cacheTokens: null,
  };
  return discoverEngine(client.watch(url), address, 1000);
}

async function firstSource(endpoint: string, url: string): Promise<EventSource | null> {
  const sources = { '0': zmqSource(endpoint, 'tcp://*:5558', 'kv@x@base') };
  const engine = await discover(vllmAnswers({ sources }), { url });
  return engine.ranks[0]?.events ?? null;
}

test('vLLM ≥ 0.31: wildcard sockets are dialled at the host of the URL', async () => {
  const sources = { '0': zmqSource('tcp://*:5557', 'tcp://*:5558', 'kv@x@base') };
  const engine = await discover(vllmAnswers({ sources, blockSize: 32 }));
  assert.equal(engine.engine, 'vllm');
  assert.equal(engine.version, '0.33.0');
  assert.equal(engine.startTimeSeconds, 1000);
  assert.deepEqual(
    engine.models.map((model) => [model.id, model.root, model.maxModelLen]),
    [['base', '/models/base', 4096]],
  );
  assert.deepEqual(engine.ranks, [
    {
      dpRank: null,
      blockSize: 32,
      gpuBlocks: 100,
      cacheTokens: 99 * 32,
      events: {
        address: 'tcp://10.0.0.5:5557',
        mode: 'dial',
        replayAddress: 'tcp://10.0.0.5:5558',
        topic: 'kv@x@base',
      },
    },
  ]);
});

test('who listens follows from the address the engine names', async () => {
  const cases: readonly (readonly [string, string, string, string])[] = [
    // engine URL, endpoint, mode, our address
    ['http://10.0.0.5:8000', 'tcp://0.0.0.0:5557', 'dial', 'tcp://10.0.0.5:5557'],
    ['http://10.0.0.5:8000', 'tcp://[::]:5557', 'dial', 'tcp://10.0.0.5:5557'],
    ['http://[fd00::5]:8000', 'tcp://*:5557', 'dial', 'tcp://[fd00::5]:5557'],
    ['http://engine-1:8000', 'tcp://*:5557', 'dial', 'tcp://engine-1:5557'],
    ['http://10.0.0.5:8000', 'ipc:///tmp/events', 'dial', 'ipc:///tmp/events'],
    // A resolved `tcp://*:0`: the engine's own address.
    ['http://10.0.0.5:8000', 'tcp://10.0.0.5:43210', 'dial', 'tcp://10.0.0.5:43210'],
    ['http://10.0.0.5:8000', 'tcp://router:5557', 'bind', 'tcp://*:5557'],
    ['http://10.0.0.5:8000', 'tcp://10.0.0.9:5557', 'bind', 'tcp://*:5557'],
    ['http://127.0.0.1:8000', 'tcp://127.0.0.1:15557', 'bind', 'tcp://127.0.0.1:15557'],
    ['http://localhost:8000', 'tcp://localhost:15557', 'bind', 'tcp://127.0.0.1:15557'],
    ['http://[::1]:8000', 'tcp://[::1]:15557', 'bind', 'tcp://[::1]:15557'],
  ];
  for (const [url, endpoint, mode, address] of cases) {
    const source = await firstSource(endpoint, url);
    assert.deepEqual([source?.mode, source?.address], [mode, address], `${url} ${endpoint}`);
  }
  assert.equal(await firstSource('inproc://x', 'http://10.0.0.5:8000'), null);
});

test('every data-parallel rank is found with its own socket', async () => {
  const sources = {
    '1': zmqSource('tcp://*:5558', null),
    '0': zmqSource('tcp://*:5557', null),
  };
  const engine = await discover(vllmAnswers({ ranks: 2, sources }));
  assert.deepEqual(
    engine.ranks.map((rank) => [rank.dpRank, rank.events?.address, rank.events?.topic]),
    [
      [0, 'tcp://10.0.0.5:5557', null],
      [1, 'tcp://10.0.0.5:5558', null],
    ],
  );
});

test('an old vLLM gets its configured sockets, one port further per rank', async () => {
  const events: EventSource = {
    address: 'tcp://10.0.0.5:6000',
    mode: 'dial',
    replayAddress: 'tcp://10.0.0.5:7000',
    topic: null,
  };
  const engine = await discover(vllmAnswers({ ranks: 2 }), { events });
  assert.deepEqual(
    engine.ranks.map((rank) => [rank.dpRank, rank.events?.address, rank.events?.replayAddress]),
    [
      [0, 'tcp://10.0.0.5:6000', 'tcp://10.0.0.5:7000'],
      [1, 'tcp://10.0.0.5:6001', 'tcp://10.0.0.5:7001'],
    ],
  );
});

test('an old vLLM without configured sockets is routed by load, and says so', async () => {
  const engine = await discover(vllmAnswers({}));
  assert.equal(engine.ranks[0]?.events, null);
  assert.match(engine.notes.join(' '), /configure its event and replay sockets/);
});

test('assumed sockets count for engines that do not tell, and only for those', async () => {
  const assumedEvents: EventSource = {
    address: 'tcp://10.0.0.5:5557',
    mode: 'dial',
    replayAddress: 'tcp://10.0.0.5:6557',
    topic: null,
  };
  const old = await discover(vllmAnswers({ ranks: 2 }), { assumedEvents });
  assert.deepEqual(
    old.ranks.map(({ events }) => [events?.address, events?.replayAddress]),
    [
      ['tcp://10.0.0.5:5557', 'tcp://10.0.0.5:6557'],
      ['tcp://10.0.0.5:5558', 'tcp://10.0.0.5:6558'],
    ],
  );
  const sources = { '0': zmqSource('tcp://*:7000', null) };
  const telling = await discover(vllmAnswers({ sources }), { assumedEvents });
  assert.equal(telling.ranks[0]?.events?.address, 'tcp://10.0.0.5:7000');
  assert.equal(telling.ranks[0]?.events?.replayAddress, null);
  const silent = await discover(vllmAnswers({ sources: {} }), { assumedEvents });
  assert.equal(silent.ranks[0]?.events, null);
  const events = { ...assumedEvents, address: 'tcp://10.0.0.9:5557' };
  const configured = await discover(vllmAnswers({}), { events, assumedEvents });
  assert.equal(configured.ranks[0]?.events?.address, 'tcp://10.0.0.9:5557');
});

test('SGLang: event sockets from /server_info, also without /metrics', async () => {
  const engine = await discover({
    '/v1/models': { data: [{ id: 'base', owned_by: 'sglang', root: 'base' }] },
    '/server_info': {
      version: '0.5.23',
      kv_events: {
        publisher: 'zmq',
        endpoint_host: '*',
        endpoint_port_base: 5557,
        replay_endpoint_port_base: 6557,
        topic: '',
        block_size: 64,
        dp_size: 2,
      },
    },
  });
  assert.equal(engine.engine, 'sglang');
  assert.equal(engine.version, '0.5.23');
  assert.deepEqual(
    engine.ranks.map((rank) => [rank.dpRank, rank.blockSize, rank.events]),
    [0, 1].map((rank) => [
      rank,
      64,
      {
        address: `tcp://10.0.0.5:${5557 + rank}`,
        mode: 'dial',
        replayAddress: `tcp://10.0.0.5:${6557 + rank}`,
        topic: null,
      },
    ]),
  );
  assert.match(engine.notes.join(' '), /--enable-metrics/);
});

test('an engine whose events are off has none', async () => {
  const sources = { '0': { enable_kv_cache_events: false, publisher: 'null', endpoint: 'x' } };
  const engine = await discover(vllmAnswers({ sources }));
  assert.equal(engine.ranks[0]?.events, null);
});

test('what is no engine is refused with a reason', async () => {
  await assert.rejects(discover({}), /answered 404, expected 200/);
  await assert.rejects(discover({ '/v1/models': 'hello' }), /is this an engine's URL/);
});

test('hostile answers give no endpoints out of range', async () => {
  const sources = {
    '-1': zmqSource('tcp://*:1', null),
    '99999': zmqSource('tcp://*:1', null),
    __proto__: 'x',
    '0': null,
  };
  const engine = await discover(vllmAnswers({ sources }));
  assert.deepEqual(
    engine.ranks.map((rank) => [rank.dpRank, rank.events]),
    [[null, null]],
  );
});

test('endpoints are named address:port, with the rank where there are several', () => {
  assert.equal(endpointName('http://10.0.0.5:8000', null), '10.0.0.5:8000');
  assert.equal(endpointName('https://engine', 3), 'engine:443|3');
});

test('TensorRT-LLM: its metrics are found beside /metrics, which is JSON there', async () => {
  const on = await discover(trtllmAnswers({ metricsOn: true }));
  assert.deepEqual(
    [on.engine, on.version, on.metricsPath],
    ['trtllm', '1.2.0', '/prometheus/metrics'],
  );
  assert.deepEqual(on.ranks, [
    { dpRank: null, blockSize: 32, gpuBlocks: 100, cacheTokens: 3200, events: null },
  ]);
  const off = await discover(trtllmAnswers({ metricsOn: false }));
  assert.deepEqual([off.engine, off.metricsPath], ['trtllm', '/metrics']);
  assert.match(off.notes.join(' '), /needs `return_perf_metrics: true`/);
});

test('metrics are asked for where they were found, and elsewhere only when they have gone', async () => {
  const client = new MemoryEngineClient();
  const url = 'http://10.0.0.5:8000';
  const engine = client.add(url, trtllmAnswers({ metricsOn: true }));
  const address = { url, id: null, labels: {}, security: NO_SECURITY };
  const unknown = { cacheTokens: null, events: null, assumedEvents: null };
  const again = (): Promise<DiscoveredEngine> =>
    discoverEngine(client.watch(url), { ...address, ...unknown }, 1000, '/prometheus/metrics');
  assert.equal((await again()).metricsPath, '/prometheus/metrics');
  assert.ok(!client.asked.includes(`GET ${url}/metrics`), client.asked.join());
  engine.answers = vllmAnswers({});
  assert.equal((await again()).metricsPath, '/metrics');
});
