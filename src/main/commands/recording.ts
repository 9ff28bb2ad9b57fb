// Reads `kvstream/1` recordings (test/golden/README.md) line by line. `verify` calls it; whatever
// is wrong with a recording becomes a RecordingError that names line and field.

import { createReadStream } from 'node:fs';

/** A frame of the largest size in base64, or a prompt of a million token ids, twice over. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

/** The recording cannot be read; the message says where and why. */
export class RecordingError extends Error {}

/** One line as parsed JSON, with its number for messages. */
export class RecordLine {
  readonly number: number;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(number: number, fields: Readonly<Record<string, unknown>>) {
    this.number = number;
    this.#fields = fields;
  }

  text(field: string): string {
    const value = this.#fields[field];
    return typeof value === 'string' ? value : this.fail(field, 'a string');
  }

  /** null when the field is absent or null. */
  optionalText(field: string): string | null {
    return (this.#fields[field] ?? null) === null ? null : this.text(field);
  }

  count(field: string): number {
    const value = this.#fields[field];
    if (!Number.isSafeInteger(value) || Number(value) < 0) this.fail(field, 'a count');
    return Number(value);
  }

  array(field: string): readonly unknown[] {
    const value = this.#fields[field];
    return Array.isArray(value) ? value : this.fail(field, 'an array');
  }

  /** Empty when the field is absent or null. */
  optionalArray(field: string): readonly unknown[] {
    return (this.#fields[field] ?? null) === null ? [] : this.array(field);
  }

  tokenIds(field: string): Uint32Array {
    const values = this.array(field);
    for (const value of values) {
      if (typeof value !== 'number' || value >>> 0 !== value) this.fail(field, 'token ids');
    }
    return Uint32Array.from(values as readonly number[]);
  }

  /** Number of one key of an object field. */
  countIn(field: string, key: string): number {
    const value = this.#fields[field];
    const inner = isRecord(value) ? value[key] : undefined;
    if (!Number.isSafeInteger(inner)) this.fail(`${field}.${key}`, 'an integer');
    return Number(inner);
  }

  fail(field: string, expected: string): never {
    const shown = JSON.stringify(this.#fields[field]) ?? 'missing';
    const found = shown.length > 40 ? `${shown.slice(0, 40)}…` : shown;
    throw new RecordingError(`line ${this.number}: field ${field}: expected ${expected}, ${found}`);
  }
}

/** Streams the lines of a file. Throws a RecordingError for an unreadable file or line. */
export async function* readRecording(file: string): AsyncGenerator<RecordLine> {
  const input = createReadStream(file);
  let number = 0;
  try {
    for await (const text of linesOf(input)) {
      number += 1;
      if (text.trim() === '') continue;
      yield new RecordLine(number, parseLine(text, number));
    }
  } catch (error) {
    if (error instanceof RecordingError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RecordingError(`cannot be read: ${reason}`, { cause: error });
  } finally {
    input.destroy();
  }
}

/** Splits at newlines; readline would buffer a line of any length and end the process over it. */
async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let bytes = 0;
  let number = 1;
  for await (const chunk of input) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      parts.push(chunk.subarray(from, end));
      yield Buffer.concat(parts).toString('utf8');
      parts = [];
      bytes = 0;
      number += 1;
      from = end + 1;
    }
    parts.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > LINE_BYTES_MAX) {
      throw new RecordingError(`line ${number}: longer than ${LINE_BYTES_MAX} bytes`);
    }
  }
  if (bytes > 0) yield Buffer.concat(parts).toString('utf8');
}

function parseLine(text: string, number: number): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RecordingError(`line ${number}: not JSON: ${String(error)}`, { cause: error });
  }
  if (!isRecord(value)) throw new RecordingError(`line ${number}: expected a JSON object`);
  return value;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
