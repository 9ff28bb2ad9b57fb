// The chat that an engine makes of an Anthropic Messages request. Called by parse.ts. Source: vLLM
// 0.32's conversion (entrypoints/anthropic/serving.py, protocol.py).

import { isJsonObject, type JsonValue } from '#core/json-value.js';
import type { Body } from './body-fields.js';
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
import { BILLING_HEADER } from './messages.js';

type Message = { [key: string]: JsonValue };

const THINKING: readonly string[] = ['enabled', 'adaptive', 'disabled'];
const EFFORTS: readonly string[] = ['low', 'medium', 'high', 'xhigh', 'max'];

/** Throws NotConverted for what engines refuse, and for changes of tools within the messages. */
export function chatOfMessages(body: Body): ConvertedChat {
  const messages: Message[] = [];
  const system = systemText(body['system']);
  if (system !== '') messages.push({ role: 'system', content: system });
  for (const message of listOf(body['messages'])) addMessage(objectOf(message), messages);
  const thinking = optional(body['thinking'], (value) => oneOf(objectOf(value)['type'], THINKING));
  const output = optional(body['output_config'], objectOf) ?? {};
  return {
    body: {
      messages,
      tools: optional(body['tools'], (tools) => listOf(tools).map(toolOf)),
      chat_template_kwargs: body['chat_template_kwargs'] ?? null,
      reasoning_effort: optional(output['effort'], (effort) => oneOf(effort, EFFORTS)),
    },
    conversion: {
      mergesSystem: true,
      thinkingOff: thinking === 'disabled',
      callsByName: false,
    },
  };
}

function oneOf(value: JsonValue | undefined, known: readonly string[]): string {
  const text = textOf(value);
  return known.includes(text) ? text : notConverted();
}

function toolOf(value: JsonValue): JsonValue {
  const tool = objectOf(value);
  const schema = objectOf(tool['input_schema']);
  const parameters = schema['type'] === undefined ? { ...schema, type: 'object' } : schema;
  return functionTool(tool, textOf(tool['name']), parameters);
}

/** Of the request's own system prompt, which as one text is taken whole. */
function systemText(system: JsonValue | undefined): string {
  if (isText(system)) return system;
  return textOfBlocks(optional(system, listOf) ?? []);
}

function textOfBlocks(blocks: readonly JsonValue[]): string {
  return blocks
    .map(objectOf)
    .filter((block) => {
      if (changesTools(block)) notConverted();
      return block['type'] === 'text';
    })
    .map((block) => optional(block['text'], textOf) ?? '')
    .filter((text) => !text.startsWith(BILLING_HEADER))
    .join('');
}

function changesTools({ type }: Body): boolean {
  return type === 'tool_addition' || type === 'tool_removal';
}

function addMessage(message: Body, messages: Message[]): void {
  const { role, content } = message;
  if (role === 'system') {
    const text = isText(content) ? content : textOfBlocks(listOf(content));
    if (text !== '' && !text.startsWith(BILLING_HEADER)) messages.push({ role, content: text });
    return;
  }
  if (role !== 'user' && role !== 'assistant') notConverted();
  if (isText(content)) {
    messages.push({ role, content });
    return;
  }
  const converted = new Parts();
  for (const block of listOf(content)) addBlock(objectOf(block), role, converted, messages);
  const { reasoning, calls, parts } = converted;
  const [only] = parts;
  const result: Message = { role };
  if (reasoning.length > 0) result['reasoning'] = reasoning.join('');
  if (calls.length > 0) result['tool_calls'] = calls;
  if (parts.length === 1 && isJsonObject(only) && only['type'] === 'text') {
    result['content'] = only['text'] ?? '';
  } else if (parts.length > 0) {
    result['content'] = parts;
  }
  if (role === 'assistant' || parts.length > 0) messages.push(result);
}

/** What the blocks of one message become. */
class Parts {
  readonly reasoning: string[] = [];
  readonly calls: JsonValue[] = [];
  readonly parts: JsonValue[] = [];
}

/** Results of tools become messages of their own, before that of the text beside them. */
function addBlock(block: Body, role: string, to: Parts, messages: Message[]): void {
  switch (block['type']) {
    case 'text': {
      const text = optional(block['text'], textOf) ?? '';
      if (text !== '') to.parts.push({ type: 'text', text });
      return;
    }
    case 'image': {
      const source = optional(block['source'], objectOf) ?? {};
      if (Object.keys(source).length > 0) to.parts.push(imagePart(imageUrl(source)));
      return;
    }
    case 'thinking': {
      const thinking = optional(block['thinking'], textOf);
      if (thinking !== null) to.reasoning.push(thinking);
      return;
    }
    case 'tool_use':
      to.calls.push(callOf(block));
      return;
    case 'tool_result':
      if (role !== 'user') notConverted();
      addToolResult(block, messages);
      return;
    case 'redacted_thinking':
    case 'tool_reference':
      return;
    default:
      notConverted();
  }
}

function callOf(block: Body): JsonValue {
  const id = textOf(block['id']);
  // The engine makes one up.
  if (id === '') notConverted();
  const name = optional(block['name'], textOf) ?? '';
  const input = optional(block['input'], objectOf) ?? {};
  return { id, type: 'function', function: { name, arguments: input } };
}

function addToolResult(block: Body, messages: Message[]): void {
  const id = optional(block['tool_use_id'], textOf) ?? '';
  const { content } = block;
  const texts: string[] = [];
  const images: string[] = [];
  if (isText(content)) texts.push(content);
  else {
    for (const value of optional(content, listOf) ?? []) {
      const item = objectOf(value);
      if (item['type'] === 'text')
        texts.push(item['text'] === undefined ? '' : textOf(item['text']));
      else if (item['type'] === 'image') images.push(imageUrl(objectOf(item['source'] ?? {})));
      // Templates that know them declare the tools anew.
      else if (item['type'] === 'tool_reference') notConverted();
    }
  }
  messages.push({ role: 'tool', tool_call_id: id, content: texts.join('\n') });
  const shown = images.filter((url) => url !== '').map(imagePart);
  if (shown.length > 0) messages.push({ role: 'user', content: shown });
}

function imageUrl(source: Body): string {
  const field = (name: string, absent: string): string =>
    source[name] === undefined ? absent : textOf(source[name]);
  if (source['type'] === 'url') return field('url', '');
  return `data:${field('media_type', 'image/jpeg')};base64,${field('data', '')}`;
}

/** As a part of a chat, so that the same image has the same name in all APIs. */
function imagePart(url: string): JsonValue {
  return { type: 'image_url', image_url: { url } };
}
