// Encoding of event batches exactly as engines do (msgspec: every integer in its shortest form,
// the timestamp always a float64), for the simulator. Compared byte by byte with engine output.

/** What an event may consist of. Integers above 2^53 are bigint; floats have no place in events. */
export type MsgpackValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly MsgpackValue[]
  | WideMap
  | { readonly [key: string]: MsgpackValue };

/**
 * A map with a 16-bit count however few keys it has. msgspec writes one for a struct of 16 or more
 * declared fields that leaves out defaults, as vLLM 0.33's BlockStored does.
 */
export class WideMap {
  readonly entries: readonly (readonly [string, MsgpackValue])[];

  constructor(record: { readonly [key: string]: MsgpackValue }) {
    this.entries = Object.entries(record);
  }
}

/** One batch as an engine publishes it; each event is an array or a map (wire-formats §2). */
export interface EncodableBatch {
  /** Seconds. */
  readonly timestamp: number;
  readonly events: readonly MsgpackValue[];
  readonly dataParallelRank: number | null;
}

const INITIAL_BYTES = 512;

/** Encodes the third frame of an event message. */
export function encodeEventBatch(batch: EncodableBatch): Uint8Array {
  const output = new ByteWriter();
  output.writeByte(0x93);
  output.writeByte(0xcb);
  output.writeFloat64(batch.timestamp);
  writeValue(output, batch.events);
  writeValue(output, batch.dataParallelRank);
  return output.finish();
}

/** Encodes any value of the type above. Throws a RangeError for what msgpack cannot hold. */
export function encodeMsgpack(value: MsgpackValue): Uint8Array {
  const output = new ByteWriter();
  writeValue(output, value);
  return output.finish();
}

/** Growing byte buffer with big-endian writes. */
class ByteWriter {
  #bytes = new Uint8Array(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  writeByte(value: number): void {
    const position = this.#reserve(1);
    this.#view.setUint8(position, value);
  }

  /** Writes an unsigned integer of 1, 2 or 4 bytes. */
  writeUint(value: number, size: number): void {
    const position = this.#reserve(size);
    if (size === 1) this.#view.setUint8(position, value);
    else if (size === 2) this.#view.setUint16(position, value);
    else this.#view.setUint32(position, value);
  }

  writeBigUint64(value: bigint): void {
    const position = this.#reserve(8);
    this.#view.setBigUint64(position, value);
  }

  writeFloat64(value: number): void {
    const position = this.#reserve(8);
    this.#view.setFloat64(position, value);
  }

  writeBytes(bytes: Uint8Array): void {
    const position = this.#reserve(bytes.length);
    this.#bytes.set(bytes, position);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Makes room for `size` bytes and returns where they begin; may replace the view. */
  #reserve(size: number): number {
    const position = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return position;
  }
}

function writeValue(output: ByteWriter, value: MsgpackValue): void {
  if (value === null) output.writeByte(0xc0);
  else if (typeof value === 'boolean') output.writeByte(value ? 0xc3 : 0xc2);
  else if (typeof value === 'number') writeNumber(output, value);
  else if (typeof value === 'bigint') writeBigint(output, value);
  else if (typeof value === 'string') writeString(output, value);
  else if (value instanceof Uint8Array) writeBinary(output, value);
  else if (isArray(value)) {
    writeCount(output, value.length, 0x90, 0xdc);
    for (const element of value) writeValue(output, element);
  } else writeMap(output, value);
}

function writeMap(
  output: ByteWriter,
  value: WideMap | { readonly [key: string]: MsgpackValue },
): void {
  const wide = value instanceof WideMap;
  const entries = wide ? value.entries : Object.entries(value);
  if (wide) writeTagged(output, 0xde, entries.length, 2);
  else writeCount(output, entries.length, 0x80, 0xde);
  for (const [key, element] of entries) {
    writeString(output, key);
    writeValue(output, element);
  }
}

function isArray(value: object): value is readonly MsgpackValue[] {
  return Array.isArray(value);
}

function writeNumber(output: ByteWriter, value: number): void {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`);
  if (value > 0xffff_ffff || value < -0x8000_0000) writeBigint(output, BigInt(value));
  else if (value >= 0) writeUnsigned(output, value);
  else writeNegative(output, value);
}

function writeUnsigned(output: ByteWriter, value: number): void {
  if (value < 0x80) output.writeByte(value);
  else if (value <= 0xff) writeTagged(output, 0xcc, value, 1);
  else if (value <= 0xffff) writeTagged(output, 0xcd, value, 2);
  else writeTagged(output, 0xce, value, 4);
}

function writeNegative(output: ByteWriter, value: number): void {
  if (value >= -0x20) output.writeByte(value & 0xff);
  else if (value >= -0x80) writeTagged(output, 0xd0, value & 0xff, 1);
  else if (value >= -0x8000) writeTagged(output, 0xd1, value & 0xffff, 2);
  else writeTagged(output, 0xd2, value >>> 0, 4);
}

function writeBigint(output: ByteWriter, value: bigint): void {
  if (value >= -0x8000_0000n && value <= 0xffff_ffffn) {
    writeNumber(output, Number(value));
    return;
  }
  if (value > 0xffff_ffff_ffff_ffffn || value < -0x8000_0000_0000_0000n) {
    throw new RangeError(`${value} does not fit into 64 bits`);
  }
  output.writeByte(value > 0n ? 0xcf : 0xd3);
  output.writeBigUint64(BigInt.asUintN(64, value));
}

function writeString(output: ByteWriter, value: string): void {
  const bytes = Buffer.from(value, 'utf8');
  if (bytes.length < 32) output.writeByte(0xa0 | bytes.length);
  else if (bytes.length <= 0xff) writeTagged(output, 0xd9, bytes.length, 1);
  else if (bytes.length <= 0xffff) writeTagged(output, 0xda, bytes.length, 2);
  else writeTagged(output, 0xdb, bytes.length, 4);
  output.writeBytes(bytes);
}

function writeBinary(output: ByteWriter, value: Uint8Array): void {
  if (value.length <= 0xff) writeTagged(output, 0xc4, value.length, 1);
  else if (value.length <= 0xffff) writeTagged(output, 0xc5, value.length, 2);
  else writeTagged(output, 0xc6, value.length, 4);
  output.writeBytes(value);
}

/** Header of an array or map: `fix | count`, or `long` with 2 bytes, or the type after with 4. */
function writeCount(output: ByteWriter, count: number, fix: number, long: number): void {
  if (count < 16) output.writeByte(fix | count);
  else if (count <= 0xffff) writeTagged(output, long, count, 2);
  else writeTagged(output, long + 1, count, 4);
}

function writeTagged(output: ByteWriter, type: number, value: number, size: number): void {
  output.writeByte(type);
  output.writeUint(value, size);
}
