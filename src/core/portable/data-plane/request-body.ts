// Builds the body an engine gets from the stored one: patches applied, bytes copied out of the
// slab. Copies, because a socket may still hold them when the slab's region belongs to another
// request; in pieces, so that large bodies do not exist twice.

import { assert } from '#contracts/assert.js';
import type { BodyPatch } from '#contracts/request.js';

/** Bodies up to this are copied at once, larger ones piece by piece as the engine reads. */
const PIECE_BYTES = 256 * 1024;

export interface RequestBody {
  readonly bytes: number;
  /** null without a body. */
  readonly content: Buffer | Iterable<Buffer> | null;
}

/** `isLive` tells a slow engine's iteration that the stored body may no longer be read. */
export function requestBody(
  stored: Uint8Array,
  patches: readonly BodyPatch[],
  isLive: () => boolean,
): RequestBody {
  const pieces = patches.length === 0 ? [stored] : patched(stored, patches);
  let bytes = 0;
  for (const piece of pieces) bytes += piece.byteLength;
  if (bytes === 0) return { bytes, content: null };
  if (bytes > PIECE_BYTES) return { bytes, content: copies(pieces, isLive) };
  const content = Buffer.allocUnsafe(bytes);
  let offset = 0;
  for (const piece of pieces) {
    content.set(piece, offset);
    offset += piece.byteLength;
  }
  return { bytes, content };
}

function patched(stored: Uint8Array, patches: readonly BodyPatch[]): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const patch of [...patches].sort((a, b) => a.offset - b.offset)) {
    const end = patch.offset + patch.length;
    assert(patch.offset >= at && end <= stored.byteLength, 'patches lie apart, inside the body');
    pieces.push(stored.subarray(at, patch.offset));
    if (patch.text !== '') pieces.push(Buffer.from(patch.text));
    at = end;
  }
  pieces.push(stored.subarray(at));
  return pieces;
}

function* copies(pieces: readonly Uint8Array[], isLive: () => boolean): Generator<Buffer> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.byteLength; at += PIECE_BYTES) {
      if (!isLive()) return;
      yield Buffer.from(piece.subarray(at, at + PIECE_BYTES));
    }
  }
}
