import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseEngineMetrics } from '#fleet/metrics-text.js';
import { repositoryRoot } from '#test/support/paths.js';

const realBody = readFileSync(
  path.join(repositoryRoot, 'test/vectors/vllm-0.32.0-metrics.txt'),
  'utf8',
);

test('a real vLLM 0.32 body gives load, block size, blocks and start time', () => {
  const metrics = parseEngineMetrics(realBody);
  assert.equal(metrics.engine, 'vllm');
  assert.equal(metrics.startTimeSeconds, 1795222105.55);
  assert.deepEqual(metrics.ranks, [
    {
      rank: 0,
      waitingRequests: 0,
      runningRequests: 0,
      kvCacheUsage: 0,
      blockSize: 32,
      gpuBlocks: 65536,
      cacheTokens: 65535 * 32,
    },
  ]);
});

test('figures are read from the very series, not from ones that begin alike', () => {
  const body = realBody
    .replace(/^(vllm:num_requests_running\{.*\}) .*$/m, '$1 7.0')
    .replace(/^(vllm:num_requests_waiting\{.*\}) .*$/m, '$1 3.0')
    .replace(/^(vllm:num_requests_waiting_by_reason\{.*\}) .*$/gm, '$1 99.0')
    .replace(/^(vllm:kv_cache_usage_perc\{.*\}) .*$/m, '$1 0.25');
  const [rank] = parseEngineMetrics(body).ranks;
  assert.equal(rank?.runningRequests, 7);
  assert.equal(rank?.waitingRequests, 3);
  assert.equal(rank?.kvCacheUsage, 0.25);
});

test('old vLLM: the old name of cache usage, no engine label', () => {
  const metrics = parseEngineMetrics(
    'vllm:num_requests_running{model_name="m"} 2.0\n' +
      'vllm:num_requests_waiting{model_name="m"} 5.0 1700000000000\n' +
      'vllm:gpu_cache_usage_perc{model_name="m"} 0.5\n' +
      'vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0',
  );
  assert.deepEqual(metrics.ranks, [
    {
      rank: 0,
      waitingRequests: 5,
      runningRequests: 2,
      kvCacheUsage: 0.5,
      blockSize: 16,
      gpuBlocks: null,
      cacheTokens: null,
    },
  ]);
  assert.equal(metrics.startTimeSeconds, null);
});

test('data-parallel ranks are told apart by the engine label', () => {
  const body = [0, 1, 2]
    .map((rank) => `vllm:num_requests_running{engine="${rank}",model_name="m"} ${rank * 10}.0`)
    .join('\n');
  const { ranks } = parseEngineMetrics(`# HELP x\n${body}\n`);
  assert.deepEqual(
    ranks.map((entry) => [entry.rank, entry.runningRequests]),
    [
      [0, 0],
      [1, 10],
      [2, 20],
    ],
  );
});

test('SGLang names', () => {
  const metrics = parseEngineMetrics(
    'sglang:num_running_reqs{model_name="m"} 4.0\nsglang:num_queue_reqs{model_name="m"} 1.0\n' +
      'sglang:token_usage{model_name="m"} 0.75\nsglang:page_size{model_name="m"} 64.0\n' +
      'sglang:max_total_num_tokens{model_name="m"} 6400.0\n',
  );
  assert.equal(metrics.engine, 'sglang');
  assert.deepEqual(metrics.ranks, [
    {
      rank: 0,
      waitingRequests: 1,
      runningRequests: 4,
      kvCacheUsage: 0.75,
      blockSize: 64,
      gpuBlocks: 100,
      cacheTokens: 6400,
    },
  ]);
});

/** What trtllm-serve prints under /prometheus/metrics, as of TensorRT-LLM 1.2. */
const TRTLLM_BODY = [
  '# HELP trtllm_kv_cache_utilization KV cache utilization',
  '# TYPE trtllm_kv_cache_utilization gauge',
  'trtllm_kv_cache_utilization{engine_type="pytorch",model_name="Qwen/Qwen3-0.6B",pid="1"} 0.25',
  'trtllm_kv_cache_max_blocks{engine_type="pytorch",model_name="Qwen/Qwen3-0.6B",pid="1"} 21129.0',
  'trtllm_kv_cache_free_blocks{engine_type="pytorch",model_name="Qwen/Qwen3-0.6B",pid="1"} 15847.0',
  'trtllm_kv_cache_tokens_per_block{engine_type="pytorch",model_name="Qwen/Qwen3-0.6B",pid="1"} 32.0',
  'trtllm_num_requests_running{engine_type="pytorch",model_name="Qwen/Qwen3-0.6B",pid="1"} 5.0',
  'trtllm_num_requests_waiting{engine_type="pytorch",model_name="Qwen/Qwen3-0.6B",pid="1"} 2.0',
  'trtllm_num_requests_completed_total{engine_type="pytorch",model_name="Qwen/Qwen3-0.6B"} 90.0',
  '',
].join('\n');

/** What Triton prints with TensorRT-LLM behind it (README of tensorrtllm_backend). */
const TRITON_BODY = [
  'nv_inference_pending_request_count{model="preprocessing",version="1"} 9',
  'nv_inference_exec_count{model="tensorrt_llm",version="1"} 4711',
  ...['waiting', 'context', 'scheduled', 'max', 'active'].map(
    (type, at) =>
      `nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="${type}",version="1"} ${[3, 1, 4, 512, 7][at]}`,
  ),
  ...['tokens_per', 'used', 'free', 'max', 'fraction'].map(
    (type, at) =>
      `nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="${type}",model="tensorrt_llm",version="1"} ${[64, 60, 40, 100, 0.6][at]}`,
  ),
  '',
].join('\n');

test('TensorRT-LLM, served by itself and by Triton', () => {
  const own = parseEngineMetrics(TRTLLM_BODY);
  assert.equal(own.engine, 'trtllm');
  assert.deepEqual(own.ranks, [
    {
      rank: 0,
      waitingRequests: 2,
      runningRequests: 5,
      kvCacheUsage: 0.25,
      blockSize: 32,
      gpuBlocks: 21_129,
      cacheTokens: 21_129 * 32,
    },
  ]);
  const triton = parseEngineMetrics(TRITON_BODY);
  assert.equal(triton.engine, 'trtllm');
  assert.deepEqual(triton.ranks, [
    {
      rank: 0,
      waitingRequests: 3,
      runningRequests: 4,
      kvCacheUsage: 0.6,
      blockSize: 64,
      gpuBlocks: 100,
      cacheTokens: 6400,
    },
  ]);
});

test('Triton with another backend tells what waits, of all its models', () => {
  const { engine, ranks } = parseEngineMetrics(
    'nv_inference_pending_request_count{model="a",version="1"} 2\n' +
      'nv_inference_pending_request_count{model="b",version="1"} 3\n' +
      'nv_inference_exec_count{model="a",version="1"} 4711\n',
  );
  assert.equal(engine, 'triton');
  assert.deepEqual(
    ranks.map((entry) => [entry.waitingRequests, entry.runningRequests, entry.cacheTokens]),
    [[5, 0, null]],
  );
});

test('SGLang that has its cache in labels', () => {
  const { ranks } = parseEngineMetrics(
    'sglang:num_running_reqs{model_name="m"} 4.0\n' +
      'sglang:cache_config_info{model_name="m",page_size="64",num_pages="100"} 1.0\n',
  );
  const [rank] = ranks;
  assert.deepEqual([rank?.blockSize, rank?.gpuBlocks, rank?.cacheTokens], [64, 100, 6400]);
});

test('what an engine can hold for reuse: its whole cache, the host tier, or nothing', () => {
  const vllm = (labels: string): number | null | undefined =>
    parseEngineMetrics(`vllm:cache_config_info{engine="0",${labels}} 1.0\n`).ranks[0]?.cacheTokens;
  assert.equal(vllm('block_size="16",num_gpu_blocks="1000"'), 999 * 16);
  // Where groups of layers share the blocks, only the engine knows how many tokens fit.
  const hybrid = 'block_size="16",hash_block_size="64",num_gpu_blocks="1000"';
  assert.equal(vllm(`${hybrid},kv_cache_size_tokens="50000"`), 50_000 - 16);
  const off = 'enable_prefix_caching="False"';
  assert.equal(vllm(`block_size="16",${off},num_gpu_blocks="1000"`), 0);
  assert.equal(vllm('block_size="16",num_gpu_blocks="None"'), null);
  const sglang = (lines: string): number | null | undefined =>
    parseEngineMetrics(`sglang:num_running_reqs 0\n${lines}`).ranks[0]?.cacheTokens;
  const gpu = 'sglang:max_total_num_tokens{dp_rank="0"} 1000.0\n';
  assert.equal(sglang(`${gpu}sglang:hicache_host_total_tokens{dp_rank="0"} 5000.0\n`), 5000);
  assert.equal(sglang(`${gpu}sglang:hicache_host_total_tokens{dp_rank="0"} 0\n`), 1000);
  assert.equal(sglang(''), null);
});

test('adapters: the newest series counts, absent ones are null', () => {
  const series = (max: number, running: string, waiting: string, at: string): string =>
    `vllm:lora_requests_info{max_lora="${max}",running_lora_adapters="${running}",` +
    `waiting_lora_adapters="${waiting}"} ${at}\n`;
  const body =
    series(4, 'old', '', '1.7e+09') +
    series(4, 'sql,chat', 'code', '1.7900000005e+09') +
    series(4, '', 'sql', '1.78e+09');
  assert.deepEqual(parseEngineMetrics(body).adapters, {
    most: 4,
    running: new Set(['sql', 'chat']),
    waiting: new Set(['code']),
  });
  assert.deepEqual(parseEngineMetrics(series(0, '', '', '5')).adapters, {
    most: 0,
    running: new Set(),
    waiting: new Set(),
  });
  assert.equal(parseEngineMetrics('vllm:num_requests_running 1\n').adapters, null);
  assert.equal(parseEngineMetrics(series(4, 'a', '', 'NaN')).adapters, null);
});

test('malformed lines are ignored', () => {
  for (const body of [
    '',
    'not metrics',
    'vllm:num_requests_running',
    'vllm:num_requests_running{engine="0"',
    'vllm:num_requests_running{engine="0"} NaN',
    'vllm:num_requests_running{engine="x"} 3',
    'vllm:num_requests_running{engine="-1"} 3',
    'vllm:num_requests_running{engine="0"} ',
  ]) {
    const { ranks } = parseEngineMetrics(body);
    assert.deepEqual(
      ranks.filter((entry) => entry.runningRequests !== 0),
      [],
      body,
    );
  }
});

test('a body of unended label lists is read line by line', () => {
  // Eight megabytes, the largest body that is scraped: read back to its start for every line, it
  // would hold the main thread for a quarter of an hour.
  const unended = 'vllm:num_requests_running{\n'.repeat(300_000);
  const body = `${unended}vllm:num_requests_running{engine="0"} 3\n`;
  assert.equal(parseEngineMetrics(body).ranks[0]?.runningRequests, 3);
});
