// From body bytes to a checked request: what is refused, what is stripped, what the prompt is made
// of. Called by encode.ts for every request. Only what routing and the prompt depend on is checked;
// sampling parameters are the engine's business. Sources of field rules: vLLM's request protocol.

import type { Route } from '#contracts/request.js';
import { isJsonObject, type JsonValue } from '#core/json-value.js';
import {
  cutRanges,
  isRefusal,
  type JsonMember,
  type JsonScan,
  type ScanRefusal,
  scanJson,
} from './json-scan.js';
import { isText, markedNumber, parseMarked } from './json-value.js';
import { type ChatMedia, NO_MEDIA, readMedia } from './media.js';

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
const TOKEN_ID_MAX = 2 ** 31 - 1;
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
/** Members whose numbers and keys may be printed by a template. */
const RENDERED: ReadonlySet<string> = new Set([
  'messages',
  'tools',
  'documents',
  'chat_template_kwargs',
]);
/** Fields that change the prompt in ways only the engine can know. */
const ENGINE_ONLY: readonly string[] = [
  'prompt_embeds',
  'mm_processor_kwargs',
  'media_io_kwargs',
  'truncate_prompt_tokens',
];
/** The same of SGLang's /generate: media, adapters, namespaces, a session's earlier turns. */
const SGLANG_ENGINE_ONLY: readonly string[] = [
  'input_embeds',
  'image_data',
  'video_data',
  'audio_data',
  'lora_path',
  'extra_key',
  'session_params',
  'session_id',
];

/** Checks one body. Never throws for what a client can send. */
export function parseRequest(bytes: Uint8Array, route: Route): ParseResult {
  const unread = UNREAD.get(route);
  if (unread !== undefined && !beginsAsObject(bytes)) {
    return { ok: true, request: { ...EMPTY_REQUEST, prompt: unread } };
  }
  const scan = scanJson(bytes);
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

/** Routes whose bodies need not be JSON, and why their prompts are not matched. */
const UNREAD: ReadonlyMap<Route, ParsedPrompt> = new Map([
  ['passthrough', { kind: 'none', reason: 'not-a-prompt' }],
  ['unread-prompt', { kind: 'none', reason: 'prompt-not-read' }],
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

type Body = { readonly [key: string]: JsonValue };

class Refused extends Error {
  readonly refusal: ScanRefusal;

  constructor(refusal: ScanRefusal) {
    super(refusal.detail);
    this.refusal = refusal;
  }
}

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
  if (route === 'chat-completions') return readChat(body);
  return { prompt: UNREAD.get(route) ?? readPlainPrompt(body, route), media: NO_MEDIA };
}

/** The prompt of a route without a template. */
function readPlainPrompt(body: Body, route: Route): ParsedPrompt {
  if (route === 'vllm-generate') return readTokenIds(body);
  return route === 'sglang-generate' ? readGenerate(body) : readCompletion(body);
}

function readChat(body: Body): Pick<ParsedRequest, 'prompt' | 'media'> {
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
  if (needsEngine(body) || media.inKeys) {
    return { prompt: { kind: 'none', reason: 'extra-keys' }, media };
  }
  const prompt: ChatPrompt = {
    kind: 'chat',
    messages,
    tools: tools === null || tools.length === 0 ? null : tools,
    documents: body['documents'] ?? null,
    reasoningEffort: body['reasoning_effort'] ?? null,
    addGenerationPrompt,
    continueFinalMessage,
    addSpecialTokens: readBoolean(body, 'add_special_tokens', false),
    templateArguments,
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

function needsEngine(body: Body): boolean {
  return ENGINE_ONLY.some((name) => has(body, name));
}

function readCompletion(body: Body): ParsedPrompt {
  const prompt = body['prompt'];
  const addSpecialTokens = readBoolean(body, 'add_special_tokens', true);
  if (needsEngine(body)) return { kind: 'none', reason: 'extra-keys' };
  return textOrTokens(prompt, 'prompt', addSpecialTokens);
}

/** vLLM's /inference/v1/generate; `features` are of a prompt with media. */
function readTokenIds(body: Body): ParsedPrompt {
  const ids = body['token_ids'];
  if (!Array.isArray(ids)) invalid('token_ids', `must be an array, got ${kindOf(ids)}`);
  const tokenIds = tokens(ids, 'token_ids');
  return has(body, 'features') ? { kind: 'none', reason: 'extra-keys' } : tokenIds;
}

/** SGLang's /generate: ids beat the text, which it tokenises with special tokens. */
function readGenerate(body: Body): ParsedPrompt {
  if (SGLANG_ENGINE_ONLY.some((name) => has(body, name))) {
    return { kind: 'none', reason: 'extra-keys' };
  }
  for (const name of ['input_ids', 'text']) {
    if (has(body, name)) return textOrTokens(body[name], name, true);
  }
  // Another engine's /generate.
  return { kind: 'none', reason: 'prompt-not-read' };
}

function textOrTokens(
  prompt: JsonValue | undefined,
  where: string,
  addSpecialTokens: boolean,
): ParsedPrompt {
  if (typeof prompt === 'string') return { kind: 'text', text: prompt, addSpecialTokens };
  if (!Array.isArray(prompt) || prompt.length === 0) {
    invalid(where, 'must be a string, an array of strings, or one or more arrays of token ids');
  }
  if (typeof prompt[0] === 'number') return tokens(prompt, where);
  const [first] = prompt;
  for (const [at, one] of prompt.entries()) {
    if (typeof one !== 'string' && !Array.isArray(one)) {
      invalid(`${where}[${at}]`, `must be a string or an array of token ids, got ${kindOf(one)}`);
    }
  }
  if (prompt.length > 1) return { kind: 'none', reason: 'several-prompts' };
  if (typeof first === 'string') return { kind: 'text', text: first, addSpecialTokens };
  return tokens(first as readonly JsonValue[], `${where}[0]`);
}

function tokens(values: readonly JsonValue[], where: string): ParsedPrompt {
  if (values.length === 0) invalid(where, 'must hold at least one token id');
  const tokenIds = new Uint32Array(values.length);
  for (const [at, value] of values.entries()) {
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > TOKEN_ID_MAX) {
      invalid(`${where}[${at}]`, `must be a token id, got ${kindOf(value)}`);
    }
    tokenIds[at] = value as number;
  }
  return { kind: 'tokens', tokenIds };
}

function readString(body: Body, name: string): string | null {
  const value = body[name] ?? null;
  if (value !== null && typeof value !== 'string') {
    invalid(name, `must be a string, got ${kindOf(value)}`);
  }
  return value;
}

function readBoolean(body: Body, name: string, fallback: boolean): boolean {
  const value = body[name] ?? fallback;
  if (typeof value !== 'boolean') invalid(name, `must be true or false, got ${kindOf(value)}`);
  return value;
}

function readPriority(body: Body): number {
  const value = body['priority'] ?? 0;
  if (!Number.isInteger(value) || Math.abs(value as number) > PRIORITY_MAX) {
    invalid('priority', `must be an integer of at most 32 bits, got ${kindOf(value)}`);
  }
  return value as number;
}

function has(body: Body, name: string): boolean {
  return body[name] !== undefined && body[name] !== null;
}

function kindOf(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  const spelling = typeof value === 'string' ? markedNumber(value) : null;
  const number = spelling === null ? value : Number(spelling);
  if (typeof number === 'number') return `the number ${number}`;
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function invalid(param: string, problem: string): never {
  throw new Refused({ code: 'invalid_body', detail: `${param}: ${problem}`, param });
}

function beginsAsObject(bytes: Uint8Array): boolean {
  let at = 0;
  while (at < bytes.length && (bytes[at] as number) <= 0x20) at += 1;
  return bytes[at] === 0x7b;
}
