// The Prometheus exposition of a simulated engine with vLLM's names and labels (wire-formats §4).
// Gauges and cache counters are read from the models; this file only keeps what the HTTP side
// observes. A restart makes a new instance, as a new process would.

import type { EngineStats } from './engine-model.js';
import type { EngineRank } from './engine-rank.js';
import type { EngineSimSettings } from './sim-options.js';

/** What is read from the model of each rank. */
const MODEL_FAMILIES: readonly (readonly [string, string, keyof EngineStats])[] = [
  ['vllm:num_requests_running', 'gauge', 'running'],
  ['vllm:num_requests_waiting', 'gauge', 'waiting'],
  ['vllm:kv_cache_usage_perc', 'gauge', 'cacheUsage'],
  ['vllm:prefix_cache_queries_total', 'counter', 'cacheQueriesTokens'],
  ['vllm:prefix_cache_hits_total', 'counter', 'cacheHitsTokens'],
  ['vllm:num_preemptions_total', 'counter', 'preemptions'],
];

/** Upper bounds of vLLM's time-to-first-token buckets, seconds. */
const FIRST_TOKEN_BUCKETS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
  160, 640, 2560,
];
const FINISH_REASONS = ['stop', 'length', 'abort', 'error'] as const;

export interface FinishedRequest {
  readonly reason: (typeof FINISH_REASONS)[number];
  readonly promptTokens: number;
  readonly completionTokens: number;
}

interface RankCounters {
  readonly firstTokenCounts: number[];
  firstTokenSum: number;
  readonly finished: Map<string, number>;
  promptTokens: number;
  generationTokens: number;
}

export class EngineMetrics {
  readonly #settings: EngineSimSettings;
  readonly #startedUnixMs: number;
  readonly #ranks: RankCounters[];

  constructor(settings: EngineSimSettings) {
    this.#settings = settings;
    this.#startedUnixMs = settings.unixTimeMs();
    this.#ranks = Array.from({ length: settings.dataParallelRanks }, () => ({
      firstTokenCounts: new Array<number>(FIRST_TOKEN_BUCKETS.length + 1).fill(0),
      firstTokenSum: 0,
      finished: new Map(),
      promptTokens: 0,
      generationTokens: 0,
    }));
  }

  observeFirstToken(rank: number, seconds: number): void {
    const counters = this.#ranks[rank];
    if (counters === undefined) return;
    const bucket = FIRST_TOKEN_BUCKETS.findIndex((bound) => seconds <= bound);
    const position = bucket < 0 ? FIRST_TOKEN_BUCKETS.length : bucket;
    counters.firstTokenCounts[position] = (counters.firstTokenCounts[position] ?? 0) + 1;
    counters.firstTokenSum += seconds;
  }

  countFinished(rank: number, finished: FinishedRequest): void {
    const counters = this.#ranks[rank];
    if (counters === undefined) return;
    const { reason, promptTokens, completionTokens } = finished;
    counters.finished.set(reason, (counters.finished.get(reason) ?? 0) + 1);
    counters.promptTokens += promptTokens;
    counters.generationTokens += completionTokens;
  }

  /** The text of `GET /metrics`. */
  render(ranks: readonly EngineRank[]): string {
    const lines: string[] = [];
    family(lines, 'process_start_time_seconds', 'gauge', [['', this.#startedUnixMs / 1000]]);
    this.#renderModels(lines, ranks);
    this.#renderCounters(lines);
    this.#renderFirstToken(lines);
    if (this.#settings.lorasMax > 0) this.#renderAdapters(lines, ranks);
    return `${lines.join('\n')}\n`;
  }

  #renderModels(lines: string[], ranks: readonly EngineRank[]): void {
    const stats = ranks.map(({ rank, model }) => ({
      labels: this.#labels(rank),
      ...model.stats(),
    }));
    for (const [name, type, field] of MODEL_FAMILIES) {
      const series = stats.map((one): [string, number] => [one.labels, one[field]]);
      family(lines, name, type, series);
    }
    const { blockSize, gpuBlocks } = this.#settings;
    const config = ranks.map(({ rank }): [string, number] => [
      `{block_size="${blockSize}",cache_dtype="auto",enable_prefix_caching="True",` +
        `engine="${rank}",num_gpu_blocks="${gpuBlocks}",prefix_caching_hash_algo="sha256_cbor"}`,
      1,
    ]);
    family(lines, 'vllm:cache_config_info', 'gauge', config);
  }

  #renderCounters(lines: string[]): void {
    const per = (read: (one: RankCounters) => number): Series =>
      this.#ranks.map((one, rank) => [this.#labels(rank), read(one)]);
    family(
      lines,
      'vllm:prompt_tokens_total',
      'counter',
      per((one) => one.promptTokens),
    );
    family(
      lines,
      'vllm:generation_tokens_total',
      'counter',
      per((one) => one.generationTokens),
    );
    const finished = this.#ranks.flatMap((one, rank) =>
      FINISH_REASONS.map((reason): [string, number] => [
        this.#labels(rank, `finished_reason="${reason}",`),
        one.finished.get(reason) ?? 0,
      ]),
    );
    family(lines, 'vllm:request_success_total', 'counter', finished);
  }

  #renderFirstToken(lines: string[]): void {
    const name = 'vllm:time_to_first_token_seconds';
    lines.push(`# TYPE ${name} histogram`);
    for (const [rank, { firstTokenCounts, firstTokenSum }] of this.#ranks.entries()) {
      let total = 0;
      for (const [position, count] of firstTokenCounts.entries()) {
        total += count;
        const bound = FIRST_TOKEN_BUCKETS[position];
        const text = bound === undefined ? '+Inf' : decimal(bound);
        lines.push(`${name}_bucket${this.#labels(rank, `le="${text}",`)} ${decimal(total)}`);
      }
      lines.push(`${name}_count${this.#labels(rank)} ${decimal(total)}`);
      lines.push(`${name}_sum${this.#labels(rank)} ${decimal(firstTokenSum)}`);
    }
  }

  #renderAdapters(lines: string[], ranks: readonly EngineRank[]): void {
    const names = (pick: 'running' | 'waiting'): string =>
      [...new Set(ranks.flatMap(({ model }) => model.adapters()[pick]))].join(',');
    const labels =
      `{max_lora="${this.#settings.lorasMax}",running_lora_adapters="${names('running')}",` +
      `waiting_lora_adapters="${names('waiting')}"}`;
    family(lines, 'vllm:lora_requests_info', 'gauge', [
      [labels, this.#settings.unixTimeMs() / 1000],
    ]);
  }

  #labels(rank: number, more = ''): string {
    return `{engine="${rank}",${more}model_name="${this.#settings.modelId}"}`;
  }
}

/** Labels with braces (or nothing), and the value. */
type Series = readonly (readonly [string, number])[];

function family(lines: string[], name: string, type: string, series: Series): void {
  lines.push(`# TYPE ${name} ${type}`);
  for (const [labels, value] of series) lines.push(`${name}${labels} ${decimal(value)}`);
}

/** Python writes every value as a float. */
function decimal(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
