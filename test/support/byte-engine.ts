// An engine at the level of bytes: parses just enough of HTTP to know where a request ends, keeps
// every byte it was sent, and lets the test write whatever it likes as an answer.

import { createServer, type Server, type Socket } from 'node:net';
import { after } from 'node:test';

/** A failed test stops nothing itself; open servers would keep its process alive. */
const running = new Set<ByteEngine>();
after(async () => {
  for (const engine of running) await engine.stop();
});

export interface EngineRequest {
  readonly line: string;
  /** Lower-case names; repeated ones are joined. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly socket: Socket;
  /** 0 for the first request of its connection. */
  readonly position: number;
}

export type EngineScript = (request: EngineRequest) => void;

export class ByteEngine {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  script: EngineScript;
  readonly requests: EngineRequest[] = [];
  /** Every byte of every connection, in the order connections were made. */
  readonly received: Buffer[][] = [];
  closed = 0;

  private constructor(script: EngineScript) {
    this.script = script;
    this.#server = createServer((socket) => this.#onConnection(socket));
  }

  static async start(script: EngineScript): Promise<ByteEngine> {
    const engine = new ByteEngine(script);
    running.add(engine);
    await new Promise<void>((resolve) => engine.#server.listen(0, '127.0.0.1', resolve));
    return engine;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    running.delete(this);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #onConnection(socket: Socket): void {
    this.#sockets.add(socket);
    const bytes: Buffer[] = [];
    this.received.push(bytes);
    let pending = Buffer.alloc(0);
    let position = 0;
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.closed += 1;
    });
    socket.on('data', (chunk: Buffer) => {
      bytes.push(chunk);
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        const request = parse(pending, socket, position);
        if (request === null) break;
        pending = pending.subarray(request.length);
        position += 1;
        this.requests.push(request.request);
        this.script(request.request);
      }
    });
  }
}

function parse(
  bytes: Buffer,
  socket: Socket,
  position: number,
): { readonly request: EngineRequest; readonly length: number } | null {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const [line = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const headers: Record<string, string> = {};
  for (const text of lines) {
    const colon = text.indexOf(':');
    const name = text.slice(0, colon).toLowerCase();
    const value = text.slice(colon + 1).trim();
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  const end = headEnd + 4 + Number(headers['content-length'] ?? 0);
  if (bytes.length < end) return null;
  const body = Buffer.from(bytes.subarray(headEnd + 4, end));
  return { request: { line, headers, body, socket, position }, length: end };
}

/** An answer with a length. */
export function plain(status: number, body: string | Buffer, headers = ''): Buffer {
  const bytes = Buffer.from(body);
  const head = `HTTP/1.1 ${status} Engine Says\r\n${headers}content-length: ${bytes.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), bytes]);
}

export const STREAM_HEAD =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n';

/** One chunk of the chunked coding. */
export function chunk(data: string | Buffer): Buffer {
  const bytes = Buffer.from(data);
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]);
}

export const LAST_CHUNK = '0\r\n\r\n';

/** A whole stream of `events`, ending with `[DONE]`. */
export function eventStream(events: readonly string[]): string {
  return [...events, '[DONE]'].map((event) => `data: ${event}\n\n`).join('');
}
