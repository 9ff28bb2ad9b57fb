// Bounded, non-recursive scan over the bytes of a JSON body before anything parses it. It refuses
// what would block a thread or be read differently by two parsers, and finds the byte ranges of
// top-level members, so that fields can be cut out byte-exactly. Called by parse.ts; whether the
// text is JSON at all is decided by JSON.parse afterwards, so ranges hold for valid JSON only.
// Every index below is bounded by `bytes.length`.

import { isUtf8 } from 'node:buffer';
import type { ErrorCode } from '#contracts/errors.js';
import { JSON_DEPTH_MAX, JSON_KEYS_MAX, JSON_VALUES_MAX } from '#contracts/limits.js';
import type { Route } from '#contracts/request.js';

/** One `"name": value` pair; offsets are bytes from the start of the body. */
export interface JsonMember {
  readonly name: string;
  /** First byte of the name's quote. */
  readonly start: number;
  readonly valueStart: number;
  /** One past the value's last byte. */
  readonly end: number;
}

export interface JsonScan {
  /** Members of the top-level object; empty when the body is not an object. */
  readonly members: readonly JsonMember[];
  /** Members of the top-level object `vllm_xargs`. */
  readonly xargs: readonly JsonMember[];
  /** Byte ranges (start, end) of numbers that would lose a spelling (1.0, 1e5, 2^60) that is read. */
  readonly oddNumbers: readonly number[];
  /** Offsets of the quotes of keys like "12", which JavaScript objects would reorder. */
  readonly oddKeys: readonly number[];
  /** Values that count towards JSON_VALUES_MAX. */
  readonly values: number;
}

/** What is wrong with a body; `param` names the field where there is one. */
export interface ScanRefusal {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly param: string | null;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
// Of true, false and null these are the first letters, and no others.
const LETTER_T = 0x74;
const LETTER_F = 0x66;
const LETTER_N = 0x6e;
/** Digits up to which every integer is exact in a double. */
const EXACT_DIGITS = 15;
const XARGS = 'vllm_xargs';
/** Members that prompts are made of: in them numbers count as values too. */
const RENDERED: ReadonlySet<string> = new Set([
  'messages',
  'tools',
  'documents',
  'chat_template_kwargs',
  'reasoning_effort',
]);
/** The same of other APIs. Elsewhere `input` may be a list of texts or token ids to embed. */
const RENDERED_OF: ReadonlyMap<Route, ReadonlySet<string>> = new Map<Route, ReadonlySet<string>>([
  ['messages', new Set([...RENDERED, 'system', 'thinking', 'output_config'])],
  ['responses', new Set([...RENDERED, 'input', 'reasoning'])],
]);

/**
 * Scans the whole body of a route. Costs one pass and no recursion; JSON_DEPTH_MAX, JSON_KEYS_MAX and
 * JSON_VALUES_MAX hold.
 */
export function scanJson(bytes: Uint8Array, route: Route): JsonScan | ScanRefusal {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    return refusal('invalid_json', 'the body begins with a byte order mark; send plain UTF-8');
  }
  if (!isUtf8(bytes)) return refusal('invalid_json', 'the body is not valid UTF-8');
  return new Scanner(bytes, JSON_VALUES_MAX, RENDERED_OF.get(route) ?? RENDERED).run();
}

/**
 * Scans JSON that is a text inside a body, of at most `valuesMax` values. It has no members, and keys
 * that appear twice are fine: both sides read the last one.
 */
export function scanInnerJson(bytes: Uint8Array, valuesMax: number): JsonScan | ScanRefusal {
  return new Scanner(bytes, valuesMax, null).run();
}

export function isRefusal(result: JsonScan | ScanRefusal): result is ScanRefusal {
  return 'code' in result;
}

/** Byte ranges that remove `remove` (indexes into `members`) together with the right commas. */
export function cutRanges(
  members: readonly JsonMember[],
  remove: readonly number[],
): readonly { readonly offset: number; readonly length: number }[] {
  const ranges: { offset: number; length: number }[] = [];
  for (let at = 0; at < remove.length; at += 1) {
    const first = remove[at] as number;
    while (remove[at + 1] === (remove[at] as number) + 1) at += 1;
    const last = remove[at] as number;
    const before = members[first - 1];
    const after = members[last + 1];
    // A run goes with the comma behind it; at the end of the object with the one before it.
    const start =
      after === undefined && before !== undefined
        ? before.end
        : (members[first] as JsonMember).start;
    const end = after === undefined ? (members[last] as JsonMember).end : after.start;
    ranges.push({ offset: start, length: end - start });
  }
  return ranges;
}

function refusal(code: ErrorCode, detail: string, param: string | null = null): ScanRefusal {
  return { code, detail, param };
}

/** State of one scan: where it is, and the member being read at depth 1 and inside vllm_xargs. */
class Scanner {
  readonly #bytes: Uint8Array;
  readonly #members: JsonMember[] = [];
  readonly #xargs: JsonMember[] = [];
  readonly #oddNumbers: number[] = [];
  readonly #oddKeys: number[] = [];
  /** 1 for an object, 0 for an array, by depth. */
  readonly #kinds = new Uint8Array(JSON_DEPTH_MAX + 1);
  readonly #seen = new Set<string>();
  readonly #valuesMax: number;
  /** Null for JSON that is a text inside a body: all of it counts, and it has no members. */
  readonly #rendered: ReadonlySet<string> | null;
  #depth = 0;
  #keys = 0;
  #values = 0;
  #countsNumbers: boolean;
  #expectKey = false;
  readonly #open: (OpenMember | null)[] = [null, null, null];

  constructor(bytes: Uint8Array, valuesMax: number, rendered: ReadonlySet<string> | null) {
    this.#bytes = bytes;
    this.#valuesMax = valuesMax;
    this.#rendered = rendered;
    this.#countsNumbers = rendered === null;
  }

  run(): JsonScan | ScanRefusal {
    const bytes = this.#bytes;
    let at = 0;
    while (at < bytes.length) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) {
        const end = stringEnd(bytes, at);
        const problem = this.#expectKey ? this.#key(at, end) : this.#counted();
        if (problem !== null) return problem;
        if (!this.#expectKey) this.#value(at, end);
        at = end;
        continue;
      }
      if (byte === MINUS || (byte >= 0x30 && byte <= 0x39)) {
        const problem = this.#countsNumbers ? this.#counted() : null;
        if (problem !== null) return problem;
        const end = this.#number(at);
        this.#value(at, end);
        at = end;
        continue;
      }
      const problem = this.#structure(byte, at);
      if (problem !== null) return problem;
      at += 1;
    }
    return {
      members: this.#members,
      xargs: this.#xargs,
      oddNumbers: this.#oddNumbers,
      oddKeys: this.#oddKeys,
      values: this.#values,
    };
  }

  #structure(byte: number, at: number): ScanRefusal | null {
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      if (this.#depth === JSON_DEPTH_MAX) {
        return refusal('body_too_deep', `the body nests deeper than ${JSON_DEPTH_MAX} levels`);
      }
      this.#value(at, at);
      this.#depth += 1;
      this.#kinds[this.#depth] = byte === OPEN_BRACE ? 1 : 0;
      this.#expectKey = byte === OPEN_BRACE;
      return this.#counted();
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      this.#close(this.#depth);
      if (this.#depth > 0) this.#depth -= 1;
      this.#expectKey = false;
      this.#value(at, at + 1);
    } else if (byte === COMMA) {
      this.#close(this.#depth);
      this.#expectKey = this.#kinds[this.#depth] === 1;
    } else if (byte === COLON) {
      this.#expectKey = false;
    } else if (byte > 0x20) {
      // A byte of true, false or null: the value reaches at least to here.
      this.#value(at, at + 1);
      if (byte === LETTER_T || byte === LETTER_F || byte === LETTER_N) return this.#counted();
    }
    return null;
  }

  /** One value more. */
  #counted(): ScanRefusal | null {
    this.#values += 1;
    if (this.#values <= this.#valuesMax) return null;
    const detail = `the body has more than ${this.#valuesMax} values; send shorter lists`;
    return refusal('body_too_deep', detail);
  }

  /** A key was read at [start, end). */
  #key(start: number, end: number): ScanRefusal | null {
    this.#keys += 1;
    if (this.#keys > JSON_KEYS_MAX) {
      return refusal('body_too_deep', `the body has more than ${JSON_KEYS_MAX} object keys`);
    }
    if (isOddKey(this.#bytes, start, end)) this.#oddKeys.push(start);
    const list = this.#listAt(this.#depth);
    if (list === null) return null;
    const name = keyText(this.#bytes, start, end);
    const param = list === this.#members ? name : `${XARGS}.${name}`;
    if (this.#seen.has(param)) {
      return refusal('duplicate_field', `${param}: appears twice in the body; send it once`, param);
    }
    this.#seen.add(param);
    this.#open[this.#depth] = { name, start, valueStart: -1, end };
    if (this.#depth === 1) this.#countsNumbers = this.#rendered?.has(name) ?? true;
    return null;
  }

  /** A value, or a part of one, covers [start, end). Extends the members that are open. */
  #value(start: number, end: number): void {
    for (let depth = 1; depth <= 2 && depth <= this.#depth; depth += 1) {
      const open = this.#open[depth];
      if (open === null || open === undefined) continue;
      if (open.valueStart < 0) open.valueStart = start;
      open.end = end;
    }
  }

  #close(depth: number): void {
    const open = this.#open[depth];
    if (depth > 2 || open === null || open === undefined) return;
    this.#open[depth] = null;
    if (depth === 1) this.#countsNumbers = false;
    if (open.valueStart >= 0) this.#listAt(depth)?.push(open);
  }

  /** Where the members of the object at `depth` are collected, null where they are not. */
  #listAt(depth: number): JsonMember[] | null {
    if (this.#rendered === null) return null;
    if (depth === 1) return this.#kinds[1] === 1 ? this.#members : null;
    if (depth !== 2 || this.#kinds[2] !== 1) return null;
    return this.#open[1]?.name === XARGS ? this.#xargs : null;
  }

  /** Skips a number, noting it when a double would spell it differently to a template. */
  #number(start: number): number {
    const bytes = this.#bytes;
    let end = start + 1;
    let odd = false;
    while (end < bytes.length) {
      const byte = bytes[end] as number;
      if (byte === 0x2e || byte === 0x65 || byte === 0x45) odd = true;
      else if (!((byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === MINUS)) break;
      end += 1;
    }
    if (this.#countsNumbers && (odd || end - start > EXACT_DIGITS)) {
      this.#oddNumbers.push(start, end);
    }
    return end;
  }
}

interface OpenMember {
  name: string;
  start: number;
  valueStart: number;
  end: number;
}

/** One past the closing quote of the string that begins at `start`, or the end of the text. */
function stringEnd(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < bytes.length) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) return at + 1;
    at += byte === BACKSLASH ? 2 : 1;
  }
  return bytes.length;
}

/** Whether a key begins with a digit, written plainly or as an escape. */
function isOddKey(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start + 1] as number;
  if (first !== BACKSLASH) return first >= 0x30 && first <= 0x39;
  return /^\d/.test(keyText(bytes, start, end));
}

/** Text of a key, escapes resolved, so that "mod\u0065l" is seen as what it is. */
function keyText(bytes: Uint8Array, start: number, end: number): string {
  const raw = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
  if (!raw.includes('\\')) return raw.slice(1, -1);
  try {
    return String(JSON.parse(raw));
  } catch {
    return raw;
  }
}
