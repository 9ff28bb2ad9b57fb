import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EndpointDraft, FleetRegistry } from '#fleet/registry.js';
import { NO_SECURITY } from '#test/support/fake-engine.js';

function draft(name: string, url = `http://${name}`): EndpointDraft {
  return {
    name,
    url,
    id: null,
    dpRank: null,
    engine: 'vllm',
    labels: {},
    security: NO_SECURITY,
    models: [],
    blockSize: 16,
    gpuBlocks: 10,
    cacheTokens: null,
    events: null,
  };
}

function registry(capacity = 4): FleetRegistry {
  return new FleetRegistry({ capacity, onReport: () => {} });
}

test('load is given back once, to the instance it was taken from', () => {
  const fleet = registry(1);
  fleet.replaceAddress('http://a', [draft('a')]);
  const old = fleet.acquire(0, { uncachedPromptTokens: 100, outputTokens: 0 });
  const oldLoad = fleet.state(0)?.inFlight;
  fleet.replaceAddress('http://a', []);
  fleet.replaceAddress('http://a', [draft('a')]);
  const fresh = fleet.acquire(0, { uncachedPromptTokens: 30, outputTokens: 0 });
  assert.deepEqual(fleet.state(0)?.inFlight, {
    requests: 1,
    uncachedPromptTokens: 30,
    outputTokens: 0,
  });
  old.release();
  old.release();
  assert.deepEqual(fleet.state(0)?.inFlight, {
    requests: 1,
    uncachedPromptTokens: 30,
    outputTokens: 0,
  });
  assert.deepEqual(oldLoad, { requests: 0, uncachedPromptTokens: 0, outputTokens: 0 });
  fresh.releasePromptTokens();
  assert.deepEqual(fleet.state(0)?.inFlight, {
    requests: 1,
    uncachedPromptTokens: 0,
    outputTokens: 0,
  });
  fresh.release();
  assert.deepEqual(fleet.state(0)?.inFlight, {
    requests: 0,
    uncachedPromptTokens: 0,
    outputTokens: 0,
  });
});

test('an endpoint whose description changed keeps slot, load and health', () => {
  const fleet = registry();
  fleet.replaceAddress('http://a', [draft('a')]);
  const before = fleet.state(0);
  assert.ok(before !== null);
  before.healthy = true;
  const token = fleet.acquire(0, { uncachedPromptTokens: 10, outputTokens: 0 });
  const epoch = fleet.snapshot().epoch;
  fleet.replaceAddress('http://a', [{ ...draft('a'), blockSize: 32 }]);
  const after = fleet.state(0);
  assert.equal(after?.endpoint.blockSize, 32);
  assert.equal(after?.healthy, true);
  assert.equal(after?.inFlight.requests, 1);
  assert.equal(fleet.snapshot().epoch, epoch + 1);
  token.release();
  assert.equal(after?.inFlight.requests, 0);
});

test('an unchanged address makes no new epoch, whatever an engine stamps on its entries', () => {
  const fleet = registry();
  const model = { id: 'm', parent: null, root: null, maxModelLen: null, loaded: true };
  fleet.replaceAddress('http://a', [
    { ...draft('a'), models: [{ ...model, raw: { id: 'm', created: 1 } }] },
  ]);
  const snapshot = fleet.snapshot();
  const change = fleet.replaceAddress('http://a', [
    { ...draft('a'), models: [{ ...model, raw: { id: 'm', created: 2 } }] },
  ]);
  assert.equal(change, null);
  assert.equal(fleet.snapshot(), snapshot);
});

test('an old snapshot does not change when membership does', () => {
  const fleet = registry();
  fleet.replaceAddress('http://a', [draft('a')]);
  const old = fleet.snapshot();
  fleet.replaceAddress('http://a', []);
  assert.equal(old.bySlot[0]?.endpoint.name, 'a');
  assert.equal(fleet.snapshot().bySlot[0], null);
  assert.equal(fleet.snapshot().bySlot.length, 4);
});

test('freed slots are used last, and a full fleet refuses', () => {
  const fleet = registry(2);
  fleet.replaceAddress('http://a', [draft('a')]);
  fleet.replaceAddress('http://a', []);
  fleet.replaceAddress('http://b', [draft('b')]);
  assert.equal(fleet.state(1)?.endpoint.name, 'b');
  const change = fleet.replaceAddress('http://c', [
    draft('c|0', 'http://c'),
    draft('c|1', 'http://c'),
  ]);
  assert.deepEqual(change, { added: [0], removed: [], refused: ['c|1'] });
});

test('in a full fleet an address may become its ranks, as many as slots are left', () => {
  const fleet = registry(3);
  fleet.replaceAddress('http://a', [draft('a')]);
  fleet.replaceAddress('http://b', [draft('b', 'http://b')]);
  const ranks = [0, 1].map((dpRank) => ({ ...draft(`b|${dpRank}`, 'http://b'), dpRank }));
  const change = fleet.replaceAddress('http://b', ranks);
  assert.deepEqual(change, { added: [2, 1], removed: [1], refused: [] });
  assert.deepEqual(
    fleet.states().map(({ endpoint }) => endpoint.name),
    ['a', 'b|1', 'b|0'],
  );
});

test('a decision about a free slot is a bug; a late report about one is not', () => {
  const reports: string[] = [];
  const fleet = new FleetRegistry({
    capacity: 1,
    onReport: (slot, outcome) => reports.push(`${slot} ${outcome}`),
  });
  assert.throws(
    () => fleet.acquire(0, { uncachedPromptTokens: 1, outputTokens: 0 }),
    /slot 0 is an endpoint/,
  );
  fleet.report(0, 'unreachable');
  fleet.report(99, 'unreachable');
  assert.deepEqual(reports, []);
});

test('scraped load goes to its rank, or is summed up for a single one', () => {
  const fleet = registry();
  const figures = { kvCacheUsage: 0.5, blockSize: 16, gpuBlocks: 10, cacheTokens: 160 };
  const metrics = {
    engine: 'vllm',
    startTimeSeconds: null,
    adapters: { most: 4, running: new Set(['a']), waiting: new Set(['b']) },
    ranks: [
      { rank: 0, waitingRequests: 1, runningRequests: 2, ...figures },
      { rank: 1, waitingRequests: 3, runningRequests: 4, ...figures, kvCacheUsage: 0.9 },
    ],
  } as const;
  fleet.replaceAddress('http://a', [
    { ...draft('a|0', 'http://a'), dpRank: 0 },
    { ...draft('a|1', 'http://a'), dpRank: 1 },
  ]);
  fleet.replaceAddress('http://b', [draft('b')]);
  fleet.recordLoad('http://a', metrics, 50);
  fleet.recordLoad('http://b', metrics, 60);
  const adapters = {
    maxAdapters: 4,
    runningAdapters: new Set(['a']),
    waitingAdapters: new Set(['b']),
  };
  const reported = fleet.states().map((state) => [state.reported, state.scrapedAtMs]);
  assert.deepEqual(reported, [
    [{ waitingRequests: 1, runningRequests: 2, kvCacheUsage: 0.5, ...adapters }, 50],
    [{ waitingRequests: 3, runningRequests: 4, kvCacheUsage: 0.9, ...adapters }, 50],
    [{ waitingRequests: 4, runningRequests: 6, kvCacheUsage: 0.9, ...adapters }, 60],
  ]);
});
