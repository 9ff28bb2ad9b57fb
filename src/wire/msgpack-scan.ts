// Structural check of a msgpack frame before it is decoded: one pass without recursion or
// allocation. It holds what the decoder's own length limits do not: a frame that passes cannot
// declare more elements than it has bytes, so decoding costs no more than a fixed multiple of it.
// Hot loop over bytes: every index is below `bytes.length`, checked before it is read.

import { EVENT_DEPTH_MAX, EVENT_FRAME_BYTES_MAX } from '#contracts/limits.js';

/** Elements still to come in each open array or map, by depth; [0] is the frame itself. */
const left = new Float64Array(EVENT_DEPTH_MAX + 1);

/** Header bytes after the type byte, and what the type is, for every type byte. */
const HEADER_BYTES = new Uint8Array(256);
const PLAIN = 0;
const BYTES = 1;
const ARRAY = 2;
const MAP = 3;
const EXTENSION = 4;
const INVALID = 5;
const KIND = new Uint8Array(256);
/** Length of fixed-size values, and the length or count inside fix-types. */
const FIXED = new Uint8Array(256);
fillTables();

/**
 * Checks one frame: its size, nesting ≤ EVENT_DEPTH_MAX, and that every declared array, map,
 * string, bin and extension fits into the bytes left after all that enclosing declarations still
 * need (an element takes at least a byte). Returns the reason for refusing it, or null.
 */
export function scanMsgpack(bytes: Uint8Array): string | null {
  const length = bytes.length;
  if (length > EVENT_FRAME_BYTES_MAX) {
    return `frame of ${length} bytes is over the limit of ${EVENT_FRAME_BYTES_MAX}`;
  }
  let position = 0;
  let depth = 0;
  /** Elements owed by all open containers; each needs at least one byte. */
  let owed = 1;
  left[0] = 1;
  while (owed > 0) {
    if (position >= length) return `frame ends at byte ${length} with ${owed} values missing`;
    const type = bytes[position] as number;
    position += 1;
    owed -= 1;
    left[depth] = (left[depth] as number) - 1;
    const kind = KIND[type] as number;
    let skip = FIXED[type] as number;
    let children = 0;
    if (kind !== PLAIN) {
      if (kind === INVALID) return `byte ${position - 1} is no msgpack type (0xc1)`;
      const header = HEADER_BYTES[type] as number;
      if (position + header > length) return `frame ends inside a header at byte ${length}`;
      const declared = header === 0 ? skip : readLength(bytes, position, header);
      position += header;
      skip = 0;
      if (kind === ARRAY) children = declared;
      else if (kind === MAP) children = declared * 2;
      else skip = kind === EXTENSION ? declared + 1 : declared;
    }
    if (skip + children + owed > length - position) {
      return `value at byte ${position} declares more than the ${length - position} bytes left`;
    }
    position += skip;
    owed += children;
    if (kind === ARRAY || kind === MAP) {
      depth += 1;
      if (depth > EVENT_DEPTH_MAX) return `nested deeper than ${EVENT_DEPTH_MAX} levels`;
      left[depth] = children;
    }
    while (depth > 0 && left[depth] === 0) depth -= 1;
  }
  if (position < length) return `${length - position} bytes follow the end of the batch`;
  return null;
}

function readLength(bytes: Uint8Array, position: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i += 1) value = value * 256 + (bytes[position + i] as number);
  return value;
}

function fillTables(): void {
  for (let type = 0x80; type <= 0x8f; type += 1) setType(type, MAP, 0, type & 0x0f);
  for (let type = 0x90; type <= 0x9f; type += 1) setType(type, ARRAY, 0, type & 0x0f);
  for (let type = 0xa0; type <= 0xbf; type += 1) setType(type, BYTES, 0, type & 0x1f);
  setType(0xc1, INVALID, 0, 0);
  for (const [type, header] of [[0xc4, 1] as const, [0xc5, 2] as const, [0xc6, 4] as const]) {
    setType(type, BYTES, header, 0);
    setType(type + 3, EXTENSION, header, 0);
  }
  setType(0xca, PLAIN, 0, 4);
  setType(0xcb, PLAIN, 0, 8);
  for (let power = 0; power < 4; power += 1) {
    setType(0xcc + power, PLAIN, 0, 1 << power);
    setType(0xd0 + power, PLAIN, 0, 1 << power);
  }
  for (let power = 0; power < 5; power += 1) setType(0xd4 + power, PLAIN, 0, 1 + (1 << power));
  setType(0xd9, BYTES, 1, 0);
  setType(0xda, BYTES, 2, 0);
  setType(0xdb, BYTES, 4, 0);
  setType(0xdc, ARRAY, 2, 0);
  setType(0xdd, ARRAY, 4, 0);
  setType(0xde, MAP, 2, 0);
  setType(0xdf, MAP, 4, 0);
}

function setType(type: number, kind: number, headerBytes: number, fixed: number): void {
  KIND[type] = kind;
  HEADER_BYTES[type] = headerBytes;
  FIXED[type] = fixed;
}
