// From body bytes to a checked request: what is refused, what is stripped, what the prompt is made
// of. Called by encode.ts for every request. Only what routing and the prompt depend on is checked;
// sampling parameters are the engine's business. Sources of field rules: vLLM's request protocol.

import type { Route } from '#contracts/request.js';
import { isJsonObject, type JsonValue } from '#core/json-value.js';
import { chatOfMessages } from './anthropic.js';
import {
  type Body,
  has,
  invalid,
  kindOf,
  needsEngine,
  Refused,
  readBoolean,
  readString,
} from './body-fields.js';
import { readPlainPrompt } from './completion.js';
import { type Conversion, type ConvertedChat, NotConverted } from './converted-chat.js';
import {
  cutRanges,
  isRefusal,
  type JsonMember,
  type JsonScan,
  type ScanRefusal,
  scanJson,
} from './json-scan.js';
import { isText, parseMarked } from './json-value.js';
import { type ChatMedia, NO_MEDIA, readMedia } from './media.js';
import { chatOfResponses } from './responses.js';

/** What the template is given; messages are still as the client wrote them. */
export interface ChatPrompt {
  readonly kind: 'chat';
  readonly messages: readonly JsonValue[];
  readonly tools: readonly JsonValue[] | null;
  readonly documents: JsonValue;
  readonly reasoningEffort: JsonValue;
  readonly addGenerationPrompt: boolean;
  readonly continueFinalMessage: boolean;
  readonly addSpecialTokens: boolean;
  readonly templateArguments: { readonly [key: string]: JsonValue };
  /** Only the text before the first of its media is matched: what they become only engines know. */
  readonly hasMedia: boolean;
  /** Of a chat that was made of another API's request; null for a client's own. */
  readonly conversion: Conversion | null;
}

export type ParsedPrompt =
  | ChatPrompt
  | { readonly kind: 'text'; readonly text: string; readonly addSpecialTokens: boolean }
  | { readonly kind: 'tokens'; readonly tokenIds: Uint32Array }
  /** Nothing to match, and why. */
  | {
      readonly kind: 'none';
      readonly reason: 'extra-keys' | 'several-prompts' | 'not-a-prompt' | 'prompt-not-read';
    };

export interface ParsedRequest {
  readonly model: string;
  /** Bytes of the model's name as JSON string inside the body; 0 long when absent. */
  readonly modelOffset: number;
  readonly modelBytes: number;
  readonly stream: boolean;
  readonly priority: number;
  readonly cacheSalt: string;
  /** Ranges to cut from the body before it is sent on. */
  readonly cuts: readonly { readonly offset: number; readonly length: number }[];
  readonly prompt: ParsedPrompt;
  /** Images, audio and video of a chat. */
  readonly media: ChatMedia;
}

export type ParseResult =
  | { readonly ok: true; readonly request: ParsedRequest }
  | { readonly ok: false; readonly refusal: ScanRefusal };

/** cache_salt of vLLM: 1…1024 characters. */
const CACHE_SALT_LENGTH_MAX = 1024;
/** Longer than any repository path; names are read again on the main thread. */
const MODEL_NAME_LENGTH_MAX = 1024;
const PRIORITY_MAX = 2 ** 31 - 1;
/** They let a client replace the prompt or point an engine at a foreign KV source. */
const STRIPPED: readonly string[] = [
  'kv_transfer_params',
  'ec_transfer_params',
  'bootstrap_host',
  'bootstrap_port',
  'bootstrap_room',
];
/** Re-announces stored blocks, which breaks reference counts (wire-formats rule 9). */
const STRIPPED_XARGS: readonly string[] = ['kv_cache_report_mode'];
/** Members whose numbers and keys may be printed by a template, whatever the API. */
const RENDERED: ReadonlySet<string> = new Set([
  'messages',
  'tools',
  'documents',
  'chat_template_kwargs',
]);
/** Checks one body. Never throws for what a client can send. */
export function parseRequest(bytes: Uint8Array, route: Route): ParseResult {
  const unread = UNREAD.get(route);
  if (unread !== undefined && !beginsAsObject(bytes)) {
    return { ok: true, request: { ...EMPTY_REQUEST, prompt: unread } };
  }
  const scan = scanJson(bytes, route);
  if (isRefusal(scan)) return { ok: false, refusal: scan };
  try {
    return { ok: true, request: readBody(bytes, scan, route) };
  } catch (error) {
    if (error instanceof Refused) return { ok: false, refusal: error.refusal };
    if (error instanceof SyntaxError) {
      const detail = `the body is not valid JSON: ${error.message}`;
      return { ok: false, refusal: { code: 'invalid_json', detail, param: null } };
    }
    throw error;
  }
}

const NOT_READ: ParsedPrompt = { kind: 'none', reason: 'prompt-not-read' };
/** Routes whose bodies need not be JSON, and why such prompts are not matched. */
const UNREAD: ReadonlyMap<Route, ParsedPrompt> = new Map<Route, ParsedPrompt>([
  ['passthrough', { kind: 'none', reason: 'not-a-prompt' }],
  ['messages', NOT_READ],
  ['responses', NOT_READ],
]);

const EMPTY_REQUEST: ParsedRequest = {
  model: '',
  modelOffset: 0,
  modelBytes: 0,
  stream: false,
  priority: 0,
  cacheSalt: '',
  cuts: [],
  prompt: { kind: 'none', reason: 'not-a-prompt' },
  media: NO_MEDIA,
};

function readBody(bytes: Uint8Array, scan: JsonScan, route: Route): ParsedRequest {
  const body = parseMarked(bytes, scan, RENDERED);
  if (!isJsonObject(body)) {
    throw new Refused({
      code: 'invalid_body',
      detail: 'the body must be a JSON object',
      param: null,
    });
  }
  refuseTemplates(body);
  const cacheSalt = readString(body, 'cache_salt') ?? '';
  if (cacheSalt.length > CACHE_SALT_LENGTH_MAX || (cacheSalt === '' && has(body, 'cache_salt'))) {
    invalid('cache_salt', `must be a string of 1 to ${CACHE_SALT_LENGTH_MAX} characters`);
  }
  const model = scan.members.find((member) => member.name === 'model');
  const modelName = readString(body, 'model') ?? '';
  if (modelName.length > MODEL_NAME_LENGTH_MAX) {
    invalid('model', `must be at most ${MODEL_NAME_LENGTH_MAX} characters`);
  }
  return {
    model: modelName,
    modelOffset: model?.valueStart ?? 0,
    modelBytes: model === undefined ? 0 : model.end - model.valueStart,
    stream: readBoolean(body, 'stream', false),
    priority: readPriority(body),
    cacheSalt,
    cuts: stripped(scan),
    ...readPrompt(body, route),
  };
}

function stripped(scan: JsonScan): ParsedRequest['cuts'] {
  const named = (members: readonly JsonMember[], names: readonly string[]): number[] =>
    members.flatMap((member, at) => (names.includes(member.name) ? [at] : []));
  return [
    ...cutRanges(scan.members, named(scan.members, STRIPPED)),
    ...cutRanges(scan.xargs, named(scan.xargs, STRIPPED_XARGS)),
  ].sort((a, b) => a.offset - b.offset);
}

/** A template of the client's own would let it run code in the engine and break every prediction. */
function refuseTemplates(body: Body): void {
  const template = body['chat_template_kwargs'];
  const inside = isJsonObject(template) && has(template, 'chat_template');
  if (!has(body, 'chat_template') && !inside) return;
  const param = inside ? 'chat_template_kwargs.chat_template' : 'chat_template';
  throw new Refused({
    code: 'template_not_allowed',
    detail: `${param}: requests may not bring their own chat template; remove the field`,
    param,
  });
}

function readPrompt(body: Body, route: Route): Pick<ParsedRequest, 'prompt' | 'media'> {
  if (route === 'chat-completions') return readChat(body, null);
  if (route === 'messages') return readConverted(body, chatOfMessages);
  if (route === 'responses') return readConverted(body, chatOfResponses);
  return { prompt: UNREAD.get(route) ?? readPlainPrompt(body, route), media: NO_MEDIA };
}

/** What is wrong with a request of another API is for the engine to say. */
function readConverted(
  body: Body,
  convert: (body: Body) => ConvertedChat,
): Pick<ParsedRequest, 'prompt' | 'media'> {
  try {
    const converted = convert(body);
    return readChat(converted.body, converted.conversion);
  } catch (error) {
    if (error instanceof NotConverted || error instanceof Refused) {
      return { prompt: NOT_READ, media: NO_MEDIA };
    }
    throw error;
  }
}

function readChat(
  body: Body,
  conversion: Conversion | null,
): Pick<ParsedRequest, 'prompt' | 'media'> {
  const messages = body['messages'];
  if (!Array.isArray(messages)) invalid('messages', `must be an array, got ${kindOf(messages)}`);
  if (messages.length === 0) invalid('messages', 'must hold at least one message');
  for (const [at, message] of messages.entries()) checkMessage(message, `messages[${at}]`);
  const tools = body['tools'] ?? null;
  if (tools !== null && !Array.isArray(tools)) {
    invalid('tools', `must be an array, got ${kindOf(tools)}`);
  }
  const templateArguments = body['chat_template_kwargs'] ?? {};
  if (!isJsonObject(templateArguments)) {
    invalid('chat_template_kwargs', `must be an object, got ${kindOf(templateArguments)}`);
  }
  const addGenerationPrompt = readBoolean(body, 'add_generation_prompt', true);
  const continueFinalMessage = readBoolean(body, 'continue_final_message', false);
  if (addGenerationPrompt && continueFinalMessage) {
    invalid('continue_final_message', 'cannot be used together with add_generation_prompt');
  }
  const media = readMedia(messages);
  if (needsEngine(body)) {
    return { prompt: { kind: 'none', reason: 'extra-keys' }, media };
  }
  const prompt: ChatPrompt = {
    kind: 'chat',
    messages,
    // An empty list is none in a chat; that of another API's request is given to the template.
    tools: tools === null || (tools.length === 0 && conversion === null) ? null : tools,
    documents: body['documents'] ?? null,
    reasoningEffort: body['reasoning_effort'] ?? null,
    addGenerationPrompt,
    continueFinalMessage,
    addSpecialTokens: readBoolean(body, 'add_special_tokens', false),
    templateArguments,
    hasMedia: media.inKeys,
    conversion,
  };
  return { prompt, media };
}

function checkMessage(message: JsonValue, where: string): void {
  if (!isJsonObject(message)) invalid(where, `must be an object, got ${kindOf(message)}`);
  const { role, content } = message;
  if (!isText(role)) invalid(`${where}.role`, `must be a string, got ${kindOf(role)}`);
  const fine = content === undefined || content === null || isText(content);
  if (!fine && !Array.isArray(content)) {
    invalid(`${where}.content`, `must be a string or an array of parts, got ${kindOf(content)}`);
  }
}

function readPriority(body: Body): number {
  const value = body['priority'] ?? 0;
  if (!Number.isInteger(value) || Math.abs(value as number) > PRIORITY_MAX) {
    invalid('priority', `must be an integer of at most 32 bits, got ${kindOf(value)}`);
  }
  return value as number;
}

function beginsAsObject(bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length && (bytes[at] as number) <= 0x20) at += 1;
  return bytes[at] === 0x7b;
}
