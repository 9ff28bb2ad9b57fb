// Canonical CBOR (RFC 8949 §4.2: shortest integers, definite lengths) for the values that enter
// vLLM's block hashes. The simulator hashes these bytes, so they must equal the engine's exactly.

export type CborValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | Uint32Array
  | readonly CborValue[];

const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTE_STRING = 2;
const TEXT_STRING = 3;
const ARRAY = 4;

/** Encodes one value. Numbers are safe integers; anything else throws a RangeError. */
export function encodeCbor(value: CborValue): Uint8Array {
  const parts: number[] = [];
  writeValue(parts, value);
  return Uint8Array.from(parts);
}

/**
 * Bytes that vLLM's sha256_cbor hashes for one block (wire-formats §3): the parent's 16 or 32
 * bytes, the block's token ids, and its extra keys or null.
 */
export function blockPreimage(
  parent: Uint8Array,
  tokenIds: readonly number[] | Uint32Array,
  extraKeys: CborValue,
): Uint8Array {
  return encodeCbor([parent, tokenIds, extraKeys]);
}

function writeValue(parts: number[], value: CborValue): void {
  if (value === null) parts.push(0xf6);
  else if (typeof value === 'boolean') parts.push(value ? 0xf5 : 0xf4);
  else if (typeof value === 'number') writeInteger(parts, value);
  else if (typeof value === 'string') writeBytes(parts, TEXT_STRING, Buffer.from(value, 'utf8'));
  else if (value instanceof Uint8Array) writeBytes(parts, BYTE_STRING, value);
  else {
    writeHead(parts, ARRAY, value.length);
    for (const element of value) writeValue(parts, element);
  }
}

function writeInteger(parts: number[], value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`);
  if (value >= 0) writeHead(parts, UNSIGNED, value);
  else writeHead(parts, NEGATIVE, -1 - value);
}

function writeBytes(parts: number[], major: number, bytes: Uint8Array): void {
  writeHead(parts, major, bytes.length);
  for (const byte of bytes) parts.push(byte);
}

/** Major type with its argument in the shortest of 0, 1, 2, 4 or 8 further bytes. */
function writeHead(parts: number[], major: number, argument: number): void {
  const type = major << 5;
  if (argument < 24) parts.push(type | argument);
  else if (argument <= 0xff) parts.push(type | 24, argument);
  else if (argument <= 0xffff) parts.push(type | 25, argument >>> 8, argument & 0xff);
  else if (argument <= 0xffff_ffff) parts.push(type | 26, ...fourBytes(argument));
  else {
    const high = Math.floor(argument / 0x1_0000_0000);
    parts.push(type | 27, ...fourBytes(high), ...fourBytes(argument >>> 0));
  }
}

function fourBytes(value: number): readonly number[] {
  return [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}
