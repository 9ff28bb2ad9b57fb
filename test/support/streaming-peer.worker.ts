// An engine that streams and the client that reads it, on a thread of their own: what they see does
// not depend on the main thread. Counts the chunks that have come back through the router.

import http from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';

const CHUNK_INTERVAL_MS = 2;
const chunks = new Int32Array(workerData as SharedArrayBuffer);

const engine = http.createServer((request, response) => {
  request.resume();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const timer = setInterval(() => response.write('data: {}\n\n'), CHUNK_INTERVAL_MS);
  response.on('close', () => clearInterval(timer));
});
engine.listen(0, '127.0.0.1', () => {
  const address = engine.address();
  parentPort?.postMessage(typeof address === 'object' && address !== null ? address.port : 0);
});

parentPort?.on('message', (routerPort: number) => {
  const request = http.request({
    host: '127.0.0.1',
    port: routerPort,
    method: 'POST',
    path: '/v1/x',
  });
  request.on('response', (response) => {
    response.on('error', () => {});
    response.on('data', () => Atomics.add(chunks, 0, 1));
  });
  request.on('error', () => {});
  request.end('{}');
});
