// Reads the few series the router needs out of an engine's /metrics text (wire-formats §4). A body
// is 30-70 KB and comes once a second from every engine, so names are searched for instead of
// lines being parsed: what is not needed is never looked at twice. `METRIC_LINES` is all it looks
// at, so that a watcher need not bring the rest.

import type { EngineKind } from '#contracts/endpoint.js';
import type { WantedLines } from '#contracts/transport.js';

/** Figures of one data-parallel rank; null for what the body does not tell. */
export interface RankMetrics {
  readonly rank: number;
  waitingRequests: number;
  runningRequests: number;
  /** Share of KV blocks in use, 0…1. */
  kvCacheUsage: number;
  blockSize: number | null;
  gpuBlocks: number | null;
  /** Tokens it can hold for reuse, in whichever tier is largest; 0 where it reuses nothing. */
  cacheTokens: number | null;
}

/** LoRA adapters of the whole address: vLLM does not tell them apart by rank. */
export interface AdapterMetrics {
  /** Adapters it can hold at once. */
  readonly most: number;
  readonly running: ReadonlySet<string>;
  readonly waiting: ReadonlySet<string>;
}

/** What one scrape tells. */
export interface EngineMetrics {
  readonly engine: EngineKind;
  /** By rank, ascending; empty when the body has no load series at all. */
  readonly ranks: readonly RankMetrics[];
  /** Null when the engine tells of no adapters. */
  readonly adapters: AdapterMetrics | null;
  /** Unix seconds at which the engine process began, null when not told. */
  readonly startTimeSeconds: number | null;
}

type Field = 'waiting' | 'running' | 'usage' | 'pages' | 'tokens' | 'hostTokens' | 'pageSize';

/** Name, field, and the label a sample must carry to mean that. */
type Series = readonly [name: string, field: Field, label?: readonly [name: string, value: string]];

/** Old and new names; where both exist (vLLM 0.9.2 … 0.11.0) they agree, and usage is a maximum. */
const VLLM_SERIES: readonly Series[] = [
  ['vllm:num_requests_waiting', 'waiting'],
  ['vllm:num_requests_running', 'running'],
  ['vllm:kv_cache_usage_perc', 'usage'],
  ['vllm:gpu_cache_usage_perc', 'usage'],
];
const SGLANG_SERIES: readonly Series[] = [
  ['sglang:num_queue_reqs', 'waiting'],
  ['sglang:num_running_reqs', 'running'],
  ['sglang:token_usage', 'usage'],
  ['sglang:page_size', 'pageSize'],
  ['sglang:num_pages', 'pages'],
  ['sglang:max_total_num_tokens', 'tokens'],
  // The host's copies outlive those on the GPU, of which they are a superset.
  ['sglang:hicache_host_total_tokens', 'hostTokens'],
];
/** trtllm-serve (tensorrt_llm/metrics/collector.py). A host tier is told as a share of itself only. */
const TRTLLM_SERIES: readonly Series[] = [
  ['trtllm_num_requests_waiting', 'waiting'],
  ['trtllm_num_requests_running', 'running'],
  ['trtllm_kv_cache_utilization', 'usage'],
  ['trtllm_kv_cache_tokens_per_block', 'pageSize'],
  ['trtllm_kv_cache_max_blocks', 'pages'],
];
const TRITON_REQUESTS = 'nv_trt_llm_request_metrics';
const TRITON_BLOCKS = 'nv_trt_llm_kv_cache_block_metrics';
/** Triton's TensorRT-LLM backend (its README, "Triton Metrics"). */
const TRITON_TRTLLM_SERIES: readonly Series[] = [
  [TRITON_REQUESTS, 'waiting', ['request_type', 'waiting']],
  [TRITON_REQUESTS, 'running', ['request_type', 'scheduled']],
  [TRITON_BLOCKS, 'usage', ['kv_cache_block_type', 'fraction']],
  [TRITON_BLOCKS, 'pageSize', ['kv_cache_block_type', 'tokens_per']],
  [TRITON_BLOCKS, 'pages', ['kv_cache_block_type', 'max']],
];
/** Triton with another backend. What llm-d takes for running, `nv_inference_exec_count`, only grows. */
const TRITON_SERIES: readonly Series[] = [['nv_inference_pending_request_count', 'waiting']];

interface KnownEngine {
  readonly engine: EngineKind;
  /** One line that begins like this is enough; the first engine with one is it. */
  readonly beginning: string;
  readonly series: readonly Series[];
  /** Label with the data-parallel rank, null where ranks are not told apart. */
  readonly rankLabel: string | null;
}

const ENGINES: readonly KnownEngine[] = [
  { engine: 'vllm', beginning: 'vllm:', series: VLLM_SERIES, rankLabel: 'engine' },
  { engine: 'sglang', beginning: 'sglang:', series: SGLANG_SERIES, rankLabel: 'dp_rank' },
  { engine: 'trtllm', beginning: 'trtllm_', series: TRTLLM_SERIES, rankLabel: null },
  { engine: 'trtllm', beginning: 'nv_trt_llm_', series: TRITON_TRTLLM_SERIES, rankLabel: null },
  { engine: 'triton', beginning: 'nv_inference_', series: TRITON_SERIES, rankLabel: null },
];
const CACHE_CONFIG = 'vllm:cache_config_info';
/** SGLang before it had gauges for them. */
const SGLANG_CACHE_CONFIG = 'sglang:cache_config_info';
const LORA_REQUESTS = 'vllm:lora_requests_info';
const START_TIME = 'process_start_time_seconds';

/** All lines of a body that `parseEngineMetrics` looks at. */
export const METRIC_LINES: WantedLines = {
  names: [
    ...new Set(ENGINES.flatMap(({ series }) => series.map(([name]) => name))),
    CACHE_CONFIG,
    SGLANG_CACHE_CONFIG,
    LORA_REQUESTS,
    START_TIME,
  ],
  // An engine is known by any of its series.
  beginnings: ENGINES.map(({ beginning }) => beginning),
};

/** Data-parallel ranks one address can plausibly have; a wilder label is ignored. */
const RANK_MAX = 1023;

/** Parses a /metrics body. Unknown or malformed lines are ignored, never an error. */
export function parseEngineMetrics(body: string): EngineMetrics {
  const ranks = new Map<number, RankMetrics>();
  const known = ENGINES.find(({ beginning }) => startOfLine(body, beginning, 0) >= 0);
  const engine = known?.engine ?? 'unknown';
  for (const series of known?.series ?? []) {
    readSeries(body, series, known?.rankLabel ?? null, ranks);
  }
  if (engine === 'vllm') readCacheConfig(body, ranks);
  if (engine === 'sglang') readSglangCacheConfig(body, ranks);
  if (engine === 'trtllm') for (const entry of ranks.values()) sizeByBlocks(entry);
  return {
    engine,
    ranks: [...ranks.values()].sort((a, b) => a.rank - b.rank),
    adapters: engine === 'vllm' ? readAdapters(body) : null,
    startTimeSeconds: readStartTime(body),
  };
}

/** Adds every sample called exactly like the series to its rank. */
function readSeries(
  body: string,
  [name, field, label]: Series,
  rankLabel: string | null,
  ranks: Map<number, RankMetrics>,
): void {
  forEachSeries(body, name, (labels, value) => {
    if (label !== undefined && labelOf(labels, label[0]) !== label[1]) return;
    const rank = rankLabel === null ? 0 : rankOf(labels, rankLabel);
    if (rank !== null && Number.isFinite(value)) record(rankEntry(ranks, rank), field, value);
  });
}

function record(entry: RankMetrics, field: Field, value: number): void {
  if (field === 'waiting') entry.waitingRequests += value;
  else if (field === 'running') entry.runningRequests += value;
  else if (field === 'usage')
    entry.kvCacheUsage = Math.max(entry.kvCacheUsage, Math.min(1, Math.max(0, value)));
  else if (field === 'pageSize') entry.blockSize = positive(value);
  else if (field === 'pages') entry.gpuBlocks = positive(value);
  else {
    entry.cacheTokens = Math.max(entry.cacheTokens ?? 0, Math.floor(value)) || null;
    if (field === 'tokens' && entry.gpuBlocks === null && entry.blockSize !== null) {
      entry.gpuBlocks = positive(Math.floor(value / entry.blockSize));
    }
  }
}

/** TensorRT-LLM tells the blocks of the GPU and what one holds. */
function sizeByBlocks(entry: RankMetrics): void {
  if (entry.blockSize === null || entry.gpuBlocks === null) return;
  entry.cacheTokens = entry.blockSize * entry.gpuBlocks;
}

/** Page size and pages where no gauges tell them. */
function readSglangCacheConfig(body: string, ranks: Map<number, RankMetrics>): void {
  forEachSeries(body, SGLANG_CACHE_CONFIG, (labels) => {
    const rank = rankOf(labels, 'dp_rank');
    if (rank === null) return;
    const entry = rankEntry(ranks, rank);
    entry.blockSize ??= positive(Number(labelOf(labels, 'page_size')));
    entry.gpuBlocks ??= positive(Number(labelOf(labels, 'num_pages')));
    if (entry.cacheTokens === null) sizeByBlocks(entry);
  });
}

/** Block size and count from `vllm:cache_config_info`, whose values are all labels. */
function readCacheConfig(body: string, ranks: Map<number, RankMetrics>): void {
  forEachSeries(body, CACHE_CONFIG, (labels) => {
    const rank = rankOf(labels, 'engine');
    if (rank === null) return;
    const entry = rankEntry(ranks, rank);
    // Hybrid models hash at a granularity of their own; it is what events are announced in.
    entry.blockSize =
      positive(Number(labelOf(labels, 'hash_block_size'))) ??
      positive(Number(labelOf(labels, 'block_size')));
    entry.gpuBlocks = positive(Number(labelOf(labels, 'num_gpu_blocks')));
    entry.cacheTokens = vllmCacheTokens(labels, entry.gpuBlocks);
  });
}

/** One block is the null block, which nothing is stored in. Offloaded blocks are not told of. */
function vllmCacheTokens(labels: string, gpuBlocks: number | null): number | null {
  if (labelOf(labels, 'enable_prefix_caching') === 'False') return 0;
  const blockSize = positive(Number(labelOf(labels, 'block_size')));
  if (blockSize === null) return null;
  const told = positive(Number(labelOf(labels, 'kv_cache_size_tokens')));
  if (told === null && gpuBlocks === null) return null;
  return Math.max(0, (told ?? (gpuBlocks ?? 0) * blockSize) - blockSize);
}

/**
 * Adapters from `vllm:lora_requests_info`: all labels, and the value is the time they were true at.
 * Every set of labels there ever was stays in the body, so the newest one counts.
 */
function readAdapters(body: string): AdapterMetrics | null {
  let newest = Number.NEGATIVE_INFINITY;
  let labels: string | null = null;
  forEachSeries(body, LORA_REQUESTS, (found, value) => {
    if (!(value >= newest)) return;
    newest = value;
    labels = found;
  });
  if (labels === null) return null;
  return {
    most: positive(Number(labelOf(labels, 'max_lora'))) ?? 0,
    running: namesIn(labelOf(labels, 'running_lora_adapters')),
    waiting: namesIn(labelOf(labels, 'waiting_lora_adapters')),
  };
}

/** The names of a list `a,b`; empty for an empty or missing one. */
function namesIn(list: string | null): ReadonlySet<string> {
  const names = new Set<string>();
  for (const name of (list ?? '').split(',')) {
    if (name !== '') names.add(name);
  }
  return names;
}

function readStartTime(body: string): number | null {
  let start: number | null = null;
  forEachSeries(body, START_TIME, (_labels, value) => {
    if (Number.isFinite(value)) start = value;
  });
  return start;
}

/** Calls `visit` for each line `name{labels} value` or `name value`. */
function forEachSeries(
  body: string,
  name: string,
  visit: (labels: string, value: number) => void,
): void {
  for (let at = startOfLine(body, name, 0); at >= 0; ) {
    const lineEnd = body.indexOf('\n', at);
    const end = lineEnd < 0 ? body.length : lineEnd;
    const next = body.charAt(at + name.length);
    // Longer names that begin alike (`…_waiting_by_reason`) are other series.
    if (next === '{' || next === ' ') {
      // Searched within the line alone: a body of lines without `}` must not be read once for each.
      const line = body.slice(at, end);
      const labelsEnd = next === '{' ? line.lastIndexOf('}') : name.length;
      if (labelsEnd >= 0)
        visit(line.slice(name.length + 1, labelsEnd), firstNumber(line, labelsEnd));
    }
    at = startOfLine(body, name, end);
  }
}

/** Position of the next line that begins with `text`, −1 for none. `from` is 0 or a line's end. */
function startOfLine(body: string, text: string, from: number): number {
  if (from === 0 && body.startsWith(text)) return 0;
  const found = body.indexOf(`\n${text}`, from);
  return found < 0 ? -1 : found + 1;
}

/** The sample value: what stands behind the labels and before an optional timestamp. */
function firstNumber(line: string, labelsEnd: number): number {
  const text = line.slice(labelsEnd + 1).trim();
  const space = text.indexOf(' ');
  const value = space < 0 ? text : text.slice(0, space);
  return value === '' ? Number.NaN : Number(value);
}

function rankOf(labels: string, label: string): number | null {
  const text = labelOf(labels, label);
  if (text === null || text === '') return 0;
  const rank = Number(text);
  return Number.isInteger(rank) && rank >= 0 && rank <= RANK_MAX ? rank : null;
}

/** Value of one label. Rank, sizes and counts hold no escapes, so none are undone. */
function labelOf(labels: string, name: string): string | null {
  const opening = `${name}="`;
  let at = labels.startsWith(opening) ? 0 : labels.indexOf(`,${opening}`);
  if (at < 0) return null;
  if (labels.charAt(at) === ',') at += 1;
  const from = at + opening.length;
  const end = labels.indexOf('"', from);
  return end < 0 ? null : labels.slice(from, end);
}

function rankEntry(ranks: Map<number, RankMetrics>, rank: number): RankMetrics {
  let entry = ranks.get(rank);
  if (entry === undefined) {
    entry = {
      rank,
      waitingRequests: 0,
      runningRequests: 0,
      kvCacheUsage: 0,
      blockSize: null,
      gpuBlocks: null,
      cacheTokens: null,
    };
    ranks.set(rank, entry);
  }
  return entry;
}

function positive(value: number): number | null {
  return Number.isFinite(value) && value >= 1 ? Math.floor(value) : null;
}
