// Parses JSON text into plain values without losing what Python's parser would keep: the spelling
// of numbers (1.0, 1e5, 2^60) and the order of keys like "12". Such numbers and keys are marked in
// the text before JSON.parse and carried as marked strings; python-values.ts reads the marks.

import type { JsonValue } from '#core/json-value.js';
import { isRefusal, type JsonScan, scanInnerJson } from './json-scan.js';

// Noncharacters: legal in JSON, meaningless in text. A body that has one is parsed without marks.
const NUMBER_MARK = '\ufdd0';
const KEY_MARK = '\ufdd1';
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const MARK_IN_TEXT = /[\ufdd0\ufdd1]|\\u[fF][dD][dD][01]/;

/** The number's own spelling when `text` is a marked number, else null. */
export function markedNumber(text: string): string | null {
  return text.startsWith(NUMBER_MARK) ? text.slice(1) : null;
}

/** Whether a value is a text, and not a number whose spelling is kept in one. */
export function isText(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && markedNumber(value) === null;
}

/** The key as the client wrote it. */
export function unmarkedKey(key: string): string {
  return key.startsWith(KEY_MARK) ? key.slice(1) : key;
}

/** JSON.parse of scanned bytes, marking only inside the top-level members named in `within`. */
export function parseMarked(
  bytes: Uint8Array,
  scan: JsonScan,
  within: ReadonlySet<string> | null,
): JsonValue {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = (from: number, to: number): string => buffer.toString('utf8', from, to);
  if (scan.oddNumbers.length === 0 && scan.oddKeys.length === 0) {
    return JSON.parse(text(0, bytes.length)) as JsonValue;
  }
  if (MARK_IN_TEXT.test(text(0, bytes.length))) {
    return JSON.parse(text(0, bytes.length)) as JsonValue;
  }
  const edits = editsWithin(buffer, scan, within);
  let out = '';
  let done = 0;
  for (const { start, end } of edits) {
    out += text(done, start);
    out += end < 0 ? `"${KEY_MARK}` : `"${NUMBER_MARK}${text(start, end)}"`;
    done = end < 0 ? start + 1 : end;
  }
  return JSON.parse(out + text(done, bytes.length)) as JsonValue;
}

/** How many values the texts inside one body may still have. */
export interface InnerBudget {
  values: number;
}

/** Parses text inside a body (tool-call arguments); undefined when it is not acceptable JSON. */
export function parseInnerJson(text: string, budget: InnerBudget): JsonValue | undefined {
  const bytes = Buffer.from(text, 'utf8');
  const scan = scanInnerJson(bytes, budget.values);
  if (isRefusal(scan)) return undefined;
  try {
    const value = parseMarked(bytes, scan, null);
    budget.values -= scan.values;
    return value;
  } catch {
    return undefined;
  }
}

interface Edit {
  readonly start: number;
  /** One past a number; −1 for a key. */
  readonly end: number;
}

function editsWithin(
  bytes: Buffer,
  scan: JsonScan,
  within: ReadonlySet<string> | null,
): readonly Edit[] {
  const edits: Edit[] = [];
  for (let i = 0; i < scan.oddNumbers.length; i += 2) {
    const [start = 0, end = 0] = scan.oddNumbers.slice(i, i + 2);
    // What is no number stays, for JSON.parse to refuse: marked, it would pass as a string.
    if (NUMBER.test(bytes.toString('latin1', start, end))) edits.push({ start, end });
  }
  for (const start of scan.oddKeys) edits.push({ start, end: -1 });
  edits.sort((a, b) => a.start - b.start);
  if (within === null) return edits;
  const inside = scan.members.filter((member) => within.has(member.name));
  return edits.filter(({ start }) =>
    inside.some((member) => start >= member.valueStart && start < member.end),
  );
}
