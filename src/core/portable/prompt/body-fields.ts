// Reading members of a body that is JSON, and refusing what is not as it must be. Used by parse.ts and
// completion.ts.

import type { JsonValue } from '#core/json-value.js';
import type { ScanRefusal } from './json-scan.js';
import { markedNumber } from './json-value.js';

export type Body = { readonly [key: string]: JsonValue };

/** A body that is refused, and why. */
export class Refused extends Error {
  readonly refusal: ScanRefusal;

  constructor(refusal: ScanRefusal) {
    super(refusal.detail);
    this.refusal = refusal;
  }
}

/** Fields that change the prompt in ways only the engine can know. */
const ENGINE_ONLY: readonly string[] = [
  'prompt_embeds',
  'mm_processor_kwargs',
  'media_io_kwargs',
  'truncate_prompt_tokens',
];

export function needsEngine(body: Body): boolean {
  return ENGINE_ONLY.some((name) => has(body, name));
}

export function readString(body: Body, name: string): string | null {
  const value = body[name] ?? null;
  if (value !== null && typeof value !== 'string') {
    invalid(name, `must be a string, got ${kindOf(value)}`);
  }
  return value;
}

export function readBoolean(body: Body, name: string, fallback: boolean): boolean {
  const value = body[name] ?? fallback;
  if (typeof value !== 'boolean') invalid(name, `must be true or false, got ${kindOf(value)}`);
  return value;
}

export function has(body: Body, name: string): boolean {
  return body[name] !== undefined && body[name] !== null;
}

export function kindOf(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  const spelling = typeof value === 'string' ? markedNumber(value) : null;
  const number = spelling === null ? value : Number(spelling);
  if (typeof number === 'number') return `the number ${number}`;
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

export function invalid(param: string, problem: string): never {
  throw new Refused({ code: 'invalid_body', detail: `${param}: ${problem}`, param });
}
