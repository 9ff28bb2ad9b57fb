// Serves /v1/chat/completions and /v1/completions: checks the body, submits one engine request per
// choice, relays tokens as they are generated, whole or as server-sent events. When the client
// goes away, or the answer fails, every engine request of it is aborted.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { assert } from '#contracts/assert.js';
import { REQUESTS_IN_FLIGHT_MAX } from '#contracts/limits.js';
import type { EngineMetrics } from './engine-metrics.js';
import type { GeneratedToken } from './engine-model.js';
import { type EngineRank, leastLoadedRank } from './engine-rank.js';
import type { FaultPlan } from './faults.js';
import {
  type AnswerHead,
  type Choice,
  deltaChunk,
  roleChunk,
  type Usage,
  usageChunk,
  wholeAnswer,
} from './generation-answer.js';
import {
  type GenerationContext,
  type GenerationKind,
  type GenerationRequest,
  parseGeneration,
} from './generation-request.js';
import { ApiError, beginEventStream, readJson, sendEvent, sendJson } from './http-io.js';

export interface GenerationHost extends GenerationContext {
  /** The ranks as they are now; a restart replaces them. */
  readonly ranks: () => readonly EngineRank[];
  readonly faults: FaultPlan;
  readonly metrics: EngineMetrics;
  readonly nowMs: () => number;
  readonly unixTimeMs: () => number;
  /** A new id for requests that bring none. */
  readonly newId: () => string;
  readonly fingerprint: string;
}

/** One choice while it is generated. */
interface RunningChoice {
  readonly engineId: string;
  readonly index: number;
  readonly promptIndex: number;
  readonly tokenIds: number[];
  text: string;
  cachedTokens: number;
  finished: boolean;
}

export async function handleGeneration(
  kind: GenerationKind,
  incoming: IncomingMessage,
  response: ServerResponse,
  host: GenerationHost,
): Promise<void> {
  const arrivedMs = host.nowMs();
  const body = await readJson(incoming);
  const failure = host.faults.strike('httpErrors');
  if (failure !== null) throw new ApiError(failure.status, 'fault injected: httpErrors');
  const generation = await parseGeneration(kind, body, incoming.headers, host);
  if (response.destroyed) return;
  const ranks = host.ranks();
  const wanted = generation.dataParallelRank;
  const rank = wanted === null ? leastLoadedRank(ranks) : (ranks[wanted] ?? null);
  if (rank === null) throw new ApiError(503, 'the engine is not running');
  if (rank.model.requests >= REQUESTS_IN_FLIGHT_MAX) throw new ApiError(503, 'too many requests');
  const given = incoming.headers['x-request-id'];
  const id = typeof given === 'string' && given !== '' ? given : host.newId();
  const answer = new GenerationAnswer(generation, response, rank, host, {
    kind,
    id: `${kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${id}`,
    createdSeconds: Math.floor(host.unixTimeMs() / 1000),
    model: generation.model,
    fingerprint: host.fingerprint,
  });
  answer.start(arrivedMs);
}

/** Follows the engine requests of one HTTP request until the last token or the client's end. */
class GenerationAnswer {
  readonly #generation: GenerationRequest;
  readonly #response: ServerResponse;
  readonly #rank: EngineRank;
  readonly #host: GenerationHost;
  readonly #head: AnswerHead;
  readonly #choices: RunningChoice[] = [];
  #arrivedMs = 0;
  #sentTokens = 0;
  #firstToken = true;
  /** A fault has silenced the stream. */
  #stalled = false;

  constructor(
    generation: GenerationRequest,
    response: ServerResponse,
    rank: EngineRank,
    host: GenerationHost,
    head: AnswerHead,
  ) {
    this.#generation = generation;
    this.#response = response;
    this.#rank = rank;
    this.#host = host;
    this.#head = head;
  }

  start(arrivedMs: number): void {
    this.#arrivedMs = arrivedMs;
    this.#response.once('close', () => this.#abort());
    const { prompts, choicesPerPrompt, stream } = this.#generation;
    for (let promptIndex = 0; promptIndex < prompts.length; promptIndex++) {
      for (let choice = 0; choice < choicesPerPrompt; choice++) this.#addChoice(promptIndex);
    }
    if (stream) beginEventStream(this.#response);
    for (const choice of this.#choices) this.#submit(choice);
  }

  #addChoice(promptIndex: number): void {
    this.#choices.push({
      engineId: this.#host.newId(),
      index: this.#choices.length,
      promptIndex,
      tokenIds: [],
      text: '',
      cachedTokens: 0,
      finished: false,
    });
  }

  #submit(choice: RunningChoice): void {
    const { prompts, outputTokens, identity } = this.#generation;
    const promptTokenIds = prompts[choice.promptIndex];
    const tokens = outputTokens[choice.promptIndex];
    assert(promptTokenIds !== undefined && tokens !== undefined, 'a choice has its prompt');
    this.#rank.driver.submit(
      { id: choice.engineId, promptTokenIds, outputTokens: tokens, identity },
      (token) => this.#onToken(choice, token),
    );
  }

  #onToken(choice: RunningChoice, token: GeneratedToken): void {
    const first = choice.tokenIds.length === 0;
    if (this.#firstToken) {
      this.#firstToken = false;
      this.#host.metrics.observeFirstToken(
        this.#rank.rank,
        (this.#host.nowMs() - this.#arrivedMs) / 1000,
      );
    }
    const text = this.#host.tokenizer.outputText(token.tokenId);
    choice.tokenIds.push(token.tokenId);
    choice.text += text;
    choice.cachedTokens = token.cachedTokens;
    choice.finished = token.finished;
    if (this.#generation.stream) this.#sendToken(choice, token, { text, first });
    if (token.finished && this.#choices.every(({ finished }) => finished)) this.#finish();
  }

  #sendToken(
    choice: RunningChoice,
    token: GeneratedToken,
    sent: { readonly text: string; readonly first: boolean },
  ): void {
    if (this.#interrupted()) return;
    const { finishReason, includeUsage, returnTokenIds, kind } = this.#generation;
    const { index } = choice;
    const prompt = sent.first && returnTokenIds ? this.#promptOf(choice) : null;
    if (sent.first && kind === 'chat') {
      sendEvent(this.#response, roleChunk(this.#head, index, prompt));
    }
    const delta = {
      index,
      text: sent.text,
      finishReason: token.finished ? finishReason : null,
      tokenIds: returnTokenIds ? [token.tokenId] : null,
      promptTokenIds: prompt,
    };
    sendEvent(this.#response, deltaChunk(this.#head, delta, token.finished && !includeUsage));
    this.#sentTokens += 1;
  }

  /** Whether a fault has silenced or cut this stream. */
  #interrupted(): boolean {
    if (this.#response.destroyed || this.#stalled) return true;
    const { faults } = this.#host;
    if (this.#sentTokens === faults.faults.stallStreams?.afterTokens) {
      this.#stalled = faults.strike('stallStreams') !== null;
    }
    if (!this.#stalled && this.#sentTokens === faults.faults.cutStreams?.afterTokens) {
      this.#stalled = faults.strike('cutStreams') !== null;
      // What was sent so far arrives; then the connection ends without the end of the body.
      if (this.#stalled) this.#response.socket?.destroySoon();
    }
    return this.#stalled;
  }

  #finish(): void {
    const reason = this.#generation.finishReason;
    this.#host.metrics.countFinished(this.#rank.rank, { ...this.#usage(), reason });
    if (this.#response.destroyed || this.#stalled) return;
    if (!this.#generation.stream) {
      sendJson(this.#response, 200, wholeAnswer(this.#head, this.#finished(), this.#usage()));
      return;
    }
    if (this.#generation.includeUsage) {
      sendEvent(this.#response, usageChunk(this.#head, this.#usage()));
    }
    sendEvent(this.#response, '[DONE]');
    this.#response.end();
  }

  #finished(): readonly Choice[] {
    const { finishReason, returnTokenIds } = this.#generation;
    return this.#choices.map((choice) => ({
      index: choice.index,
      text: choice.text,
      finishReason,
      tokenIds: returnTokenIds ? choice.tokenIds : null,
      promptTokenIds: returnTokenIds ? this.#promptOf(choice) : null,
    }));
  }

  /** Prompts count once, however many choices they have; so do their cached tokens. */
  #usage(): Usage {
    const usage = { promptTokens: 0, completionTokens: 0, cachedTokens: 0, createdTokens: 0 };
    const { blockSize } = this.#rank.model.options;
    for (const choice of this.#choices) {
      usage.completionTokens += choice.tokenIds.length;
      if (choice.index % this.#generation.choicesPerPrompt > 0) continue;
      const { length } = this.#promptOf(choice);
      usage.promptTokens += length;
      usage.cachedTokens += choice.cachedTokens;
      usage.createdTokens += Math.floor(length / blockSize) * blockSize - choice.cachedTokens;
    }
    return usage;
  }

  #promptOf(choice: RunningChoice): readonly number[] {
    return this.#generation.prompts[choice.promptIndex] ?? [];
  }

  #abort(): void {
    if (this.#choices.every(({ finished }) => finished)) return;
    for (const choice of this.#choices) this.#rank.driver.abort(choice.engineId);
    this.#host.metrics.countFinished(this.#rank.rank, { ...this.#usage(), reason: 'abort' });
  }
}
