// Decoding of msgpack frames from engines: structural scan first, then the library. Called by the
// event applier with bytes from the network; whatever is wrong with them becomes a reason, never
// an exception. 64-bit integers come as bigint, shorter ones as number.

import { Decoder } from '@msgpack/msgpack';
import { scanMsgpack } from './msgpack-scan.js';

export type MsgpackResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string };

const decoder = new Decoder({ useBigInt64: true });

/** Decodes one frame. Byte strings in the value are views into `bytes`. */
export function decodeMsgpack(bytes: Uint8Array): MsgpackResult {
  const reason = scanMsgpack(bytes);
  if (reason !== null) return { ok: false, reason };
  try {
    return { ok: true, value: decoder.decode(bytes) };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
