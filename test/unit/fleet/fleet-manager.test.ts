import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventSource } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import { seededRandom } from '#contracts/random.js';
import type { HistoryPlan } from '#contracts/routing-history.js';
import type { ConfiguredAddress } from '#fleet/addresses.js';
import { FleetManager } from '#fleet/fleet-manager.js';
import { FLEET_TIMINGS, type FleetTimings } from '#fleet/monitor.js';
import {
  type FakeEngine,
  MemoryEngineClient,
  NO_SECURITY,
  trtllmAnswers,
  vllmAnswers,
  zmqSource,
} from '#test/support/fake-engine.js';
import { VirtualClock } from '#test/support/time.js';

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const SOURCES = { '0': zmqSource('tcp://*:5557', 'tcp://*:5558', 'kv') };

class Rig {
  readonly clock = new VirtualClock();
  readonly client = new MemoryEngineClient();
  readonly told: string[] = [];
  readonly manager: FleetManager;
  plans: ReadonlyMap<number, HistoryPlan> = new Map();

  constructor(timings: FleetTimings = FLEET_TIMINGS, keepsHistories = false) {
    this.manager = new FleetManager({
      capacity: 16,
      watcher: this.client,
      clock: this.clock,
      random: seededRandom(1),
      logger: SILENT,
      timings,
      keepsHistories,
      configuredBlockSize: () => null,
      configuredCacheTokens: (model) => (model === 'offloading' ? 64_000 : null),
      adapters: { law: { parent: 'base', labels: { lora: 'yes' } } },
      listener: {
        membershipChanged: (snapshot) => this.told.push(`members ${snapshot.epoch}`),
        modelsChanged: (models, sizes) =>
          this.told.push(
            `models ${models.map((m) => `${m.id}@${m.slots.join('+')}`).join()} ${[...sizes].join()}`,
          ),
        publisherGone: (slot) => this.told.push(`gone ${slot}`),
        publisherFound: (found) =>
          this.told.push(`found ${found.slot} ${found.source.address} ${found.blockSize}`),
        historiesChanged: (plans) => {
          this.plans = plans;
        },
        blockSizeChanged: (pool, size) => this.told.push(`size ${pool} ${size}`),
        healthChanged: () => {},
        engineRestarted: (slot) => this.told.push(`restarted ${slot}`),
      },
    });
  }

  engines(count: number, options: Parameters<typeof vllmAnswers>[0] = {}): FakeEngine[] {
    const urls = Array.from({ length: count }, (_, index) => `http://10.0.0.${index + 1}:8000`);
    const engines = urls.map((url) => this.client.add(url, vllmAnswers(options)));
    this.manager.setAddresses(urls.map((url) => address(url)));
    return engines;
  }

  /** Lets virtual time pass in small steps, so that answers arrive between timers. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      this.clock.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  healthy(): readonly number[] {
    return this.manager.registry
      .states()
      .filter((state) => state.healthy)
      .map((state) => state.endpoint.slot);
  }
}

function address(url: string): ConfiguredAddress {
  const unknown = { cacheTokens: null, events: null, assumedEvents: null };
  return { url, id: null, labels: {}, security: NO_SECURITY, ...unknown };
}

test('an address becomes a healthy endpoint with models, load and a publisher', async () => {
  const rig = new Rig();
  rig.engines(1, { sources: SOURCES, running: 3 });
  assert.deepEqual(rig.healthy(), [], 'nothing is sent to an engine that has not answered');
  await rig.pass(1500);
  assert.deepEqual(rig.healthy(), [0]);
  const state = rig.manager.registry.state(0);
  assert.equal(state?.endpoint.name, '10.0.0.1:8000');
  assert.equal(state?.reported.runningRequests, 3);
  assert.ok(state !== null && rig.clock.nowMs() - state.scrapedAtMs <= 1200);
  assert.deepEqual(rig.told, [
    'members 1',
    'members 2',
    'models base@0 base,16',
    'size base 16',
    'found 0 tcp://10.0.0.1:5557 16',
  ]);
  assert.deepEqual(rig.manager.pools(), [{ pool: 'base', blockSize: 16, endpoints: 1 }]);
  rig.manager.stop();
});

test('an engine that starts later is found by itself', async () => {
  const rig = new Rig();
  const [engine] = rig.engines(1);
  assert.ok(engine !== undefined);
  engine.fault = 'refused';
  await rig.pass(5000);
  assert.deepEqual(rig.healthy(), []);
  assert.equal(rig.manager.problems().size, 1);
  engine.fault = null;
  await rig.pass(2500);
  assert.deepEqual(rig.healthy(), [0]);
  assert.equal(rig.manager.problems().size, 0);
  rig.manager.stop();
});

test('data-parallel ranks become endpoints of their own', async () => {
  const rig = new Rig();
  const sources = { '0': zmqSource('tcp://*:5557', null), '1': zmqSource('tcp://*:5558', null) };
  rig.engines(1, { ranks: 2, sources });
  await rig.pass(1500);
  const states = rig.manager.registry.states();
  assert.deepEqual(
    states.map((state) => [state.endpoint.name, state.healthy, state.reported.runningRequests]),
    [
      ['10.0.0.1:8000|0', true, 0],
      ['10.0.0.1:8000|1', true, 1],
    ],
  );
  rig.manager.stop();
});

test('an unreachable endpoint is left out at once and comes back by its probes', async () => {
  const rig = new Rig();
  const [first] = rig.engines(2);
  assert.ok(first !== undefined);
  await rig.pass(1500);
  first.fault = 'refused';
  rig.manager.registry.report(0, 'unreachable');
  assert.deepEqual(rig.healthy(), [1]);
  await rig.pass(3000);
  assert.deepEqual(rig.healthy(), [1]);
  first.fault = null;
  await rig.pass(2000);
  assert.deepEqual(rig.healthy(), [0, 1]);
  rig.manager.stop();
});

test('a dead idle endpoint is noticed within two probe intervals', async () => {
  const rig = new Rig();
  const [first] = rig.engines(2);
  assert.ok(first !== undefined);
  await rig.pass(1500);
  first.fault = 'refused';
  await rig.pass(2 * FLEET_TIMINGS.probeIntervalMs);
  assert.deepEqual(rig.healthy(), [1]);
  rig.manager.stop();
});

test('a connection that closes calls for probes at once, but not again and again', async () => {
  const rig = new Rig({ ...FLEET_TIMINGS, probeIntervalMs: 60_000, scrapeIntervalMs: 60_000 });
  const [first] = rig.engines(2);
  assert.ok(first !== undefined);
  await rig.pass(1500);
  const [url] = [...rig.client.engines.keys()];
  const probes = (): number =>
    rig.client.asked.filter((entry) => entry === `GET ${url}/health`).length;
  const before = probes();
  for (let times = 0; times < 20; times += 1) {
    rig.client.loseConnection(url ?? '');
    await rig.pass(50);
  }
  assert.ok(probes() <= before + 6, `${probes() - before} probes in a second`);
  assert.deepEqual(rig.healthy(), [0, 1]);
  first.fault = 'refused';
  await rig.pass(60_000);
  rig.client.loseConnection(url ?? '');
  await rig.pass(3 * FLEET_TIMINGS.probeFastMs);
  assert.deepEqual(rig.healthy(), [1]);
  rig.manager.stop();
});

test('whenever it dies, a killed engine is not healthy from half a second on', async () => {
  for (let phaseMs = 0; phaseMs < 2 * FLEET_TIMINGS.probeIntervalMs; phaseMs += 130) {
    const rig = new Rig();
    const [first] = rig.engines(2);
    assert.ok(first !== undefined);
    const [url] = [...rig.client.engines.keys()];
    await rig.pass(1500 + phaseMs);
    first.fault = 'refused';
    rig.client.loseConnection(url ?? '');
    await rig.pass(500);
    assert.deepEqual(rig.healthy(), [1], `killed ${phaseMs} ms into the probes`);
    rig.manager.stop();
  }
});

test('a scrape that finds nobody calls for a probe at once', async () => {
  const rig = new Rig({ ...FLEET_TIMINGS, probeIntervalMs: 60_000 });
  const [first] = rig.engines(2);
  assert.ok(first !== undefined);
  await rig.pass(1500);
  first.fault = 'refused';
  await rig.pass(1500);
  assert.deepEqual(rig.healthy(), [1]);
  rig.manager.stop();
});

test('one lost probe is noise', async () => {
  const rig = new Rig();
  const [first] = rig.engines(1);
  assert.ok(first !== undefined);
  await rig.pass(1500);
  for (let times = 0; times < 50; times += 1) {
    const before = rig.client.asked.filter((entry) => entry.endsWith('/health')).length;
    first.failing = ['/health'];
    while (rig.client.asked.filter((entry) => entry.endsWith('/health')).length === before) {
      await rig.pass(10);
    }
    first.failing = [];
    assert.deepEqual(rig.healthy(), [0]);
    await rig.pass(300);
  }
  rig.manager.stop();
});

test('all dead: none is healthy; the first to return is used within two seconds', async () => {
  const rig = new Rig();
  const engines = rig.engines(4);
  await rig.pass(1500);
  for (const engine of engines) engine.fault = 'refused';
  await rig.pass(60_000);
  assert.deepEqual(rig.healthy(), []);
  const [first] = engines;
  assert.ok(first !== undefined);
  first.fault = null;
  await rig.pass(2000);
  assert.deepEqual(rig.healthy(), [0]);
  rig.manager.stop();
});

test('busy and answered requests never eject; timeouts do, but never most of a pool', async () => {
  const rig = new Rig();
  rig.engines(8);
  await rig.pass(1500);
  const { registry } = rig.manager;
  for (let count = 0; count < 500; count += 1) registry.report(count % 8, 'busy');
  assert.equal(rig.healthy().length, 8);
  const timeOut = (slot: number): void => {
    for (let count = 0; count < 3; count += 1) registry.report(slot, 'timed-out');
  };
  for (const slot of [0, 1, 2, 3]) timeOut(slot);
  assert.deepEqual(rig.healthy(), [4, 5, 6, 7]);
  for (const slot of [4, 5]) timeOut(slot);
  assert.equal(rig.healthy().length, 8, 'a common cause: traffic is tried on all');
  await rig.pass(1500);
  assert.equal(rig.healthy().length, 8, 'ejections end');
  rig.manager.stop();
});

test('a flapping endpoint is held back most of the time', async () => {
  const rig = new Rig();
  const [first] = rig.engines(4);
  assert.ok(first !== undefined);
  await rig.pass(1500);
  let healthyMs = 0;
  const totalMs = 100_000;
  for (let passed = 0; passed < totalMs; passed += 50) {
    first.fault = passed % 4000 < 2000 ? 'refused' : null;
    if (first.fault === 'refused' && rig.healthy().includes(0)) {
      rig.manager.registry.report(0, 'unreachable');
    }
    await rig.pass(50);
    if (rig.healthy().includes(0)) healthyMs += 50;
  }
  assert.ok(healthyMs <= totalMs * 0.2, `healthy for ${healthyMs} of ${totalMs} ms`);
  rig.manager.stop();
});

test('a restarted engine is reported once, whatever it serves now', async () => {
  const rig = new Rig();
  const [engine] = rig.engines(1, { sources: SOURCES });
  assert.ok(engine !== undefined);
  await rig.pass(1500);
  engine.answers = vllmAnswers({ sources: SOURCES, startTime: 2000, model: 'other' });
  rig.told.length = 0;
  await rig.pass(2500);
  assert.deepEqual(
    rig.told.filter((entry) => entry.startsWith('restarted')),
    ['restarted 0'],
  );
  assert.ok(rig.told.includes('models base@,other@0 other,16'), rig.told.join('; '));
  assert.ok(rig.told.includes('gone 0'), 'its publisher belongs to another pool now');
  rig.manager.stop();
});

test('adapters that come and go are seen without a restart', async () => {
  const rig = new Rig();
  const [engine] = rig.engines(1);
  assert.ok(engine !== undefined);
  await rig.pass(1500);
  const list = engine.answers['/v1/models'] as { data: unknown[] };
  engine.answers['/v1/models'] = {
    data: [...list.data, { id: 'sql', parent: 'base', root: '/lora/sql' }],
  };
  rig.told.length = 0;
  await rig.pass(20_000);
  assert.deepEqual(rig.told, ['members 3', 'models base@0,sql@0 ']);
  assert.match(rig.manager.modelList(), /"sql"/);
  rig.manager.stop();
});

test('an adapter that can be loaded is served, and listed by its engine once it runs', async () => {
  const rig = new Rig();
  const url = 'http://10.0.0.1:8000';
  const engine = rig.client.add(url, vllmAnswers({}));
  rig.manager.setAddresses([{ ...address(url), labels: { lora: 'yes' } }]);
  await rig.pass(1500);
  const law = (): boolean | undefined =>
    rig.manager.registry.state(0)?.endpoint.models.find(({ id }) => id === 'law')?.loaded;
  assert.equal(law(), false);
  assert.ok(
    rig.told.includes('models base@0,law@0 base,16') || rig.told.includes('models base@0,law@0 '),
  );
  assert.match(rig.manager.modelList(), /"id":"law".*"parent":"base"/);
  const { data } = engine.answers['/v1/models'] as { data: unknown[] };
  engine.answers['/v1/models'] = {
    data: [...data, { id: 'law', parent: 'base', root: '/adapters/law' }],
  };
  const running = 'vllm:lora_requests_info{max_lora="1",running_lora_adapters="law"} 5';
  engine.answers['/metrics'] = `${String(engine.answers['/metrics'])}${running}\n`;
  // Far sooner than engines are asked anew.
  await rig.pass(3000);
  assert.equal(law(), true);
  assert.match(rig.manager.modelList(), /"root":"\/adapters\/law"/);
  rig.manager.stop();
});

test("block sizes told by events beat /metrics and change the pool's", async () => {
  const rig = new Rig();
  rig.engines(2, { sources: SOURCES, blockSize: 64 });
  await rig.pass(1500);
  rig.told.length = 0;
  rig.manager.reportBlockSize(1, 32);
  assert.deepEqual(
    rig.told.filter((entry) => !entry.startsWith('members')),
    ['models base@0+1 base,32', 'size base 32'],
  );
  rig.manager.reportBlockSize(1, 32);
  rig.manager.reportBlockSize(9, 16);
  assert.equal(rig.told.length, 3, 'nothing new is told twice');
  rig.manager.stop();
});

test('events that are assumed elsewhere move the publisher, and leave engines that tell alone', async () => {
  const rig = new Rig();
  const at = (port: number): EventSource => ({
    address: `tcp://10.0.0.1:${port}`,
    mode: 'dial',
    replayAddress: null,
    topic: null,
  });
  const assumed = (url: string, port: number) => ({ ...address(url), assumedEvents: at(port) });
  rig.client.add('http://10.0.0.1:8001', vllmAnswers({}));
  rig.client.add('http://10.0.0.2:8001', vllmAnswers({ sources: SOURCES }));
  rig.manager.setAddresses([
    assumed('http://10.0.0.1:8001', 5557),
    assumed('http://10.0.0.2:8001', 5557),
  ]);
  await rig.pass(1500);
  rig.told.length = 0;
  rig.manager.setAddresses([
    assumed('http://10.0.0.1:8001', 5558),
    assumed('http://10.0.0.2:8001', 5558),
  ]);
  await rig.pass(1500);
  assert.deepEqual(
    rig.told.filter((line) => !line.startsWith('members')),
    ['gone 0', 'found 0 tcp://10.0.0.1:5558 16'],
  );
  rig.manager.stop();
});

test('a dropped address leaves nothing behind and is asked nothing more', async () => {
  const rig = new Rig();
  rig.engines(2, { sources: SOURCES });
  await rig.pass(1500);
  rig.told.length = 0;
  rig.manager.setAddresses([address('http://10.0.0.2:8000')]);
  assert.deepEqual(rig.told, ['members 5', 'models base@1 base,16', 'gone 0']);
  rig.client.asked.length = 0;
  await rig.pass(5000);
  assert.ok(rig.client.asked.length > 0);
  assert.deepEqual(
    rig.client.asked.filter((entry) => entry.includes('10.0.0.1')),
    [],
  );
  rig.manager.stop();
  rig.client.asked.length = 0;
  await rig.pass(5000);
  assert.deepEqual(rig.client.asked, [], 'stopped');
});

test('a route that fails for a while takes no known rank away', async () => {
  const rig = new Rig();
  const sources = { '0': zmqSource('tcp://*:5557', null), '1': zmqSource('tcp://*:5558', null) };
  const [engine] = rig.engines(1, { ranks: 2, sources });
  assert.ok(engine !== undefined);
  await rig.pass(1500);
  engine.failing = ['/metrics', '/kv_event_sources'];
  rig.told.length = 0;
  await rig.pass(20_000);
  assert.deepEqual(rig.told, []);
  assert.equal(rig.manager.registry.states().length, 2);
  assert.match([...rig.manager.problems().values()].join(), /answered 5xx to \/kv_event_sources/);
  engine.failing = [];
  await rig.pass(5000);
  assert.equal(rig.manager.problems().size, 0);
  rig.manager.stop();
});

test('an engine without events has a history of its own size until events appear', async () => {
  const rig = new Rig(FLEET_TIMINGS, true);
  const [engine] = rig.engines(1);
  assert.ok(engine !== undefined);
  await rig.pass(1500);
  const plan = {
    endpoint: '10.0.0.1:8000',
    capacityBlocks: 99,
    blockSize: 16,
    alignmentBlocks: 1,
  };
  assert.deepEqual([...rig.plans], [[0, plan]]);
  assert.equal(rig.manager.registry.state(0)?.publisher, 'history');
  // Nobody else tells the pool's block size.
  assert.deepEqual(rig.manager.pools(), [{ pool: 'base', blockSize: 16, endpoints: 1 }]);
  engine.answers = vllmAnswers({ startTime: 2000 });
  await rig.pass(1500);
  assert.equal(rig.told.at(-1), 'restarted 0');
  engine.answers = vllmAnswers({ startTime: 3000, sources: SOURCES });
  await rig.pass(3000);
  assert.deepEqual([...rig.plans], []);
  assert.equal(rig.manager.registry.state(0)?.publisher, 'cold');
  rig.manager.stop();
});

test('an outage ends the history of an engine that does not tell when it began', async () => {
  for (const [tells, expected] of [
    [true, 0],
    [false, 1],
  ] as const) {
    const rig = new Rig(FLEET_TIMINGS, true);
    const [engine] = rig.engines(1);
    assert.ok(engine !== undefined);
    const metrics = String(engine.answers['/metrics']);
    const silent = metrics.replace(/^process_start_time_seconds.*$/m, '');
    if (!tells) engine.answers = { ...engine.answers, '/metrics': silent };
    await rig.pass(1500);
    assert.equal(rig.plans.size, 1);
    engine.fault = 'refused';
    await rig.pass(3000);
    assert.deepEqual(rig.healthy(), []);
    engine.fault = null;
    await rig.pass(3000);
    assert.deepEqual(rig.healthy(), [0]);
    const restarts = rig.told.filter((line) => line === 'restarted 0').length;
    assert.equal(restarts, expected, `tells: ${tells}`);
    rig.manager.stop();
  }
});

test('what is said of an endpoint’s cache beats what is said of its model, and that the engine', async () => {
  const rig = new Rig(FLEET_TIMINGS, true);
  const model = 'offloading';
  const url = (host: number): string => `http://10.0.0.${host}:8000`;
  rig.client.add(url(1), vllmAnswers({}));
  rig.client.add(url(2), vllmAnswers({ model }));
  rig.client.add(url(3), vllmAnswers({ model, ranks: 2 }));
  rig.client.add(url(4), vllmAnswers({ model }));
  rig.manager.setAddresses([
    address(url(1)),
    address(url(2)),
    { ...address(url(3)), cacheTokens: 8000, id: 'default/three' },
    { ...address(url(4)), cacheTokens: 0 },
  ]);
  await rig.pass(1500);
  const blocks = [...rig.plans.values()].map((plan) => [plan.endpoint, plan.capacityBlocks]);
  assert.deepEqual(Object.fromEntries(blocks), {
    '10.0.0.1:8000': 99,
    '10.0.0.2:8000': 4000,
    '10.0.0.3:8000|0': 500,
    '10.0.0.3:8000|1': 500,
  });
  const ids = rig.manager.registry.states().map((state) => state.endpoint.id);
  assert.deepEqual(ids.toSorted(), ['default/three|0', 'default/three|1', null, null, null]);
  rig.manager.stop();
});

test('TensorRT-LLM is scraped where its metrics are, and has a history of its size', async () => {
  const rig = new Rig(FLEET_TIMINGS, true);
  const url = 'http://10.0.0.1:8000';
  rig.client.add(url, trtllmAnswers({ metricsOn: true }));
  rig.manager.setAddresses([address(url)]);
  await rig.pass(3000);
  const state = rig.manager.registry.state(0);
  assert.deepEqual([state?.reported.waitingRequests, state?.reported.runningRequests], [1, 3]);
  assert.deepEqual(
    [...rig.plans.values()],
    [{ endpoint: '10.0.0.1:8000', capacityBlocks: 100, blockSize: 32, alignmentBlocks: 1 }],
  );
  // The JSON is given out once: after the first look it is left to others.
  const asked = rig.client.asked.filter((line) => line === `GET ${url}/metrics`).length;
  assert.ok(asked <= 2, `${asked} times`);
  rig.manager.stop();
});
