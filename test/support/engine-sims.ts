// Simulated engines for integration tests: fast, on free ports, with a subscriber that decodes
// what they publish.

import { type EngineSimFleet, startEngineSims } from '#simulation/fleet.js';
import type { EngineSimOptions } from '#simulation/sim-options.js';
import { parseEventMessage, parseReplayReply } from '#wire/frames.js';
import { decodeMsgpack } from '#wire/msgpack.js';
import { ReplayClient, SubscriberSocket } from '#wire/zmq.js';
import { processClock } from '#workers/process-clock.js';

/** Starts engines a thousand times faster than real ones. */
export function startFastSims(
  options: Omit<Partial<EngineSimOptions>, 'clock'> = {},
): Promise<EngineSimFleet> {
  return startEngineSims({
    clock: processClock,
    unixTimeMs: () => Date.now(),
    timeScale: 1000,
    ...options,
  });
}

/** One published or replayed message, decoded. */
export interface SeenBatch {
  readonly topic: string;
  readonly seq: bigint;
  readonly batch: readonly unknown[];
}

/** Subscribes and waits for the handshake, so that nothing published afterwards is missed. */
export async function subscribe(
  address: string,
  mode: 'dial' | 'bind' = 'dial',
): Promise<{ socket: SubscriberSocket; next: () => Promise<SeenBatch>; connected: Promise<void> }> {
  let onConnected = (): void => {};
  const connected = new Promise<void>((resolve) => {
    onConnected = resolve;
  });
  const socket = new SubscriberSocket({
    address,
    mode,
    topic: '',
    receiveHighWaterMark: 1000,
    onPeer: (change) => {
      if (change === 'connected') onConnected();
    },
  });
  await socket.open();
  const next = async (): Promise<SeenBatch> => {
    const message = await socket.receive();
    const frame = message === null ? null : parseEventMessage(message);
    if (frame === null) throw new Error('no event message');
    return { topic: frame.topic, seq: frame.seq, batch: decode(frame.payload) };
  };
  return { socket, next, connected };
}

/** Every batch the engine still has from `startSeq` on. */
export async function replayFrom(address: string, startSeq: bigint): Promise<SeenBatch[]> {
  const client = new ReplayClient(address);
  try {
    await client.request(startSeq);
    const seen: SeenBatch[] = [];
    for (;;) {
      const message = await client.receive();
      const reply = message === null ? null : parseReplayReply(message);
      if (reply === null) throw new Error('not a replay reply');
      if (reply.kind === 'end') return seen;
      const { topic, seq, payload } = reply.frame;
      seen.push({ topic, seq, batch: decode(payload) });
    }
  } finally {
    client.close();
  }
}

/** POSTs JSON and parses the JSON answer. */
export async function post(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? {} : JSON.parse(text) };
}

function decode(payload: Uint8Array): readonly unknown[] {
  const result = decodeMsgpack(payload);
  if (!result.ok || !Array.isArray(result.value)) throw new Error('not an event batch');
  return result.value;
}
