// The simulated engine's event side over real ZeroMQ sockets: frames, replay, restart, reset,
// data-parallel ranks, connect mode and every event fault.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineServer } from '#simulation/engine-server.js';
import type { EngineSimOptions } from '#simulation/sim-options.js';
import {
  post,
  replayFrom,
  type SeenBatch,
  startFastSims,
  subscribe,
} from '#test/support/engine-sims.js';
import { openSocketCount } from '#wire/zmq.js';

async function withEngine(
  options: Omit<Partial<EngineSimOptions>, 'clock'>,
  use: (engine: EngineServer) => Promise<void>,
): Promise<void> {
  const fleet = await startFastSims({ modelId: 'tiny', ...options });
  const [engine] = fleet.engines;
  assert.ok(engine !== undefined);
  try {
    await use(engine);
  } finally {
    await fleet.stop();
  }
}

/** One prompt of `tokens` ids that no other call shares a prefix with. */
let prompts = 0;
async function generate(engine: EngineServer, tokens = 32, rank?: number): Promise<number[]> {
  prompts += 1;
  const prompt = Array.from({ length: tokens }, (_, i) => 1000 + prompts * 500 + i);
  const headers = rank === undefined ? {} : { 'x-data-parallel-rank': String(rank) };
  const body = { prompt, max_tokens: 1 };
  const { status } = await post(`${engine.url}/v1/completions`, body, headers);
  assert.equal(status, 200);
  return prompt;
}

/**
 * Generates until a message arrives: a publisher drops what it sends before it has heard of the
 * subscription. Afterwards nothing is missed and nothing is left unread.
 */
async function prime(engine: EngineServer, next: () => Promise<SeenBatch>): Promise<bigint> {
  const first = next();
  let last: SeenBatch | null = null;
  while (last === null) {
    await generate(engine);
    for (let turn = 0; turn < 20 && last === null; turn++) {
      const pause = new Promise<null>((resolve) => setImmediate(() => resolve(null)));
      last = await Promise.race([first, pause]);
    }
  }
  while (last.seq + 1n < engine.stats().nextSeq) last = await next();
  return engine.stats().nextSeq;
}

function addresses(engine: EngineServer, rank = 0): { address: string; replayAddress: string } {
  const found = engine.eventAddresses[rank];
  assert.ok(found !== undefined);
  return found;
}

test('events arrive in three frames with topic, number and batch; replay repeats them', async () => {
  await withEngine({}, async (engine) => {
    const { socket, next, connected } = await subscribe(addresses(engine).address);
    await connected;
    const base = await prime(engine, next);
    const prompt = await generate(engine);
    await generate(engine);
    const first = await next();
    const second = await next();
    socket.close();
    assert.equal(first.topic, `kv@${engine.name}@tiny`);
    assert.deepEqual([first.seq, second.seq], [base, base + 1n]);
    const [timestamp, events, rank] = first.batch as [number, Record<string, unknown>[], number];
    assert.ok(Math.abs(timestamp - Date.now() / 1000) < 60);
    assert.equal(rank, 0);
    assert.deepEqual(Object.keys(events[0] ?? {}), [
      'type',
      'block_hashes',
      'parent_block_hash',
      'token_ids',
      'block_size',
      'lora_id',
      'medium',
      'lora_name',
      'extra_keys',
      'group_idx',
      'kv_cache_spec_kind',
    ]);
    assert.deepEqual(events[0]?.['token_ids'], prompt);
    assert.equal(engine.lookup([...prompt, 1]), 32);
    const { replayAddress } = addresses(engine);
    assert.equal((await replayFrom(replayAddress, 0n)).length, Number(base) + 2);
    assert.deepEqual(await replayFrom(replayAddress, base), [first, second]);
    assert.deepEqual(await replayFrom(replayAddress, base + 1n), [second]);
    assert.deepEqual(await replayFrom(replayAddress, base + 2n), []);
  });
});

test('array encoding: positional events, byte hashes, replay without a topic frame', async () => {
  await withEngine({ encoding: 'array', hashForm: 'bytes' }, async (engine) => {
    await generate(engine);
    const [batch] = await replayFrom(addresses(engine).replayAddress, 0n);
    assert.equal(batch?.topic, '');
    const [, events] = (batch?.batch ?? []) as [number, unknown[][]];
    assert.equal(events[0]?.length, 12);
    assert.equal(events[0]?.[0], 'BlockStored');
    const [hash] = (events[0]?.[1] ?? []) as Uint8Array[];
    assert.equal(hash?.length, 32);
  });
});

test('a restart empties the cache and counts from 0 at the same addresses', async () => {
  await withEngine({}, async (engine) => {
    const before = { ...addresses(engine), url: engine.url };
    const prompt = await generate(engine);
    await engine.restart();
    assert.deepEqual({ ...addresses(engine), url: engine.url }, before);
    assert.equal(engine.lookup([...prompt, 1]), 0);
    assert.deepEqual(await replayFrom(before.replayAddress, 0n), []);
    await generate(engine);
    const [batch] = await replayFrom(before.replayAddress, 0n);
    assert.equal(batch?.seq, 0n);
  });
});

test('kill closes every port and socket; a restart brings the engine back', async () => {
  const socketsBefore = openSocketCount();
  await withEngine({}, async (engine) => {
    await post(`${engine.url}/admin/faults`, { kill: true });
    while (openSocketCount() > socketsBefore) await new Promise((next) => setImmediate(next));
    await assert.rejects(fetch(`${engine.url}/health`));
    await engine.restart();
    assert.equal((await fetch(`${engine.url}/health`)).status, 200);
    await generate(engine);
  });
  assert.equal(openSocketCount(), socketsBefore);
});

test('a reset is published with the next step', async () => {
  await withEngine({}, async (engine) => {
    const prompt = await generate(engine);
    const { body } = await post(`${engine.url}/reset_prefix_cache`, {});
    assert.deepEqual(body, { success: true });
    assert.equal(engine.lookup([...prompt, 1]), 0);
    assert.equal((await replayFrom(addresses(engine).replayAddress, 0n)).length, 1);
    await generate(engine);
    const [, second] = await replayFrom(addresses(engine).replayAddress, 0n);
    const events = second?.batch[1] as { type: string }[];
    assert.deepEqual(
      events.map(({ type }) => type),
      ['AllBlocksCleared', 'BlockStored'],
    );
  });
});

test('data-parallel ranks have caches, numbers and sockets of their own', async () => {
  await withEngine({ dataParallelRanks: 2 }, async (engine) => {
    const prompt = await generate(engine, 32, 1);
    assert.equal(engine.lookup([...prompt, 1], { rank: 0 }), 0);
    assert.equal(engine.lookup([...prompt, 1], { rank: 1 }), 32);
    assert.deepEqual(await replayFrom(addresses(engine, 0).replayAddress, 0n), []);
    const [batch] = await replayFrom(addresses(engine, 1).replayAddress, 0n);
    assert.equal(batch?.batch[2], 1);
    const sources = await (await fetch(`${engine.url}/kv_event_sources`)).json();
    assert.deepEqual(Object.keys(sources as object), ['0', '1']);
    // A wildcard says that the engine binds, whatever interface it listens on.
    assert.equal(
      (sources as Record<string, { endpoint: string }>)['1']?.endpoint,
      addresses(engine, 1).address.replace('127.0.0.1', '*'),
    );
  });
});

test('connect mode publishes to a subscriber that listens', async () => {
  const { socket, next, connected } = await subscribe('tcp://127.0.0.1:0', 'bind');
  await withEngine({ eventConnect: socket.address }, async (engine) => {
    await connected;
    await prime(engine, next);
    await generate(engine);
    assert.equal((await next()).topic, `kv@${engine.name}@tiny`);
  });
  socket.close();
});

test('faults drop, repeat and delay messages; numbers advance and replay has them', async () => {
  await withEngine({}, async (engine) => {
    const { socket, next, connected } = await subscribe(addresses(engine).address);
    await connected;
    const base = await prime(engine, next);
    const faults = `${engine.url}/admin/faults`;
    await post(faults, { dropEvents: { count: 1 } });
    await generate(engine);
    await generate(engine);
    assert.equal((await next()).seq, base + 1n);
    assert.equal((await replayFrom(addresses(engine).replayAddress, base)).length, 2);
    await post(faults, { duplicateEvents: { count: 1 } });
    await generate(engine);
    assert.deepEqual([(await next()).seq, (await next()).seq], [base + 2n, base + 2n]);
    await post(faults, { delayEvents: { count: 1, delayMs: 30 } });
    await generate(engine);
    await generate(engine);
    const late = new Set([(await next()).seq, (await next()).seq]);
    assert.deepEqual(late, new Set([base + 3n, base + 4n]));
    await post(faults, { dropEvents: { count: 1, fromReplay: true } });
    await generate(engine);
    const replayed = await replayFrom(addresses(engine).replayAddress, base);
    assert.deepEqual(
      replayed.map(({ seq }) => seq - base),
      [0n, 1n, 2n, 3n, 4n],
    );
    assert.equal(engine.stats().nextSeq, base + 6n);
    socket.close();
  });
});

test('HTTP faults: errors, stalled and cut streams', async () => {
  await withEngine({}, async (engine) => {
    const completions = `${engine.url}/v1/completions`;
    const stream = { prompt: [1, 2, 3], max_tokens: 4, stream: true };
    await post(`${engine.url}/admin/faults`, { httpErrors: { status: 503, count: 1 } });
    assert.equal((await post(completions, stream)).status, 503);
    await post(`${engine.url}/admin/faults`, { cutStreams: { afterTokens: 2, count: 1 } });
    const cut = await fetch(completions, { method: 'POST', body: JSON.stringify(stream) });
    await assert.rejects(cut.text());
    await post(`${engine.url}/admin/faults`, { stallStreams: { afterTokens: 1, count: 1 } });
    const stalled = await fetch(completions, { method: 'POST', body: JSON.stringify(stream) });
    const reader = stalled.body?.getReader();
    await reader?.read();
    const silent = reader?.read();
    while (engine.stats().requests > 0) await new Promise((next) => setImmediate(next));
    assert.equal(await Promise.race([silent, Promise.resolve('nothing')]), 'nothing');
    await reader?.cancel();
    const whole = await fetch(completions, { method: 'POST', body: JSON.stringify(stream) });
    assert.match(await whole.text(), /data: \[DONE\]\n\n$/);
  });
});
