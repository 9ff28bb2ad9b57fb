// Writes msgpack byte for byte as msgspec does, which vLLM's publisher uses: integers in their
// shortest form whatever their type, floats always 64 bits. The simulator's own writer, so that
// the router's decoder is never tested against its own library.

import { assertNever } from '#contracts/assert.js';

/** What an event batch is made of; a number is an integer, `Float` is not. */
export type MsgpackValue =
  | null
  | number
  | bigint
  | string
  | Uint8Array
  | Float
  | readonly MsgpackValue[]
  | ReadonlyMap<string, MsgpackValue>;

/** A 64-bit float, even when its value is whole. */
export interface Float {
  readonly float: number;
}

export function encodeMsgpack(value: MsgpackValue): Buffer {
  const writer = new Writer();
  writer.value(value);
  return writer.bytes();
}

class Writer {
  #buffer = Buffer.allocUnsafe(1024);
  #length = 0;

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  value(value: MsgpackValue): void {
    if (value === null) this.#byte(0xc0);
    else if (typeof value === 'number') this.#integer(value);
    else if (typeof value === 'bigint') this.#bigInteger(value);
    else if (typeof value === 'string') this.#text(value);
    else if (value instanceof Uint8Array) this.#binary(value);
    else if (value instanceof Map) this.#map(value);
    else if (Array.isArray(value)) this.#array(value);
    else if ('float' in value) this.#float(value.float);
    else assertNever(value as never);
  }

  #array(values: readonly MsgpackValue[]): void {
    this.#head(values.length, { fixed: 0x90, fixedMax: 15, bits16: 0xdc });
    for (const value of values) this.value(value);
  }

  #map(entries: ReadonlyMap<string, MsgpackValue>): void {
    this.#head(entries.size, { fixed: 0x80, fixedMax: 15, bits16: 0xde });
    for (const [key, value] of entries) {
      this.#text(key);
      this.value(value);
    }
  }

  #text(value: string): void {
    const bytes = Buffer.byteLength(value, 'utf8');
    if (bytes > 31 && bytes < 0x100) {
      this.#byte(0xd9);
      this.#byte(bytes);
    } else this.#head(bytes, { fixed: 0xa0, fixedMax: 31, bits16: 0xda });
    this.#reserve(bytes);
    this.#length += this.#buffer.write(value, this.#length, 'utf8');
  }

  #binary(value: Uint8Array): void {
    if (value.length < 0x100) {
      this.#byte(0xc4);
      this.#byte(value.length);
    } else this.#head(value.length, { fixed: 0, fixedMax: -1, bits16: 0xc5 });
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  #float(value: number): void {
    this.#byte(0xcb);
    this.#reserve(8);
    this.#length = this.#buffer.writeDoubleBE(value, this.#length);
  }

  #integer(value: number): void {
    if (value >= 0 && value < 0x80) this.#byte(value);
    else if (value < 0 && value >= -32) this.#byte(value + 0x100);
    else if (value < 0 || value > 0xffff_ffff) this.#bigInteger(BigInt(value));
    else if (value < 0x100) this.#unsigned(0xcc, value, 1);
    else if (value < 0x1_0000) this.#unsigned(0xcd, value, 2);
    else this.#unsigned(0xce, value, 4);
  }

  /** Every integer that `#integer` does not finish itself. */
  #bigInteger(value: bigint): void {
    if (value >= 0n && value <= 0xffff_ffffn) return this.#integer(Number(value));
    if (value >= -32n && value < 0n) return this.#integer(Number(value));
    this.#reserve(9);
    if (value > 0n) {
      this.#byte(0xcf);
      this.#length = this.#buffer.writeBigUInt64BE(value, this.#length);
    } else if (value >= -0x80n) {
      this.#byte(0xd0);
      this.#length = this.#buffer.writeInt8(Number(value), this.#length);
    } else if (value >= -0x8000n) {
      this.#byte(0xd1);
      this.#length = this.#buffer.writeInt16BE(Number(value), this.#length);
    } else if (value >= -0x8000_0000n) {
      this.#byte(0xd2);
      this.#length = this.#buffer.writeInt32BE(Number(value), this.#length);
    } else {
      this.#byte(0xd3);
      this.#length = this.#buffer.writeBigInt64BE(value, this.#length);
    }
  }

  /** Length of a container: within the tag byte, or in 16 or 32 bits after it. */
  #head(count: number, form: { fixed: number; fixedMax: number; bits16: number }): void {
    if (count <= form.fixedMax) this.#byte(form.fixed | count);
    else if (count < 0x1_0000) this.#unsigned(form.bits16, count, 2);
    else this.#unsigned(form.bits16 + 1, count, 4);
  }

  #unsigned(tag: number, value: number, bytes: number): void {
    this.#byte(tag);
    this.#reserve(bytes);
    this.#length = this.#buffer.writeUIntBE(value, this.#length, bytes);
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#length = this.#buffer.writeUInt8(value, this.#length);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}
