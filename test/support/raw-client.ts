// A client at the level of bytes, for tests that must control every packet and every close.

import { connect, type Socket } from 'node:net';

export class RawClient {
  readonly socket: Socket;
  #bytes: Buffer[] = [];
  ended = false;
  closed = false;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk) => this.#bytes.push(chunk));
    this.socket.on('error', () => {});
    this.socket.on('end', () => {
      this.ended = true;
      this.socket.end();
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  send(text: string | Buffer): this {
    this.socket.write(text);
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#bytes);
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  /** Status codes of all answers so far, interim ones included. */
  get statuses(): readonly number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number(match[1]));
  }
}

/** A POST with a length, on a connection that is kept. */
export function post(body: string | Buffer, headers = '', path = '/v1/chat/completions'): Buffer {
  const bytes = Buffer.from(body);
  const head = `POST ${path} HTTP/1.1\r\nHost: router\r\nContent-Length: ${bytes.length}\r\n${headers}\r\n`;
  return Buffer.concat([Buffer.from(head), bytes]);
}
