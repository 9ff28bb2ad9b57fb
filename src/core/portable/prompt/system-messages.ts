// Where engines put what the system says: before all others, where a template wants it there or knows no
// developers. Called by render.ts. Sources: vLLM 0.32's entrypoints/anthropic/serving.py, renderers/hf.py.

import type { JsonValue } from '#core/json-value.js';

type JsonObject = { readonly [key: string]: JsonValue };

const isOf = (role: string) => (message: JsonValue) => (message as JsonObject)['role'] === role;
const isSystem = isOf('system');

/** One system message before all others, of the texts of all, which are no lists of parts. */
export function withSystemFirst(messages: readonly JsonValue[]): readonly JsonValue[] {
  const texts = messages.filter(isSystem).map((message) => wholeText(message));
  return texts.length === 0 ? messages : systemFirst(texts.join(''), messages);
}

/**
 * For a template that knows no developers they are the system; with them, and only then, all of the
 * system is one message before the others.
 */
export function withoutDevelopers(messages: readonly JsonValue[]): readonly JsonValue[] {
  if (!messages.some(isOf('developer'))) return messages;
  const renamed = messages.map((message) => {
    if (!isOf('developer')(message)) return message;
    const { tools: _tools, ...rest } = message as JsonObject;
    return { ...rest, role: 'system' };
  });
  if (renamed.findLastIndex(isSystem) === 0) return renamed;
  const texts = renamed.filter(isSystem).map((message) => wholeText(message));
  return systemFirst(texts.filter((text) => text !== '').join('\n\n'), renamed);
}

function systemFirst(content: string, messages: readonly JsonValue[]): readonly JsonValue[] {
  return [{ role: 'system', content }, ...messages.filter((message) => !isSystem(message))];
}

/** A message's content as text, its parts joined by newlines. */
function wholeText(message: JsonValue): string {
  const { content } = message as JsonObject;
  if (!Array.isArray(content)) return String(content);
  return content.map((part) => String((part as JsonObject)['text'])).join('\n');
}
