// What the conversions of other chat APIs have in common. Engines serve those APIs by making a chat of
// each request; a prompt is read by making the same one. Used by anthropic.ts and responses.ts.

import { isJsonObject, type JsonValue } from '#core/json-value.js';
import type { Body } from './body-fields.js';
import { isText } from './json-value.js';

/** What a converted chat asks of the template besides. */
export interface Conversion {
  /** System messages go before all others where the template wants them there. */
  readonly mergesSystem: boolean;
  /** Thinking is switched off, by the effort that does so with the template. */
  readonly thinkingOff: boolean;
  /** Calls of tools have their name before their arguments, not behind them. */
  readonly callsByName: boolean;
}

/** The members of a chat-completions body that decide its prompt. */
export interface ConvertedChat {
  readonly body: Body;
  readonly conversion: Conversion;
}

/** A request that engines refuse, or make something of that is not known here. */
export class NotConverted extends Error {}

export function notConverted(): never {
  throw new NotConverted();
}

export function objectOf(value: JsonValue | undefined): Body {
  return isJsonObject(value) ? value : notConverted();
}

export function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return Array.isArray(value) ? (value as readonly JsonValue[]) : notConverted();
}

export function textOf(value: JsonValue | undefined): string {
  return isText(value) ? value : notConverted();
}

/** Absent members are null. */
export function optional<Value>(
  value: JsonValue | undefined,
  read: (value: JsonValue) => Value,
): Value | null {
  return value === undefined || value === null ? null : read(value);
}

/** A tool of a chat; what engines dump of it is said where it is rendered. */
export function functionTool(tool: Body, name: string, parameters: JsonValue): JsonValue {
  const { description = null, strict = null, defer_loading: deferred = null } = tool;
  const given = { name, description, parameters, strict, defer_loading: deferred };
  return { type: 'function', function: given };
}
