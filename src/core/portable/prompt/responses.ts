// The chat that an engine makes of an OpenAI Responses request. Called by parse.ts. Source: vLLM 0.32's
// conversion (entrypoints/openai/responses/utils.py, protocol.py; tool_parsers/utils.py).

import { isJsonObject, type JsonValue } from '#core/json-value.js';
import { type Body, has } from './body-fields.js';
import {
  type ConvertedChat,
  functionTool,
  listOf,
  notConverted,
  objectOf,
  optional,
  textOf,
} from './converted-chat.js';
import { isText } from './json-value.js';

type Message = { [key: string]: JsonValue };

/** What only the engine knows, or refuses. */
const ENGINE_ONLY: readonly string[] = [
  'previous_response_id',
  'previous_input_messages',
  'prompt',
  'mm_processor_kwargs',
  'media_io_kwargs',
];
const ROLES: readonly string[] = ['user', 'system', 'developer', 'assistant'];
const UNFINISHED: readonly string[] = ['in_progress', 'incomplete'];

/** Throws NotConverted for what engines refuse, and for what only they know. */
export function chatOfResponses(body: Body): ConvertedChat {
  if (ENGINE_ONLY.some((name) => has(body, name))) notConverted();
  const { input } = body;
  const messages: Message[] = [];
  if (isText(input)) messages.push({ role: 'user', content: input });
  else for (const item of listOf(input)) addItem(objectOf(item), messages);
  const instructions = optional(body['instructions'], textOf) ?? '';
  if (instructions !== '') messages.unshift({ role: 'system', content: instructions });
  const continues = !isText(input) && isUnfinished(listOf(input).at(-1));
  const reasoning = optional(body['reasoning'], objectOf) ?? {};
  const tools = optional(body['tools'], listOf) ?? [];
  return {
    body: {
      messages,
      tools: tools.length === 0 ? null : tools.flatMap(toolsOf),
      chat_template_kwargs: body['chat_template_kwargs'] ?? null,
      reasoning_effort: optional(reasoning['effort'], textOf),
      add_generation_prompt: !continues,
      continue_final_message: continues,
    },
    conversion: { mergesSystem: false, thinkingOff: false, callsByName: true },
  };
}

/** An answer, or thoughts, that the engine goes on with. */
function isUnfinished(last: JsonValue | undefined): boolean {
  if (!isJsonObject(last)) return false;
  const { type = 'message', status = null } = last;
  return (type === 'message' || type === 'reasoning') && UNFINISHED.includes(status as string);
}

/** Functions, those of namespaces too, and custom tools as functions of one text; others are not shown. */
function toolsOf(value: JsonValue): readonly JsonValue[] {
  const tool = objectOf(value);
  if (tool['type'] === 'function') return [functionOf(tool, '')];
  if (tool['type'] === 'custom') return [customTool(tool)];
  if (tool['type'] !== 'namespace') return [];
  const within = listOf(tool['tools']).map(objectOf);
  const prefix = `${textOf(tool['name'])}__`;
  return within.filter(({ type }) => type === 'function').map((inner) => functionOf(inner, prefix));
}

function functionOf(tool: Body, prefix: string): JsonValue {
  const parameters = optional(tool['parameters'], objectOf);
  return functionTool(tool, `${prefix}${textOf(tool['name'])}`, parameters);
}

function customTool(tool: Body): JsonValue {
  const format = optional(tool['format'], objectOf) ?? {};
  // Engines refuse it.
  if (format['type'] === 'grammar') notConverted();
  const input = { type: 'string', description: 'The freeform text payload for this tool.' };
  const { name, description = null } = tool;
  return functionTool({ description }, textOf(name), {
    type: 'object',
    properties: { input },
    required: ['input'],
    additionalProperties: false,
  });
}

function addItem(item: Body, messages: Message[]): void {
  switch (item['type'] ?? 'message') {
    case 'function_call': {
      const { call_id: id, name, arguments: given } = item;
      const namespace = optional(item['namespace'], textOf) ?? '';
      const prefix = namespace === '' ? '' : `${namespace}__`;
      addCall(textOf(id), `${prefix}${textOf(name)}`, textOf(given), messages);
      return;
    }
    case 'custom_tool_call': {
      const input = optional(item['input'], textOf) ?? '';
      addCall(textOf(item['call_id']), textOf(item['name']), { input }, messages);
      return;
    }
    case 'function_call_output':
    case 'custom_tool_call_output': {
      const { output } = item;
      const content = isText(output) ? output : listOf(output);
      messages.push({ role: 'tool', tool_call_id: textOf(item['call_id']), content });
      return;
    }
    case 'reasoning':
      addToAnswer('reasoning', thoughtsOf(item), messages);
      return;
    case 'message':
      addMessage(item, messages);
      return;
    default:
      notConverted();
  }
}

function addMessage(item: Body, messages: Message[]): void {
  const { role, content } = item;
  if (!isText(role) || !ROLES.includes(role)) notConverted();
  const given = isText(content) ? content : listOf(content);
  const isAnswer = role === 'assistant' && (isText(given) || given.length > 0);
  if (!isAnswer) messages.push({ role, content: given });
  // Of an answer in several parts the engine takes the first.
  else addToAnswer('content', isText(given) ? given : textOf(objectOf(given[0])['text']), messages);
}

function thoughtsOf(item: Body): string {
  if ((optional(item['encrypted_content'], textOf) ?? '') !== '') notConverted();
  const content = optional(item['content'], listOf) ?? [];
  const [first] = content.length > 0 ? content : listOf(item['summary']);
  return first === undefined ? '' : textOf(objectOf(first)['text']);
}

/** The parts of one answer are items of their own; they are one message until one comes twice. */
function addToAnswer(part: 'content' | 'reasoning', text: string, messages: Message[]): void {
  const last = messages.at(-1);
  if (last?.['role'] === 'assistant' && last[part] === undefined) last[part] = text;
  else messages.push({ role: 'assistant', [part]: text });
}

function addCall(id: string, name: string, given: JsonValue, messages: Message[]): void {
  const call = { id, type: 'function', function: { name, arguments: given } };
  let last = messages.at(-1);
  if (last?.['role'] !== 'assistant') {
    last = { role: 'assistant' };
    messages.push(last);
  }
  const calls = (last['tool_calls'] ?? []) as JsonValue[];
  calls.push(call);
  last['tool_calls'] = calls;
}
