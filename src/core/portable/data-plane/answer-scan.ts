// Looks at the bytes of an answer as they pass: counts the data events of a stream and keeps the
// last bytes, from which usage is read when the answer has ended. Ordinary chunks are neither
// copied nor turned into strings.

import type { ReportedUsage } from '#contracts/core.js';

export const NO_USAGE: ReportedUsage = { promptTokens: -1, completionTokens: -1, cachedTokens: -1 };

/** Usage follows the text of a JSON answer; 16 KiB hold it with room for trailing fields. */
const JSON_TAIL_BYTES = 16 * 1024;
/** The usage event of a stream is its last one, or the one before `[DONE]`. */
const EVENTS_TAIL_BYTES = 8 * 1024;
/** Mentions of "usage" looked at, from the last one back. */
const MENTIONS_MAX = 4;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const DATA = Buffer.from('data:');
const USAGE = Buffer.from('"usage"');
const DONE = Buffer.from('data: [DONE]');

export class AnswerScan {
  readonly #events: boolean;
  readonly #tailBytesMax: number;
  #tail: Buffer[] = [];
  #tailBytes = 0;
  #dataEvents = 0;
  /** Bytes of `data:` matched at the start of the current line, −1 further inside the line. */
  #matched = 0;
  /** Bytes of the current line so far, as far as it matters: 0, or more than 0. */
  #lineEmpty = true;
  #eventCounted = false;
  /** Line ends at the end of what has come, 2 standing for more and for nothing at all. */
  #lineEnds = 2;

  constructor(kind: 'events' | 'json') {
    this.#events = kind === 'events';
    this.#tailBytesMax = this.#events ? EVENTS_TAIL_BYTES : JSON_TAIL_BYTES;
  }

  push(chunk: Buffer): void {
    if (this.#events) this.#countEvents(chunk);
    this.#tail.push(chunk);
    this.#tailBytes += chunk.length;
    let [oldest] = this.#tail;
    while (oldest !== undefined && this.#tailBytes - oldest.length >= this.#tailBytesMax) {
      this.#tail.shift();
      this.#tailBytes -= oldest.length;
      [oldest] = this.#tail;
    }
  }

  /** Data events so far, `[DONE]` not counted. */
  get chunks(): number {
    const ended = this.#events && this.#lastBytes().lastIndexOf(DONE) >= 0;
    return this.#dataEvents - (ended ? 1 : 0);
  }

  /** True when a stream's last event has been ended by an empty line. */
  get atEventBoundary(): boolean {
    return this.#lineEnds >= 2;
  }

  /** Usage of an answer that has ended. */
  usage(): ReportedUsage {
    const tail = this.#lastBytes().subarray(-this.#tailBytesMax);
    let end = tail.length;
    for (let mention = 0; mention < MENTIONS_MAX && end > 0; mention += 1) {
      const at = tail.lastIndexOf(USAGE, end - 1);
      if (at < 0) break;
      const found = readUsage(tail, at + USAGE.length);
      if (found !== null) return found;
      end = at;
    }
    return NO_USAGE;
  }

  #lastBytes(): Buffer {
    if (this.#tail.length !== 1) this.#tail = [Buffer.concat(this.#tail)];
    return this.#tail[0] ?? Buffer.alloc(0);
  }

  /** Counts the first `data:` line of every event; lines may be cut anywhere. */
  #countEvents(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      const byte = chunk[at];
      if (byte === NEWLINE) {
        if (this.#lineEmpty) this.#eventCounted = false;
        this.#lineEnds = Math.min(this.#lineEnds + 1, 2);
        this.#lineEmpty = true;
        this.#matched = 0;
        at += 1;
      } else if (this.#matched >= 0 && byte === DATA[this.#matched]) {
        this.#lineEmpty = false;
        this.#lineEnds = 0;
        this.#matched += 1;
        at += 1;
        if (this.#matched < DATA.length) continue;
        if (!this.#eventCounted) this.#dataEvents += 1;
        this.#eventCounted = true;
        this.#matched = -1;
      } else if (byte === CARRIAGE_RETURN) {
        // Looked at one by one: a line that goes on after it is not empty.
        this.#matched = -1;
        at += 1;
      } else {
        this.#lineEmpty = false;
        this.#lineEnds = 0;
        this.#matched = -1;
        at = chunk.indexOf(NEWLINE, at);
        if (at < 0) return;
      }
    }
  }
}

/** Reads the object after `"usage"`; null when it is none, cut, or quoted text. */
function readUsage(tail: Buffer, from: number): ReportedUsage | null {
  const text = /^\s*:\s*(\{[\s\S]*)$/.exec(tail.toString('utf8', from))?.[1];
  if (text === undefined) return null;
  const end = objectEnd(text);
  if (end < 0) return null;
  let usage: unknown;
  try {
    usage = JSON.parse(text.slice(0, end));
  } catch {
    return null;
  }
  return field(usage, 'output_tokens') === undefined ? usageOfChat(usage) : usageOfInput(usage);
}

function usageOfChat(usage: unknown): ReportedUsage {
  const details = field(usage, 'prompt_tokens_details');
  return {
    promptTokens: count(field(usage, 'prompt_tokens')),
    completionTokens: count(field(usage, 'completion_tokens')),
    cachedTokens: count(field(details, 'cached_tokens')),
  };
}

/**
 * Of the Responses and the Messages API. In the latter `input_tokens` are those that were neither read
 * from the cache nor, where that is told, written to it.
 */
function usageOfInput(usage: unknown): ReportedUsage {
  const input = count(field(usage, 'input_tokens'));
  const read = count(field(usage, 'cache_read_input_tokens'));
  const written = count(field(usage, 'cache_creation_input_tokens'));
  const details = field(usage, 'input_tokens_details');
  return {
    promptTokens: input < 0 ? -1 : input + Math.max(0, read) + Math.max(0, written),
    completionTokens: count(field(usage, 'output_tokens')),
    cachedTokens: Math.max(read, count(field(details, 'cached_tokens'))),
  };
}

/** Length of the object `text` begins with, −1 when it does not end. */
function objectEnd(text: string): number {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (quoted) {
      if (character === '\\') at += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === '{') depth += 1;
    else if (character === '}') {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : -1;
}
