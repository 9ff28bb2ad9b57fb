// Closed-loop HTTP load over plain sockets: each connection sends the next request when the answer
// to the last one is complete. Cheap on purpose, so that it is never the bottleneck.

import { connect, type Socket } from 'node:net';

export interface LoadOptions {
  readonly port: number;
  readonly path: string;
  readonly body: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly answers: number;
  readonly failures: number;
  /** Bytes `data: ` seen at line starts: chunks of streams. */
  readonly chunks: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n');
const EVENT = Buffer.from('data: ');

/** Runs one load and reports what came back. */
export async function generateLoad(options: LoadOptions): Promise<LoadResult> {
  const request = Buffer.from(
    `POST ${options.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(options.body)}\r\n\r\n${options.body}`,
  );
  const started = performance.now();
  const until = started + options.seconds * 1000;
  const latencies: number[] = [];
  let failures = 0;
  let chunks = 0;
  const lane = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(options.port, '127.0.0.1');
      socket.setNoDelay(true);
      let sentAt = 0;
      let pending: Buffer = Buffer.alloc(0);
      const send = (): void => {
        if (performance.now() >= until) {
          socket.destroy();
          resolve();
          return;
        }
        sentAt = performance.now();
        socket.write(request);
      };
      socket.on('connect', send);
      socket.on('data', (data) => {
        for (let at = data.indexOf(EVENT); at >= 0; at = data.indexOf(EVENT, at + 1)) chunks += 1;
        pending = pending.length === 0 ? data : Buffer.concat([pending, data]);
        const length = answerLength(pending);
        if (length < 0) return;
        if (!pending.subarray(0, 12).equals(Buffer.from('HTTP/1.1 200'))) failures += 1;
        else latencies.push(performance.now() - sentAt);
        pending = Buffer.alloc(0);
        send();
      });
      endLane(socket, () => {
        failures += 1;
        resolve();
      });
    });
  await Promise.all(Array.from({ length: options.connections }, lane));
  latencies.sort((a, b) => a - b);
  return {
    answers: latencies.length,
    failures,
    chunks,
    seconds: (performance.now() - started) / 1000,
    p50Ms: latencies[Math.floor(latencies.length / 2)] ?? Number.NaN,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
  };
}

function endLane(socket: Socket, failed: () => void): void {
  socket.on('error', failed);
  socket.on('end', failed);
}

/** Length of the first complete answer in `data`, −1 while it is incomplete. */
function answerLength(data: Buffer): number {
  const head = data.indexOf(HEAD_END);
  if (head < 0) return -1;
  const text = data.toString('latin1', 0, head).toLowerCase();
  const length = /content-length: (\d+)/.exec(text);
  if (length !== null) {
    const end = head + 4 + Number(length[1]);
    return data.length >= end ? end : -1;
  }
  const end = data.indexOf(LAST_CHUNK, head);
  return end < 0 ? -1 : end + LAST_CHUNK.length;
}
