// Brings OpenAI messages and tools into the form vLLM gives its templates, because only then the
// rendered text is the engine's. Called by encode.ts between parse and render. Sources: vLLM's
// entrypoints/chat_utils.py (content parts, tool calls) and its request protocol (tools).

import { JSON_VALUES_MAX } from '#contracts/limits.js';
import { isJsonObject, type JsonValue } from '#core/json-value.js';
import { type InnerBudget, isText, parseInnerJson } from './json-value.js';

type JsonObject = { readonly [key: string]: JsonValue };

/** Whether a template prints `message.content` as a string or loops over its parts. */
export type ContentFormat = 'string' | 'openai';

export function normalizeMessages(
  messages: readonly JsonValue[],
  format: ContentFormat,
): readonly JsonValue[] {
  const budget = { values: JSON_VALUES_MAX };
  return messages.filter(isJsonObject).map((message) => normalizeMessage(message, format, budget));
}

/** Tools as the engine's models dump them: declared fields first, absent ones as null. */
export function normalizeTools(tools: readonly JsonValue[]): readonly JsonValue[] {
  return tools.map((tool) => {
    if (!isJsonObject(tool) || !isJsonObject(tool['function'])) return tool;
    const { name, description = null, parameters = null, ...extra } = tool['function'];
    const { type = 'function', function: _function, ...rest } = tool;
    return { type, function: { name: name ?? null, description, parameters, ...extra }, ...rest };
  });
}

function normalizeMessage(
  message: JsonObject,
  format: ContentFormat,
  budget: InnerBudget,
): JsonObject {
  const role = String(message['role']);
  const result: { [key: string]: JsonValue } = { role, content: contentOf(message, role, format) };
  if (role === 'assistant') {
    const calls = message['tool_calls'];
    if (Array.isArray(calls) && calls.length > 0) {
      result['tool_calls'] = calls.map((call) => normalizeCall(call, budget));
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
  const texts = parts.map(textOf).filter((text) => text !== null);
  if (format === 'string' || role === 'tool') return texts.join('\n');
  return texts.map((text) => ({ type: 'text', text }));
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
function normalizeCall(call: JsonValue, budget: InnerBudget): JsonValue {
  if (!isJsonObject(call) || !isJsonObject(call['function'])) return call;
  const { arguments: given = null, name = null } = call['function'];
  const { id, type } = call;
  return {
    ...(id === undefined ? {} : { id }),
    function: { arguments: callArguments(given, budget), name },
    ...(type === undefined ? {} : { type }),
  };
}

/** Text that is no JSON or too much of it, and what is no object or array, becomes an empty object. */
function callArguments(given: JsonValue, budget: InnerBudget): JsonValue {
  if (typeof given === 'string') return parseInnerJson(given, budget) ?? {};
  return typeof given === 'object' && given !== null ? given : {};
}
