// One inference engine as a pure step function: scheduling, paged KV cache, prefix reuse and event
// emission after vLLM V1 (fleet-simulation B2, wire-formats §2). Drivers give it time: they call
// `beginStep`, wait the duration it names, and call `endStep`. No I/O, no timers, one thread.

import { assert } from '#contracts/assert.js';
import { type BlockHash, hashedExtraKeys, type SequenceIdentity } from './block-hash.js';
import { BlockPool } from './block-pool.js';
import type { EngineEvent } from './engine-event.js';
import {
  type ChainSettings,
  type EngineRequest,
  extendChain,
  newSequence,
  reusableBlocks,
  type Sequence,
} from './engine-request.js';
import { fold, mix } from './mixing.js';
import { type StepCoefficients, type StepWork, stepSeconds } from './step-time.js';

export interface EngineModelOptions extends ChainSettings {
  /** KV blocks as vLLM counts them (`num_gpu_blocks`): one is its null block, never used. */
  readonly gpuBlocks: number;
  /** Token budget of one step (`max_num_batched_tokens`). */
  readonly batchedTokensMax: number;
  /** Requests in one step (`max_num_seqs`). */
  readonly runningMax: number;
  /** Adapters in one step (`max_loras`). */
  readonly lorasMax: number;
  readonly coefficients: StepCoefficients;
  readonly seed: number;
  /** Ids that generated tokens are taken from, not empty. */
  readonly outputVocabulary: readonly number[];
}

/** One generated token. */
export interface GeneratedToken {
  readonly id: string;
  readonly tokenId: number;
  /** Prompt tokens reused when the request was first admitted. */
  readonly cachedTokens: number;
  /** The request has all its tokens and left the engine. */
  readonly finished: boolean;
}

export interface StepResult {
  readonly tokens: readonly GeneratedToken[];
  /** To publish as one batch; empty means nothing is published. */
  readonly events: readonly EngineEvent[];
}

/** Gauges as of the last step's end; counters since the start. */
export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  /** 0 … 1; blocks that are free but cached count as free. */
  readonly cacheUsage: number;
  readonly cacheQueriesTokens: number;
  readonly cacheHitsTokens: number;
  readonly preemptions: number;
  /** Blocks that became hittable, and those of them whose space was taken for others. */
  readonly blocksStored: number;
  readonly blocksEvicted: number;
}

export class EngineModel {
  readonly options: EngineModelOptions;
  readonly #pool: BlockPool;
  #running: Sequence[] = [];
  readonly #waiting: Sequence[] = [];
  #events: EngineEvent[] = [];
  #scheduled: Sequence[] = [];
  #stepping = false;
  #queriesTokens = 0;
  #hitsTokens = 0;
  #preemptions = 0;
  #blocksStored = 0;
  #blocksEvicted = 0;
  #gauges = { running: 0, waiting: 0, cacheUsage: 0 };

  constructor(options: EngineModelOptions) {
    assert(options.gpuBlocks >= 2, 'an engine has a null block and at least one more');
    assert(options.blockSize >= 1, 'a block holds a token');
    assert(options.outputVocabulary.length > 0, 'there is something to generate');
    this.options = options;
    this.#pool = new BlockPool(options.gpuBlocks - 1, (hash) => {
      this.#blocksEvicted += 1;
      this.#events.push({ type: 'BlockRemoved', hash });
    });
  }

  /** Tokens that fit into the cache; a longer request could never finish. */
  get capacityTokens(): number {
    return this.#pool.blocks * this.options.blockSize;
  }

  /** Requests inside the engine now, running or waiting. */
  get requests(): number {
    return this.#running.length + this.#waiting.length;
  }

  /** Queues a request, first come first served. Ids in the engine are distinct. */
  submit(request: EngineRequest): void {
    const tokens = request.promptTokenIds.length + request.outputTokens;
    assert(request.promptTokenIds.length > 0, 'a prompt has tokens');
    assert(request.outputTokens > 0, 'a request generates tokens');
    assert(tokens <= this.capacityTokens, 'a request fits into the cache');
    this.#waiting.push(newSequence(request, fold(this.options.seed, request.promptTokenIds)));
  }

  /** Removes a request and frees its blocks; false when it is not here. */
  abort(id: string): boolean {
    const waiting = this.#waiting.findIndex((sequence) => sequence.id === id);
    const running = this.#running.findIndex((sequence) => sequence.id === id);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    else if (running >= 0) {
      for (const sequence of this.#running.splice(running, 1)) this.#release(sequence);
    } else return false;
    this.#recordGauges();
    return true;
  }

  /** Schedules a step and returns its length in seconds; null when there is nothing to do. */
  beginStep(): number | null {
    assert(!this.#stepping, 'one step at a time');
    const work: StepWork = { prefillTokens: 0, attentionPairs: 0, decodeContextTokens: 0 };
    const budget = { tokens: this.options.batchedTokensMax };
    this.#scheduled = [];
    const preempted = this.#scheduleRunning(budget, work);
    if (!preempted) this.#admit(budget, work);
    if (this.#scheduled.length === 0) return null;
    this.#stepping = true;
    return stepSeconds(work, this.options.coefficients);
  }

  /** Completes the step: one token for every request that is computed to its end. */
  endStep(): StepResult {
    assert(this.#stepping, 'a step was begun');
    this.#stepping = false;
    const tokens: GeneratedToken[] = [];
    let finished = false;
    for (const sequence of this.#scheduled) {
      // Aborted or preempted while the step ran: its result is dropped.
      if (sequence.scheduled === 0) continue;
      sequence.computed += sequence.scheduled;
      sequence.scheduled = 0;
      if (sequence.computed < sequence.tokenIds.length) continue;
      const token = this.#generate(sequence);
      finished ||= token.finished;
      tokens.push(token);
    }
    if (finished) {
      this.#running = this.#running.filter((sequence) => sequence.blocks.length > 0);
    }
    this.#recordGauges();
    const events = this.#events;
    this.#events = [];
    return { tokens, events };
  }

  /**
   * Forgets every cached block; false while blocks are in use. The event is published with the
   * next step, however late that is.
   */
  resetPrefixCache(): boolean {
    if (!this.#pool.clear()) return false;
    this.#events.push({ type: 'AllBlocksCleared' });
    return true;
  }

  /** Prompt tokens that the engine would reuse if it admitted this prompt right now. */
  lookup(promptTokenIds: readonly number[], identity: SequenceIdentity): number {
    const chain: BlockHash[] = [];
    extendChain(chain, promptTokenIds, identity, this.options);
    const limit = reusableBlocks(promptTokenIds.length, this.options.blockSize);
    return this.#pool.findRun(chain, limit).length * this.options.blockSize;
  }

  /** Names of the adapters that requests run or wait with. */
  adapters(): { readonly running: readonly string[]; readonly waiting: readonly string[] } {
    const names = (sequences: readonly Sequence[]): readonly string[] => [
      ...new Set(sequences.flatMap(({ identity }) => identity.lora?.name ?? [])),
    ];
    return { running: names(this.#running), waiting: names(this.#waiting) };
  }

  stats(): EngineStats {
    return {
      ...this.#gauges,
      cacheQueriesTokens: this.#queriesTokens,
      cacheHitsTokens: this.#hitsTokens,
      preemptions: this.#preemptions,
      blocksStored: this.#blocksStored,
      blocksEvicted: this.#blocksEvicted,
    };
  }

  /** Running requests in order of admission: decodes, then the prefill cut by the last budget. */
  #scheduleRunning(budget: { tokens: number }, work: StepWork): boolean {
    const preemptionsBefore = this.#preemptions;
    for (let i = 0; i < this.#running.length && budget.tokens > 0; i++) {
      const sequence = this.#running[i];
      assert(sequence !== undefined, 'the running list has no holes');
      const tokens = Math.min(sequence.tokenIds.length - sequence.computed, budget.tokens);
      if (!this.#makeRoom(sequence, tokens)) break;
      this.#schedule(sequence, tokens, budget, work);
    }
    return this.#preemptions > preemptionsBefore;
  }

  /** Preempts from the most recently admitted on until `tokens` fit; false if that was itself. */
  #makeRoom(sequence: Sequence, tokens: number): boolean {
    while (this.#missingBlocks(sequence, tokens) > this.#pool.freeBlocks) {
      const victim = this.#running.pop();
      assert(victim !== undefined, 'the sequence itself is running');
      this.#release(victim);
      this.#waiting.unshift(victim);
      this.#preemptions += 1;
      if (victim === sequence) return false;
    }
    return true;
  }

  /** First come, first served, until something does not fit; who waits for an adapter is passed. */
  #admit(budget: { tokens: number }, work: StepWork): void {
    const { blockSize, runningMax } = this.options;
    while (budget.tokens > 0 && this.#running.length < runningMax) {
      const position = this.#waiting.findIndex((waiting) => this.#hasAdapterRoom(waiting));
      const sequence = this.#waiting[position];
      if (sequence === undefined) return;
      extendChain(sequence.chain, sequence.tokenIds, sequence.identity, this.options);
      const limit = reusableBlocks(sequence.tokenIds.length, blockSize);
      const hits = this.#pool.findRun(sequence.chain, limit);
      const reused = hits.length * blockSize;
      const tokens = Math.min(sequence.tokenIds.length - reused, budget.tokens);
      const fresh = Math.ceil((reused + tokens) / blockSize) - hits.length;
      const revived = hits.filter((block) => this.#pool.isFree(block)).length;
      if (fresh + revived > this.#pool.freeBlocks) return;
      for (const block of hits) this.#pool.reference(block);
      sequence.blocks = hits;
      sequence.computed = reused;
      sequence.committed = hits.length;
      this.#waiting.splice(position, 1);
      this.#running.push(sequence);
      this.#countLookup(sequence, reused);
      this.#schedule(sequence, tokens, budget, work);
    }
  }

  #hasAdapterRoom({ identity: { lora } }: Sequence): boolean {
    if (lora === null) return true;
    const { running } = this.adapters();
    return running.includes(lora.name) || running.length < this.options.lorasMax;
  }

  /** Counts a lookup once per request: a re-admission after preemption is not a client's hit. */
  #countLookup(sequence: Sequence, reused: number): void {
    if (sequence.cachedTokens >= 0) return;
    sequence.cachedTokens = reused;
    this.#queriesTokens += sequence.promptTokens;
    this.#hitsTokens += reused;
  }

  #missingBlocks(sequence: Sequence, tokens: number): number {
    const blocks = Math.ceil((sequence.computed + tokens) / this.options.blockSize);
    return Math.max(0, blocks - sequence.blocks.length);
  }

  /** Allocates, announces what becomes full and adds the work. Room has been checked. */
  #schedule(sequence: Sequence, tokens: number, budget: { tokens: number }, work: StepWork): void {
    const missing = this.#missingBlocks(sequence, tokens);
    if (missing > 0) sequence.blocks.push(...this.#pool.allocate(missing));
    sequence.scheduled = tokens;
    this.#scheduled.push(sequence);
    this.#commitFullBlocks(sequence);
    budget.tokens -= tokens;
    if (tokens === 1 && sequence.computed >= sequence.promptTokens) {
      work.decodeContextTokens += sequence.computed;
    } else {
      work.prefillTokens += tokens;
      work.attentionPairs += tokens * (sequence.computed + tokens / 2);
    }
  }

  /** Commits at schedule time, so that the next request of the same step can share the blocks. */
  #commitFullBlocks(sequence: Sequence): void {
    const { blockSize } = this.options;
    const first = sequence.committed;
    const end = Math.floor((sequence.computed + sequence.scheduled) / blockSize);
    if (end <= first) return;
    extendChain(sequence.chain, sequence.tokenIds, sequence.identity, this.options);
    const hashes = sequence.chain.slice(first, end);
    for (const [offset, hash] of hashes.entries()) {
      this.#pool.commit(sequence.blocks[first + offset] ?? 0, hash);
    }
    sequence.committed = end;
    this.#blocksStored += hashes.length;
    this.#events.push({
      type: 'BlockStored',
      hashes,
      parent: sequence.chain[first - 1] ?? null,
      tokenIds: sequence.tokenIds.slice(first * blockSize, end * blockSize),
      blockSize,
      lora: sequence.identity.lora,
      extraKeys: hashes.map((_, offset) =>
        hashedExtraKeys(sequence.identity, first + offset, 'plain'),
      ),
    });
  }

  #generate(sequence: Sequence): GeneratedToken {
    const position = sequence.tokenIds.length - sequence.promptTokens;
    const vocabulary = this.options.outputVocabulary;
    const tokenId = vocabulary[mix(sequence.outputSeed + position) % vocabulary.length] ?? 0;
    sequence.tokenIds.push(tokenId);
    const finished = position + 1 >= sequence.outputTokens;
    if (finished) this.#release(sequence);
    return { id: sequence.id, tokenId, cachedTokens: sequence.cachedTokens, finished };
  }

  /** Frees the blocks and forgets the progress; the hashes of the token ids stay true. */
  #release(sequence: Sequence): void {
    this.#pool.release(sequence.blocks);
    sequence.blocks = [];
    sequence.computed = 0;
    sequence.committed = 0;
    sequence.scheduled = 0;
  }

  #recordGauges(): void {
    this.#gauges = {
      running: this.#running.length,
      waiting: this.#waiting.length,
      cacheUsage: 1 - this.#pool.freeBlocks / this.#pool.blocks,
    };
  }
}
