// Brings OpenAI messages and tools into the form vLLM gives its templates, because only then the
// rendered text is the engine's. Called by render.ts. Sources: vLLM's renderers/chat_utils.py (content
// parts, tool calls), renderers/hf.py (developers) and its request protocol (tools).

import { JSON_VALUES_MAX } from '#contracts/limits.js';
import { isJsonObject, type JsonValue } from '#core/json-value.js';
import { type InnerBudget, isText, parseInnerJson } from './json-value.js';
import { isMedia, MEDIA_MARK } from './media.js';

type JsonObject = { readonly [key: string]: JsonValue };

/** Whether a template prints `message.content` as a string or loops over its parts. */
export type ContentFormat = 'string' | 'openai';

/** Begins a text of Claude Code that differs from request to request; engines leave it out. */
export const BILLING_HEADER = 'x-anthropic-billing-header';

/** How a template is given messages. */
export interface MessageForm {
  readonly format: ContentFormat;
  /** Calls of tools have their name before their arguments. */
  readonly callsByName: boolean;
  /** The first of the media is marked. */
  readonly marksMedia: boolean;
}

export function normalizeMessages(
  messages: readonly JsonValue[],
  form: MessageForm,
): readonly JsonValue[] {
  const budget = { values: JSON_VALUES_MAX };
  let { marksMedia } = form;
  return messages.filter(isJsonObject).map((message) => {
    const marked = marksMedia ? withMark(message, form.format) : null;
    if (marked !== null) marksMedia = false;
    return normalizeMessage(marked ?? message, form, budget);
  });
}

/**
 * A message whose first medium is a text; null if it has none. Templates that print content are given
 * the media of a message before its texts.
 */
function withMark(message: JsonObject, format: ContentFormat): JsonObject | null {
  const { content } = message;
  const at = Array.isArray(content) ? content.findIndex(isMedia) : -1;
  if (!Array.isArray(content) || at < 0) return null;
  const place = format === 'string' ? 0 : at;
  const texts = content.toSpliced(at, 1);
  return { ...message, content: texts.toSpliced(place, 0, MEDIA_MARK) };
}

/** Tools as the engine's models dump them: the fields it knows in its order, three of them if null too. */
export function normalizeTools(tools: readonly JsonValue[]): readonly JsonValue[] {
  return tools.map((tool) => {
    if (!isJsonObject(tool) || !isJsonObject(tool['function'])) return tool;
    const { name = null, description = null, parameters = null, strict = null } = tool['function'];
    const { type = 'function', defer_loading: deferredTool = null } = tool;
    const deferred = tool['function']['defer_loading'] ?? deferredTool;
    return {
      type,
      function: {
        ...{ name, description, parameters },
        ...(strict === null ? {} : { strict }),
        ...(deferred === null ? {} : { defer_loading: deferred }),
      },
      ...(deferredTool === null ? {} : { defer_loading: deferredTool }),
    };
  });
}

function normalizeMessage(
  message: JsonObject,
  { format, callsByName }: MessageForm,
  budget: InnerBudget,
): JsonObject {
  const role = String(message['role']);
  const result: { [key: string]: JsonValue } = { role, content: contentOf(message, role, format) };
  if (role === 'assistant') {
    const calls = message['tool_calls'];
    if (Array.isArray(calls) && calls.length > 0) {
      result['tool_calls'] = calls.map((call) => normalizeCall(call, callsByName, budget));
    }
    const reasoning = message['reasoning'] ?? message['reasoning_content'] ?? null;
    if (reasoning !== null) {
      result['reasoning'] = reasoning;
      result['reasoning_content'] = reasoning;
    }
  }
  if (role === 'tool' && message['tool_call_id'] !== undefined) {
    result['tool_call_id'] = message['tool_call_id'];
  }
  if (isText(message['name'])) result['name'] = message['name'];
  if (role === 'developer') result['tools'] = message['tools'] ?? null;
  return result;
}

/** Templates that print content get text parts joined by newlines; tool results always do. */
function contentOf(message: JsonObject, role: string, format: ContentFormat): JsonValue {
  const content = message['content'] ?? [];
  const parts = typeof content === 'string' ? [content] : (content as readonly JsonValue[]);
  const read = parts.map(textOf).filter((text) => text !== null);
  const texts = role === 'system' ? read.flatMap(withoutBilling) : read;
  if (format === 'string') return texts.filter((text) => text !== '').join('\n');
  return role === 'tool' ? texts.join('\n') : texts.map((text) => ({ type: 'text', text }));
}

/** A text of the system without the line that begins as BILLING_HEADER; nothing if that was all. */
function withoutBilling(text: string): readonly string[] {
  if (!text.startsWith(BILLING_HEADER)) return [text];
  const line = text.indexOf('\n');
  return line < 0 || line + 1 === text.length ? [] : [text.slice(line + 1)];
}

/** Text of a part; null for parts the engine skips. */
function textOf(part: JsonValue): string | null {
  if (typeof part === 'string') return part;
  if (!isJsonObject(part)) return null;
  const field = part['type'] === 'refusal' || part['type'] === 'thinking' ? part['type'] : 'text';
  const text = part[field];
  return isText(text) ? text : null;
}

/** Templates expect arguments as objects, clients send them as JSON text. */
function normalizeCall(call: JsonValue, byName: boolean, budget: InnerBudget): JsonValue {
  if (!isJsonObject(call) || !isJsonObject(call['function'])) return call;
  const { arguments: given = null, name = null } = call['function'];
  const { id, type } = call;
  const callArguments = argumentsOf(given, budget);
  return {
    ...(id === undefined ? {} : { id }),
    function: byName ? { name, arguments: callArguments } : { arguments: callArguments, name },
    ...(type === undefined ? {} : { type }),
  };
}

/** Text that is no JSON or too much of it, and what is no object, becomes an empty object. */
function argumentsOf(given: JsonValue, budget: InnerBudget): JsonValue {
  const value = isText(given) ? parseInnerJson(given, budget) : given;
  return isJsonObject(value) ? value : {};
}
