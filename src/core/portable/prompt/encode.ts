// What `encode` does to one request on a prompt worker: parse, render, tokenize, hash, match. The
// outcome goes into the handle's record. Nothing thrown inside loses a request: it becomes
// `encoder-failed`, which routes by load, and is told to main for the log.

import type { KeyNamespace } from '#contracts/block.js';
import type { ModelDescriptor } from '#contracts/core.js';
import { PROMPT_CHARACTERS_MAX, PROMPT_TOKENS_MAX } from '#contracts/limits.js';
import type { PromptMatch, RequestHandle, Route } from '#contracts/request.js';
import type { EngineTokenizer } from '#core/engine-tokenizer.js';
import type { JsonValue } from '#core/json-value.js';
import { type BlockKey, namespaceSeed } from '../keys.js';
import { chainStart, extendChain } from './hash.js';
import type { ScanRefusal } from './json-scan.js';
import type { PromptMatcher } from './match.js';
import { MEDIA_MARK, mediaKeys } from './media.js';
import { type ParsedPrompt, type ParsedRequest, parseRequest } from './parse.js';
import { type EncodeOutcome, emptyOutcome, newMatch, type RecordTable } from './record.js';
import { TemplateRefusal } from './template-runtime.js';
import type { TokenizerCache } from './tokenizer-cache.js';

export interface EncodeContext {
  readonly records: RecordTable;
  readonly matcher: PromptMatcher;
  readonly tokenizers: TokenizerCache;
  readonly engine: EngineTokenizer;
  readonly hashSecret: bigint;
  readonly nowMs: () => number;
  /** Told once per request that could not be encoded. */
  readonly failed: (problem: string) => void;
  /** Chunks looked up in prefix stores, and found. */
  readonly counted: (lookups: number, hits: number) => void;
}

/** A prompt that can be encoded: with text, or as ids already. */
type Prompt = Exclude<ParsedPrompt, { readonly kind: 'none' }>;

/** Encodes requests of one worker. */
export class RequestEncoder {
  readonly #context: EncodeContext;
  readonly #seeds = new Map<string, BlockKey>();
  #models = new Map<string, ModelDescriptor>();

  constructor(context: EncodeContext) {
    this.#context = context;
  }

  setModels(models: readonly ModelDescriptor[]): void {
    this.#models = new Map(models.map((model) => [model.id, model]));
    const implied = models.find((model) => model.implied);
    // No model's id is empty.
    if (implied !== undefined) this.#models.set('', implied);
    this.#seeds.clear();
  }

  /** Encodes one handle. Resolves when its record is written, or at once when it is stale. */
  async encode(handle: RequestHandle, route: Route): Promise<void> {
    const { records, nowMs, failed } = this.#context;
    const body = records.copyBody(handle);
    if (body === null) return;
    const outcome = emptyOutcome();
    let match: PromptMatch | null = null;
    try {
      const startedMs = nowMs();
      const parsed = parseRequest(body, route);
      outcome.micros.parse = micros(nowMs() - startedMs);
      if (parsed.ok) match = await this.#encodeParsed(parsed.request, { body, route }, outcome);
      else outcome.refusal = parsed.refusal;
    } catch (error) {
      outcome.noMatchReason = 'encoder-failed';
      failed(error instanceof Error ? error.message : String(error));
    }
    records.write(handle, outcome, match);
  }

  /** Token ids of a body for one model, proven or not; rejects with the reason for what it cannot. */
  async tokenIds(model: ModelDescriptor, route: Route, text: string): Promise<Uint32Array> {
    const body = Buffer.from(text, 'utf8');
    const parsed = parseRequest(body, route);
    if (!parsed.ok) throw new Error(parsed.refusal.detail);
    const { prompt } = parsed.request;
    if (prompt.kind === 'none') throw new Error(`nothing to tokenize: ${prompt.reason}`);
    if (prompt.kind === 'tokens') return prompt.tokenIds;
    if (hasMedia(prompt)) throw new Error('nothing to tokenize: extra-keys');
    const source = model.tokenizer;
    if (source === null) throw new Error(`no tokenizer was found for ${model.id}`);
    if (source.kind === 'engine') {
      if (isConverted(prompt)) throw new Error('nothing to tokenize: prompt-not-read');
      return this.#context.engine.tokenIds(source.engines, parseBody(body), route);
    }
    const { tokenizer } = await this.#context.tokenizers.get(source.directory);
    if (prompt.kind === 'text') return tokenizer.encode(prompt.text, prompt.addSpecialTokens);
    if (tokenizer.renderer === null) throw new Error(`${model.id} has no chat template`);
    return tokenizer.encode(tokenizer.renderer.renderChat(prompt), prompt.addSpecialTokens);
  }

  async #encodeParsed(
    request: ParsedRequest,
    { body, route }: { readonly body: Buffer; readonly route: Route },
    outcome: EncodeOutcome,
  ): Promise<PromptMatch | null> {
    const model = this.#models.get(request.model);
    outcome.modelIndex = model?.index ?? -1;
    outcome.modelOffset = request.modelOffset;
    outcome.modelBytes = request.modelBytes;
    outcome.stream = request.stream;
    outcome.priority = request.priority;
    outcome.cuts = request.cuts;
    outcome.media = mediaKeys(request.media, this.#context.hashSecret);
    const { prompt } = request;
    if (prompt.kind === 'none') return stop(outcome, prompt.reason);
    if (model === undefined) return stop(outcome, 'no-tokenizer');
    if (!model.matched) return stop(outcome, 'policy-without-prefixes');
    if (prompt.kind !== 'tokens') {
      if (model.tokenizer === null) return stop(outcome, 'no-tokenizer');
      if (!model.proven) return stop(outcome, 'tokenizer-unproven');
    }
    if (model.blockSize === null) return stop(outcome, 'block-size-unknown');
    const { pool, adapter } = model;
    const seed = this.#seed({ pool, adapter, cacheSalt: request.cacheSalt });
    outcome.blockSize = model.blockSize;
    await this.#tokenizeAndHash({ prompt, model, seed, body, route }, outcome);
    return this.#match(prompt, model, outcome);
  }

  /** Fills keys and token count, or a reason why there are none. */
  async #tokenizeAndHash(
    input: {
      readonly prompt: Prompt;
      readonly model: ModelDescriptor;
      readonly seed: BlockKey;
      readonly body: Buffer;
      readonly route: Route;
    },
    outcome: EncodeOutcome,
  ): Promise<void> {
    const { prompt, model, seed, body, route } = input;
    const source = model.tokenizer;
    if (prompt.kind === 'tokens') return this.#hash(prompt.tokenIds, seed, outcome);
    if (source === null) return;
    const { nowMs } = this.#context;
    if (source.kind === 'engine') {
      if (isConverted(prompt)) {
        outcome.noMatchReason = 'prompt-not-read';
        return;
      }
      if (hasMedia(prompt)) {
        outcome.noMatchReason = 'extra-keys';
        return;
      }
      const startedMs = nowMs();
      const ids = await this.#context.engine.tokenIds(source.engines, parseBody(body), route);
      outcome.micros.tokenize = micros(nowMs() - startedMs);
      return this.#hash(ids, seed, outcome);
    }
    // Files that cannot be loaded were told to main when the models came.
    const entry = await this.#context.tokenizers.get(source.directory).catch(() => null);
    if (entry === null) {
      outcome.noMatchReason = 'no-tokenizer';
      return;
    }
    const { tokenizer, store } = entry;
    const startedMs = nowMs();
    const rendered =
      prompt.kind === 'text'
        ? { text: prompt.text, rest: '' }
        : renderText(tokenizer, prompt, outcome);
    outcome.micros.render = micros(nowMs() - startedMs);
    if (rendered === null) return;
    const { text, rest } = rendered;
    if (text.length + rest.length > PROMPT_CHARACTERS_MAX) {
      outcome.noMatchReason = 'over-limit';
      return;
    }
    const { addSpecialTokens } = prompt;
    const keyed = await store.key({ text, addSpecialTokens, seed, blockSize: outcome.blockSize });
    this.#context.counted(keyed.chunks, keyed.hits);
    const restTokens = rest === '' ? 0 : (await tokenizer.encode(rest, false)).length;
    outcome.promptTokens = keyed.promptTokens + restTokens;
    outcome.keys = keyed.keys;
    outcome.micros.tokenize = micros(keyed.tokenizeMs);
    outcome.micros.hash = micros(keyed.hashMs);
  }

  #hash(ids: Uint32Array, seed: BlockKey, outcome: EncodeOutcome): void {
    outcome.promptTokens = ids.length;
    if (ids.length > PROMPT_TOKENS_MAX) return;
    const startedMs = this.#context.nowMs();
    outcome.keys = extendChain(chainStart(seed), ids, outcome.blockSize).keys;
    outcome.micros.hash = micros(this.#context.nowMs() - startedMs);
  }

  #match(prompt: Prompt, model: ModelDescriptor, outcome: EncodeOutcome): PromptMatch | null {
    const { promptTokens, blockSize, keys } = outcome;
    if (hasMedia(prompt) && keys.length === 0) outcome.noMatchReason ??= 'extra-keys';
    outcome.refusal ??= overContext(prompt, promptTokens, model.maxModelLen);
    if (outcome.refusal !== null || outcome.noMatchReason !== null) return null;
    outcome.totalBlocks = Math.floor(promptTokens / blockSize);
    if (promptTokens > PROMPT_TOKENS_MAX) return stop(outcome, 'over-limit');
    // An engine always computes at least the last token, so it never reuses a block that ends there.
    const blockLimit = Math.min(Math.floor((promptTokens - 1) / blockSize), keys.length / 2);
    if (blockLimit <= 0) return stop(outcome, 'below-one-block');
    const startedMs = this.#context.nowMs();
    const match = newMatch(this.#context.records.endpointCapacity);
    outcome.indexEpoch = this.#context.matcher.match(keys, blockLimit, match);
    outcome.micros.match = micros(this.#context.nowMs() - startedMs);
    return match;
  }

  /** Seeds without a salt are few, one per model; salts come from clients and are not kept. */
  #seed(namespace: KeyNamespace): BlockKey {
    if (namespace.cacheSalt !== '') return namespaceSeed(this.#context.hashSecret, namespace);
    const name = JSON.stringify([namespace.pool, namespace.adapter]);
    let seed = this.#seeds.get(name);
    if (seed === undefined) {
      seed = namespaceSeed(this.#context.hashSecret, namespace);
      this.#seeds.set(name, seed);
    }
    return seed;
  }
}

/** A prompt's text up to the first of its media, and the text behind that. */
interface RenderedText {
  readonly text: string;
  readonly rest: string;
}

/** Null, with the outcome saying why, when there is no template or it refuses the chat. */
function renderText(
  tokenizer: { readonly renderer: { renderChat(chat: ChatOf<Prompt>): string } | null },
  prompt: ChatOf<Prompt>,
  outcome: EncodeOutcome,
): RenderedText | null {
  if (tokenizer.renderer === null) {
    outcome.noMatchReason = 'no-tokenizer';
    return null;
  }
  try {
    const text = tokenizer.renderer.renderChat(prompt);
    if (!prompt.hasMedia) return { text, rest: '' };
    const at = text.indexOf(MEDIA_MARK);
    if (at >= 0) return { text: text.slice(0, at), rest: text.slice(at + MEDIA_MARK.length) };
    outcome.noMatchReason = 'extra-keys';
    return null;
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    if (isConverted(prompt)) {
      outcome.noMatchReason = 'prompt-not-read';
      return null;
    }
    const detail = `messages: the model's chat template refused them: ${error.message}`;
    outcome.refusal = { code: 'template_failed', detail, param: 'messages' };
    return null;
  }
}

/** Made of a request of another API, whose refusals and `/tokenize` are the engine's own. */
function isConverted(prompt: Prompt): boolean {
  return prompt.kind === 'chat' && prompt.conversion !== null;
}

function hasMedia(prompt: Prompt): boolean {
  return prompt.kind === 'chat' && prompt.hasMedia;
}

type ChatOf<Kind> = Extract<Kind, { readonly kind: 'chat' }>;

function overContext(
  prompt: Prompt,
  promptTokens: number,
  maxModelLen: number | null,
): ScanRefusal | null {
  if (maxModelLen === null || promptTokens <= maxModelLen || isConverted(prompt)) return null;
  const param = prompt.kind === 'chat' ? 'messages' : 'prompt';
  const detail =
    `This model's maximum context length is ${maxModelLen} tokens. However, your request has ` +
    `${promptTokens} input tokens. Please reduce the length of the ${param}.`;
  return { code: 'context_length_exceeded', detail, param };
}

function stop(outcome: EncodeOutcome, reason: EncodeOutcome['noMatchReason']): null {
  outcome.noMatchReason = reason;
  return null;
}

/** The body has been parsed before, so this cannot fail. */
function parseBody(body: Buffer): JsonValue {
  return JSON.parse(body.toString('utf8')) as JsonValue;
}

function micros(milliseconds: number): number {
  return Math.round(milliseconds * 1000);
}
