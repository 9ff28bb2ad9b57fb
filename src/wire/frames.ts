// Shapes of the multipart messages between engines and router (wire-formats §1): published event
// frames, replay requests and replay replies. The sockets of zmq.ts and the simulator use them;
// whatever does not have a known shape is refused here, never guessed at.

import type { EventFrame } from '#contracts/kv-event.js';

/** Sequence number of the message that ends a replay: −1 as unsigned. */
export const REPLAY_END_SEQ = 0xffff_ffff_ffff_ffffn;

const EMPTY = new Uint8Array(0);
const text = new TextDecoder('utf-8');
const SEQ_BYTES = 8;

/** One reply to a replay request. */
export type ReplayReply =
  | { readonly kind: 'frame'; readonly frame: EventFrame }
  | { readonly kind: 'end' };

/** Encodes a sequence number as the 8 big-endian bytes of the wire. */
export function encodeSeq(seq: bigint): Uint8Array {
  const bytes = new Uint8Array(SEQ_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, seq);
  return bytes;
}

/** Decodes a sequence frame; null when it is not 8 bytes long. */
export function decodeSeq(bytes: Uint8Array): bigint | null {
  if (bytes.length !== SEQ_BYTES) return null;
  return new DataView(bytes.buffer, bytes.byteOffset, SEQ_BYTES).getBigUint64(0);
}

/** Parses a published message `[topic, seq, payload]`; null for any other shape. */
export function parseEventMessage(message: readonly Uint8Array[]): EventFrame | null {
  const [topic, seqBytes, payload] = message;
  if (message.length !== 3 || topic === undefined) return null;
  if (seqBytes === undefined || payload === undefined) return null;
  const seq = decodeSeq(seqBytes);
  return seq === null ? null : { topic: text.decode(topic), seq, payload };
}

/** The published message of one batch. */
export function eventMessage(topic: string, seq: bigint, payload: Uint8Array): Uint8Array[] {
  return [Buffer.from(topic, 'utf8'), encodeSeq(seq), payload];
}

/** What a DEALER sends to ask for every buffered batch from `startSeq` on. */
export function replayRequest(startSeq: bigint): Uint8Array[] {
  return [EMPTY, encodeSeq(startSeq)];
}

/**
 * Parses a reply as a DEALER sees it: `["", topic, seq, payload]`, or `["", seq, payload]` from
 * vLLM ≤ 0.25.1. The last two frames are sequence and payload either way; null for other shapes.
 */
export function parseReplayReply(message: readonly Uint8Array[]): ReplayReply | null {
  if (message.length !== 3 && message.length !== 4) return null;
  const payload = message.at(-1);
  const seqBytes = message.at(-2);
  if (payload === undefined || seqBytes === undefined || message[0]?.length !== 0) return null;
  const seq = decodeSeq(seqBytes);
  if (seq === null) return null;
  if (seq === REPLAY_END_SEQ) return payload.length === 0 ? { kind: 'end' } : null;
  const topic = message.length === 4 ? text.decode(message[1]) : '';
  return { kind: 'frame', frame: { topic, seq, payload } };
}

/** A replay reply of one batch; `topic` null leaves the topic frame out, as vLLM ≤ 0.25.1 does. */
export function replayReply(topic: string | null, seq: bigint, payload: Uint8Array): Uint8Array[] {
  const tail = [encodeSeq(seq), payload];
  return topic === null ? [EMPTY, ...tail] : [EMPTY, Buffer.from(topic, 'utf8'), ...tail];
}

/** The reply that ends a replay, in the shape of the release (`withTopic`: vLLM ≥ 0.26). */
export function replayEnd(withTopic: boolean): Uint8Array[] {
  return replayReply(withTopic ? '' : null, REPLAY_END_SEQ, EMPTY);
}
