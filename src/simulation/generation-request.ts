// Turns the body of /v1/chat/completions or /v1/completions into what the engine needs, with
// vLLM's checks and wording. Called by the generation handler before anything is queued.

import type { IncomingHttpHeaders } from 'node:http';
import type { JsonValue } from '#core/json-value.js';
import type { ChatPrompt } from '#core/portable/prompt/parse.js';
import type { SequenceIdentity } from './block-hash.js';
import type { EngineTokenizer } from './engine-tokenizer.js';
import { ApiError, isRecord, type JsonBody, validationError } from './http-io.js';
import { fold } from './mixing.js';
import type { ServedModels } from './served-models.js';

export type GenerationKind = 'chat' | 'completion';

/** A checked request. */
export interface GenerationRequest {
  readonly kind: GenerationKind;
  /** The name the client used. */
  readonly model: string;
  readonly identity: SequenceIdentity;
  /** Token ids of each prompt; a chat has one. */
  readonly prompts: readonly (readonly number[])[];
  /** Tokens to generate per prompt. */
  readonly outputTokens: readonly number[];
  /** `length` when the client's or the context's limit ends the answer, else `stop`. */
  readonly finishReason: 'length' | 'stop';
  /** Choices per prompt. */
  readonly choicesPerPrompt: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly returnTokenIds: boolean;
  /** Rank the client asked for, null for the engine's own choice. */
  readonly dataParallelRank: number | null;
}

export interface GenerationContext {
  readonly tokenizer: EngineTokenizer;
  readonly models: ServedModels;
  readonly maxModelLen: number;
  readonly dataParallelRanks: number;
}

/** Prompts of one /v1/completions request; each becomes a request of the engine. */
const PROMPTS_MAX = 1024;
const CHOICES_MAX = 128;
const SALT_LENGTH_MAX = 1024;
/** vLLM's default `max_tokens` of /v1/completions. */
const COMPLETION_TOKENS_DEFAULT = 16;
/** A chat without `max_tokens` ends by itself after this many tokens and up to as many more. */
const NATURAL_TOKENS_MIN = 32;

export async function parseGeneration(
  kind: GenerationKind,
  body: JsonBody,
  headers: IncomingHttpHeaders,
  context: GenerationContext,
): Promise<GenerationRequest> {
  const messages = kind === 'chat' ? requireMessages(body) : null;
  if (kind === 'completion' && body['prompt'] === undefined) {
    throw validationError('prompt', 'missing', 'Field required');
  }
  const lora = context.models.resolve(body['model']);
  const identity = { lora, cacheSalt: saltOf(body) };
  const outputMax = outputLimit(body);
  const streamOptions = body['stream_options'];
  const prompts =
    messages === null
      ? await completionPrompts(body['prompt'], context.tokenizer)
      : [await chatPrompt(body, context.tokenizer)];
  for (const prompt of prompts) checkPrompt(prompt, outputMax, context);
  const outputs = prompts.map((prompt) => outputTokens(kind, prompt, outputMax, body, context));
  return {
    kind,
    model: lora?.name ?? context.models.baseId,
    identity,
    prompts,
    outputTokens: outputs.map(({ tokens }) => tokens),
    finishReason: outputs[0]?.natural === true ? 'stop' : 'length',
    choicesPerPrompt: wholeNumber(body, 'n', { least: 1, most: CHOICES_MAX }) ?? 1,
    stream: flag(body, 'stream'),
    includeUsage: isRecord(streamOptions) && streamOptions['include_usage'] === true,
    returnTokenIds: flag(body, 'return_token_ids'),
    dataParallelRank: rankOf(headers['x-data-parallel-rank'], context.dataParallelRanks),
  };
}

/** The chat fields that reach the template, for generation and `/tokenize` alike. */
function chatInput(body: JsonBody): ChatPrompt {
  const { tools = null, chat_template_kwargs: templateArguments = {} } = body;
  return {
    kind: 'chat',
    messages: requireMessages(body),
    tools: Array.isArray(tools) && tools.length > 0 ? tools : null,
    documents: (body['documents'] ?? null) as JsonValue,
    reasoningEffort: (body['reasoning_effort'] ?? null) as JsonValue,
    addGenerationPrompt: body['add_generation_prompt'] !== false,
    continueFinalMessage: flag(body, 'continue_final_message'),
    addSpecialTokens: flag(body, 'add_special_tokens'),
    templateArguments: isRecord(templateArguments)
      ? (templateArguments as ChatPrompt['templateArguments'])
      : {},
    hasMedia: false,
    conversion: null,
  };
}

/** Renders a chat; what the template refuses is the client's fault. */
export function renderChat(body: JsonBody, tokenizer: EngineTokenizer): string {
  try {
    return tokenizer.renderChat(chatInput(body));
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    throw new ApiError(400, cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function requireMessages(body: JsonBody): ChatPrompt['messages'] {
  const messages = body['messages'];
  if (messages === undefined) throw validationError('messages', 'missing', 'Field required');
  if (!Array.isArray(messages)) {
    throw validationError('messages', 'list_type', 'Input should be a valid list');
  }
  if (!messages.every((message) => isRecord(message) && typeof message['role'] === 'string')) {
    throw validationError('messages', 'missing', 'every message needs a role');
  }
  return messages;
}

async function chatPrompt(body: JsonBody, tokenizer: EngineTokenizer): Promise<readonly number[]> {
  const transfer = body['kv_transfer_params'];
  if (isRecord(transfer) && transfer['prompt_token_ids'] !== undefined) {
    return tokenIds(transfer['prompt_token_ids'], tokenizer);
  }
  return tokenizer.encode(renderChat(body, tokenizer), flag(body, 'add_special_tokens'));
}

function completionPrompts(
  prompt: unknown,
  tokenizer: EngineTokenizer,
): Promise<readonly (readonly number[])[]> {
  const single = typeof prompt === 'string' || (Array.isArray(prompt) && isNumber(prompt[0]));
  const prompts: readonly unknown[] = single ? [prompt] : Array.isArray(prompt) ? prompt : [];
  if (prompts.length === 0 || prompts.length > PROMPTS_MAX) {
    throw new ApiError(400, `prompt must be 1 to ${PROMPTS_MAX} texts or token id lists`);
  }
  return Promise.all(
    prompts.map((one) =>
      typeof one === 'string' ? tokenizer.encode(one, true) : tokenIds(one, tokenizer),
    ),
  );
}

function tokenIds(value: unknown, tokenizer: EngineTokenizer): readonly number[] {
  if (!Array.isArray(value) || !value.every(isNumber)) {
    throw new ApiError(400, 'prompt must be a text, texts, token ids or lists of token ids');
  }
  for (const id of value) {
    if (!Number.isInteger(id) || id < 0 || id >= tokenizer.vocabularySize) {
      throw new ApiError(400, `Token id ${id} is out of vocabulary`);
    }
  }
  return value;
}

function checkPrompt(
  prompt: readonly number[],
  outputMax: number | null,
  context: GenerationContext,
): void {
  const { maxModelLen } = context;
  const tokens = prompt.length;
  if (tokens === 0) throw new ApiError(400, 'The prompt must contain at least one token.');
  const about = `This model's maximum context length is ${maxModelLen} tokens. However, `;
  const tail = `(parameter=input_tokens, value=${tokens})`;
  if (tokens >= maxModelLen) {
    throw new ApiError(
      400,
      `${about}your prompt contains ${tokens} input tokens, which exceeds this limit even without ` +
        `any output tokens. Please reduce the length of the input prompt. ${tail}`,
      { param: 'input_tokens' },
    );
  }
  if (outputMax !== null && tokens + outputMax > maxModelLen) {
    throw new ApiError(
      400,
      `${about}you requested ${outputMax} output tokens and your prompt contains at least ` +
        `${tokens} input tokens, for a total of at least ${tokens + outputMax} tokens. Please ` +
        `reduce the length of the input prompt or the number of requested output tokens. ${tail}`,
      { param: 'input_tokens' },
    );
  }
}

/** What the client allows, null when it leaves that to the engine. */
function outputLimit(body: JsonBody): number | null {
  const range = { least: 1, most: Number.MAX_SAFE_INTEGER };
  const newer = wholeNumber(body, 'max_completion_tokens', range);
  return newer ?? wholeNumber(body, 'max_tokens', range);
}

function outputTokens(
  kind: GenerationKind,
  prompt: readonly number[],
  outputMax: number | null,
  body: JsonBody,
  context: GenerationContext,
): { readonly tokens: number; readonly natural: boolean } {
  if (outputMax !== null) return { tokens: outputMax, natural: false };
  const room = context.maxModelLen - prompt.length;
  if (kind === 'completion') {
    return { tokens: Math.min(room, COMPLETION_TOKENS_DEFAULT), natural: false };
  }
  const natural = NATURAL_TOKENS_MIN + (fold(0, prompt) % NATURAL_TOKENS_MIN);
  if (flag(body, 'ignore_eos') || natural > room) return { tokens: room, natural: false };
  return { tokens: natural, natural: true };
}

function saltOf(body: JsonBody): string | null {
  const salt = body['cache_salt'];
  if (salt === undefined || salt === null) return null;
  if (typeof salt !== 'string' || salt === '' || salt.length > SALT_LENGTH_MAX) {
    throw new ApiError(400, `cache_salt must be a string of 1 to ${SALT_LENGTH_MAX} characters`);
  }
  return salt;
}

/** Non-integers are ignored, as vLLM does. */
function rankOf(header: string | string[] | undefined, ranks: number): number | null {
  if (typeof header !== 'string' || !/^-?\d+$/.test(header)) return null;
  const rank = Number(header);
  if (rank >= 0 && rank < ranks) return rank;
  throw new ApiError(400, `data_parallel_rank ${rank} is out of range [0, ${ranks}).`);
}

function wholeNumber(
  body: JsonBody,
  field: string,
  range: { readonly least: number; readonly most: number },
): number | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  if (!isNumber(value) || !Number.isInteger(value)) {
    throw validationError(field, 'int_type', 'Input should be a valid integer');
  }
  if (value < range.least || value > range.most) {
    throw new ApiError(400, `${field} must be at least ${range.least}, got ${value}.`, {
      param: field,
    });
  }
  return value;
}

function flag(body: JsonBody, field: string): boolean {
  return body[field] === true;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}
