// Data planes: requests of every outcome over real sockets, what is asked of a plane beside them, and
// planes that come and go.

import assert from 'node:assert/strict';
import { Agent, createServer, request, type Server } from 'node:http';
import { connect } from 'node:net';
import type { DataPlaneHandler, RouteTarget } from '#contracts/core.js';
import type { Endpoint } from '#contracts/endpoint.js';
import { RouterError } from '#contracts/errors.js';
import type { RequestHead } from '#contracts/request.js';
import { createBlockIndex } from '#core/index-memory.js';
import type { Addon } from '#core/native/addon.js';
import { createDataPlane, type NativeDataPlane } from '#core/native/data-plane/data-plane.js';
import { createRequestStore, type NativeRequestStore } from '#core/native/request-store.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { freePort } from '#test/support/free-port.js';
import { processClock } from '#workers/process-clock.js';
import type { GrowthCase, GrowthCases } from './measure.js';

const TURNS = 2_000;
const STALE = { slot: 0, generation: 2 } as const;
const BODY = JSON.stringify({ model: 'm', prompt: 'word '.repeat(100) });
const silent = (): void => {};
const logger = { debug: silent, info: silent, warn: silent, error: silent };
const NOBODY: DataPlaneHandler = { onRequests: silent, onProgress: silent };

/** What becomes of the requests, in turn, and the statuses a client may see. */
const FATES = [
  { path: '/forward', statuses: [200] },
  { path: '/retry', statuses: [200, 502] },
  { path: '/reject', statuses: [503] },
  { path: '/respond', statuses: [207] },
  { path: '/unreachable', statuses: [502] },
] as const;

function makePlane(addon: Addon, store: NativeRequestStore, manualClock = false): NativeDataPlane {
  const where = { host: '127.0.0.1', port: 0, threads: 1, accept: 'shared' } as const;
  return createDataPlane(addon, { store, clock: processClock, logger, manualClock, ...where });
}

function endpoint(slot: number, port: number): Endpoint {
  const unknown = {
    dpRank: null,
    blockSize: null,
    gpuBlocks: null,
    cacheTokens: null,
    events: null,
  } as const;
  const security = { apiKey: 'secret', caPem: null };
  const name = `127.0.0.1:${port}`;
  const kind = { engine: 'vllm', labels: {}, models: [] } as const;
  return { slot, name, id: null, url: `http://${name}`, security, ...kind, ...unknown };
}

/** Does with every request what its path says. */
function handler(plane: NativeDataPlane): DataPlaneHandler {
  const target = (slot: number): RouteTarget => ({
    slot,
    requestHeaders: [['x-asked', 'yes']],
    responseHeaders: [['x-routed', 'yes']],
  });
  const forward = ({ handle }: RequestHead, slots: readonly number[]): boolean => {
    const patches = [{ offset: 1, length: 0, text: '"patched":1,' }];
    return plane.forward(handle, { targets: slots.map(target), patches });
  };
  const decide = (head: RequestHead): boolean => {
    assert.equal(head.headers['x-number']?.length, 4);
    if (head.path === '/forward') return forward(head, [0]);
    if (head.path === '/retry') return forward(head, [1, 0]);
    if (head.path === '/unreachable') return forward(head, [1]);
    if (head.path === '/respond') return plane.respond(head.handle, 207, [['x-own', '1']], 'own');
    return plane.reject(head.handle, new RouterError('no_endpoints', 'there is none'));
  };
  return {
    onRequests: (batch) => {
      for (const head of batch) assert.ok(decide(head), 'the request is open');
    },
    onProgress: silent,
  };
}

/** An engine that answers with a stream. */
async function startEngine(): Promise<Server> {
  const engine = createServer((incoming, answer) => {
    incoming.resume();
    incoming.on('end', () => {
      answer.writeHead(200, { 'content-type': 'text/event-stream' });
      answer.write('data: {"choices":[]}\n\n');
      answer.end('data: {"usage":{"prompt_tokens":9}}\n\ndata: [DONE]\n\n');
    });
  });
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
  return engine;
}

function portOf(server: Server): number {
  const address = server.address();
  assert(typeof address === 'object' && address !== null);
  return address.port;
}

export async function planeCases(addon: Addon): Promise<GrowthCases> {
  const store = createRequestStore(addon);
  const plane = makePlane(addon, store);
  const engine = await startEngine();
  const dead = await freePort();
  plane.setEndpoints([endpoint(0, portOf(engine)), endpoint(1, dead)], () => []);
  const { port } = await plane.start(handler(plane));
  const still = makePlane(addon, store, true);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    cases: [
      ...trafficCases(port, agent),
      { name: 'planes: what is asked', turns: TURNS * 5, call: asked(addon, plane, still) },
      {
        name: 'planes: orders that are stale or no orders',
        turns: TURNS * 5,
        call: stale(addon, plane),
      },
      lifeCase(addon),
    ],
    close: async () => {
      agent.destroy();
      await plane.drain(0);
      await still.drain(0);
      engine.closeAllConnections();
      engine.close();
      addon.storeClose(store.id);
    },
  };
}

function trafficCases(port: number, agent: Agent): readonly GrowthCase[] {
  return [
    {
      name: 'planes: requests of every outcome',
      turns: TURNS,
      call: async (turn) => {
        const fate = FATES[turn % FATES.length] ?? FATES[0];
        const number = String(turn % 9000).padStart(4, '0');
        const status = await send(port, agent, fate.path, number);
        assert.ok((fate.statuses as readonly number[]).includes(status), `${fate.path} ${status}`);
      },
    },
    {
      name: 'planes: connections with what is no HTTP',
      turns: TURNS / 4,
      call: async () => {
        assert.match(
          await sendBytes(port, 'GET / HTTP/1.1\r\nno header\r\n\r\n'),
          /^HTTP\/1.1 400/,
        );
      },
    },
  ];
}

function send(port: number, agent: Agent, path: string, number: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'x-number': number };
    const options = { host: '127.0.0.1', port, agent, path, method: 'POST', headers };
    const outgoing = request(options, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    outgoing.on('error', reject);
    outgoing.end(BODY);
  });
}

function sendBytes(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

function asked(addon: Addon, plane: NativeDataPlane, still: NativeDataPlane): GrowthCase['call'] {
  return (turn) => {
    plane.setUsable(0, turn % 2 === 0);
    still.setEndpoints([endpoint(turn % 4, 9)], () => ['a model']);
    still.setTime(turn);
    assert.equal(plane.stats().strippedHeaders, 0);
    assert.equal(plane.inFlight(), 0);
    assert.ok(addon.planeIsIdle(still.id));
    assert.deepEqual(addon.planeTroubles(still.id), []);
    assert.equal(addon.planeTake(still.id), 0);
    addon.planeDelivered(still.id);
  };
}

function stale(addon: Addon, plane: NativeDataPlane): GrowthCase['call'] {
  const { slot, generation } = STALE;
  return () => {
    assert.equal(addon.planeHead(plane.id, slot, generation), null);
    const target = { slot: 0, requestHeaders: [], responseHeaders: [] };
    assert.equal(plane.forward(STALE, { targets: [target], patches: [] }), false);
    assert.equal(plane.reject(STALE, new RouterError('no_endpoints', 'none')), false);
    assert.equal(plane.respond(STALE, 200, [], 'late'), false);
    assert.throws(() => plane.respond(STALE, 200, [['a name', 'no name']], ''));
    assert.throws(() => addon.planeRespond(plane.id, slot, generation, 9, '', Buffer.alloc(0)));
    assert.throws(() => addon.planeSetEndpoints(plane.id, '[{}]'));
  };
}

/** Planes that serve nobody, with an encoder attached; one that cannot listen. */
function lifeCase(addon: Addon): GrowthCase {
  const index = new Uint8Array(createBlockIndex({ blockCapacity: 64, endpointCapacity: 64 }));
  const requests = new Uint8Array(createRequestMemory(64));
  return {
    name: 'planes: coming and going',
    turns: 100,
    call: async () => {
      const store = createRequestStore(addon);
      const encoder = addon.promptCreate(store.id, index, requests, 7n, 1, silent);
      const plane = makePlane(addon, store);
      addon.planeAttachEncoder(plane.id, encoder);
      await plane.start(NOBODY);
      await plane.drain(0);
      await addon.promptStop(encoder);
      addon.promptClose(encoder);
      addon.storeClose(store.id);
    },
  };
}
