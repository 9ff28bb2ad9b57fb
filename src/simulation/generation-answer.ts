// Answers of /v1/chat/completions and /v1/completions, whole and in chunks, with the fields and
// the field order of vLLM (recorded from 0.32.0). Pure shapes; the handler fills and sends them.

import type { GenerationKind } from './generation-request.js';

/** What all objects of one answer have in common. */
export interface AnswerHead {
  readonly kind: GenerationKind;
  readonly id: string;
  readonly createdSeconds: number;
  readonly model: string;
  readonly fingerprint: string;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Prompt tokens found in the cache. */
  readonly cachedTokens: number;
  /** Prompt tokens in blocks that this request stored; chats report them, completions do not. */
  readonly createdTokens: number;
}

/** One finished choice. Token ids are null unless the client asked for them. */
export interface Choice {
  readonly index: number;
  readonly text: string;
  readonly finishReason: string;
  readonly tokenIds: readonly number[] | null;
  readonly promptTokenIds: readonly number[] | null;
}

/** One generated token on its way to the client; `finishReason` null while more follow. */
export interface Delta {
  readonly index: number;
  readonly text: string;
  readonly finishReason: string | null;
  readonly tokenIds: readonly number[] | null;
  readonly promptTokenIds: readonly number[] | null;
}

export function wholeAnswer(
  head: AnswerHead,
  choices: readonly Choice[],
  usage: Usage,
): Readonly<Record<string, unknown>> {
  const chat = head.kind === 'chat';
  return {
    id: head.id,
    object: chat ? 'chat.completion' : 'text_completion',
    created: head.createdSeconds,
    model: head.model,
    choices: choices.map(chat ? chatChoice : completionChoice),
    service_tier: null,
    system_fingerprint: head.fingerprint,
    usage: {
      ...usageTotals(usage),
      prompt_tokens_details: {
        cached_tokens: usage.cachedTokens,
        created_cache_tokens: chat ? usage.createdTokens : null,
        multimodal_tokens: null,
      },
      completion_tokens_details: null,
    },
    ...(chat
      ? {
          prompt_logprobs: null,
          prompt_token_ids: choices[0]?.promptTokenIds ?? null,
          prompt_text: null,
        }
      : {}),
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: null,
  };
}

/** First chunk of each choice of a chat: the role. Completions have none. */
export function roleChunk(head: AnswerHead, index: number, promptTokenIds: unknown): unknown {
  return {
    ...chunkHead(head),
    choices: [
      { index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
    ],
    prompt_token_ids: promptTokenIds,
    prompt_text: null,
  };
}

/** A chunk with one token; `fingerprint` closes the stream when no usage chunk follows. */
export function deltaChunk(head: AnswerHead, delta: Delta, fingerprint: boolean): unknown {
  const { index, text, finishReason, tokenIds, promptTokenIds } = delta;
  const stopReason = finishReason === null ? {} : { stop_reason: null };
  const choice =
    head.kind === 'chat'
      ? {
          index,
          delta: { content: text },
          logprobs: null,
          finish_reason: finishReason,
          ...stopReason,
          token_ids: tokenIds,
        }
      : {
          index,
          text,
          logprobs: null,
          finish_reason: finishReason,
          stop_reason: null,
          prompt_token_ids: promptTokenIds,
          token_ids: tokenIds,
        };
  return {
    ...chunkHead(head),
    choices: [choice],
    ...(fingerprint ? { system_fingerprint: head.fingerprint } : {}),
  };
}

/** Last chunk with `stream_options.include_usage`. */
export function usageChunk(head: AnswerHead, usage: Usage): unknown {
  return {
    ...chunkHead(head),
    choices: [],
    usage: {
      ...usageTotals(usage),
      prompt_tokens_details: {
        cached_tokens: usage.cachedTokens,
        ...(head.kind === 'chat' ? { created_cache_tokens: usage.createdTokens } : {}),
      },
    },
    system_fingerprint: head.fingerprint,
  };
}

function chunkHead(head: AnswerHead): Readonly<Record<string, unknown>> {
  return {
    id: head.id,
    object: head.kind === 'chat' ? 'chat.completion.chunk' : 'text_completion',
    created: head.createdSeconds,
    model: head.model,
  };
}

function usageTotals(usage: Usage): Readonly<Record<string, number>> {
  return {
    prompt_tokens: usage.promptTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    completion_tokens: usage.completionTokens,
  };
}

function chatChoice(choice: Choice): unknown {
  return {
    index: choice.index,
    message: {
      role: 'assistant',
      content: choice.text,
      refusal: null,
      annotations: null,
      audio: null,
      function_call: null,
      reasoning: null,
    },
    logprobs: null,
    finish_reason: choice.finishReason,
    stop_reason: null,
    token_ids: choice.tokenIds,
    routed_experts: null,
  };
}

function completionChoice(choice: Choice): unknown {
  return {
    index: choice.index,
    text: choice.text,
    logprobs: null,
    finish_reason: choice.finishReason,
    stop_reason: null,
    token_ids: choice.tokenIds,
    prompt_logprobs: null,
    prompt_token_ids: choice.promptTokenIds,
    routed_experts: null,
  };
}
