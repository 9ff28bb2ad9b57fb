// A request on its way: what the data plane hands over, what encoding adds, what goes back.

import type { MatchResult } from './block-index.js';
import type { ErrorCode } from './errors.js';

/** Names a body held by the RequestStore. A stale handle is answered with a status, never reused. */
export interface RequestHandle {
  readonly slot: number;
  readonly generation: number;
}

/** What the router does with a path. The position is the route's number in shared memory. */
export const ROUTES = [
  'chat-completions',
  'completions',
  'passthrough',
  'local',
  /** vLLM's /inference/v1/generate: token ids. */
  'vllm-generate',
  /** SGLang's /generate: a text or token ids, and no model. */
  'sglang-generate',
  /** Anthropic's /v1/messages. */
  'messages',
  /** OpenAI's /v1/responses. */
  'responses',
] as const;
export type Route = (typeof ROUTES)[number];

/** Lower-case header name and its value. */
export type HeaderPair = readonly [name: string, value: string];

/** A complete request as the data plane hands it over; its body stays in the store. */
export interface RequestHead {
  readonly handle: RequestHandle;
  readonly method: string;
  /** Path with query as the client sent it, undecoded. */
  readonly path: string;
  /** The client's id when it was acceptable, else one made here. */
  readonly requestId: string;
  /** Lower-case names; reserved routing headers are already gone. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whether any of TELLING_HEADERS is among them: known without reading them. */
  readonly telling: boolean;
  readonly bodyBytes: number;
  /** Monotonic time at which the head had been read. */
  readonly receivedAtMs: number;
}

/** Replaces `length` bytes of the body at `offset`; empty text removes them. Never overlapping. */
export interface BodyPatch {
  readonly offset: number;
  readonly length: number;
  readonly text: string;
}

/**
 * Why nothing was matched. The encoder never gives `index-cold` and `no-match`: they are what a
 * decision says when matching took place and nobody holds any of the prompt. Order is its number; append only.
 */
export const NO_MATCH_REASONS = [
  'no-tokenizer',
  'tokenizer-unproven',
  'block-size-unknown',
  'extra-keys',
  'several-prompts',
  'over-limit',
  'below-one-block',
  'encoder-failed',
  'not-a-prompt',
  /** No endpoint serving the model is followed live yet, and none has a history. */
  'index-cold',
  'no-match',
  /** No plugin of the policy looks at prefixes. */
  'policy-without-prefixes',
  /** The prompt is in a form that is not read here, or that only the engine knows. */
  'prompt-not-read',
] as const;
export type NoMatchReason = (typeof NO_MATCH_REASONS)[number];

/** CPU spent per stage of encoding, microseconds. */
export interface EncodeMicros {
  readonly parse: number;
  readonly render: number;
  readonly tokenize: number;
  readonly hash: number;
  readonly match: number;
}

/** Matches of one prompt, by endpoint slot. Views into shared memory, valid until release. */
export interface PromptMatch extends MatchResult {
  /** Leading blocks resident or expected to be within moments (speculative residencies). */
  readonly speculativeBlocks: Uint32Array;
}

/** What encoding found out about one request. */
export interface EncodedPrompt {
  /** Set when the request must be refused; then nothing else but `model` counts. */
  readonly error: {
    readonly code: ErrorCode;
    readonly detail: string;
    readonly param: string | null;
  } | null;
  /** `model` as the client wrote it, empty when the body has none. */
  readonly model: string;
  /** Index of the ModelDescriptor, −1 when no endpoint serves the model. */
  readonly modelIndex: number;
  /** Where the body names the model, as a JSON string; no bytes when it does not. */
  readonly modelOffset: number;
  readonly modelBytes: number;
  readonly stream: boolean;
  /** `priority` of the body, 0 when absent; lower goes first, as vLLM has it. */
  readonly priority: number;
  /** Prompt tokens, 0 when they are not known. */
  readonly promptTokens: number;
  /** Full blocks of the prompt at the pool's canonical size. */
  readonly totalBlocks: number;
  /** Canonical block size in tokens, 0 when unknown. */
  readonly blockSize: number;
  readonly noMatchReason: NoMatchReason | null;
  readonly match: PromptMatch;
  /** Fields stripped from the body (architecture §10). */
  readonly patches: readonly BodyPatch[];
  /** Keys of the prompt's images, audio and video, without repetition, at most MEDIA_KEYS_MAX. */
  readonly media: readonly string[];
  /** Images, audio and video that have no key: beyond the limit, or of an unknown form. */
  readonly mediaLeftOut: number;
  readonly indexEpoch: number;
  readonly micros: EncodeMicros;
}
