// Whatever an engine's /metrics holds, the lines that the native watcher keeps tell of the engine
// what the whole text tells. Texts are served over real HTTP, cut anywhere.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { ClosableEngineWatcher, EngineWatch } from '#contracts/transport.js';
import { createEngineWatcher } from '#core/native/engine-watcher.js';
import { METRIC_LINES, parseEngineMetrics } from '#fleet/metrics-text.js';
import { NO_SECURITY } from '#test/support/fake-engine.js';
import { HttpEngine } from '#test/support/http-engine.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { repositoryRoot } from '#test/support/paths.js';

const LONG_MS = 60_000;

let engine: HttpEngine;
let watcher: ClosableEngineWatcher;
let watch: EngineWatch;
/** What is served next, in pieces. */
let pieces: readonly Uint8Array[] = [];

before(async () => {
  if (nativeSkip !== false) return;
  engine = await HttpEngine.start(async (_request, response) => {
    for (const piece of pieces) {
      response.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  });
  watcher = createEngineWatcher(nativeAddon(), METRIC_LINES);
  watch = watcher.watch(engine.url, NO_SECURITY, () => {});
});

after(async () => {
  if (nativeSkip !== false) return;
  await watcher.close();
  await engine.stop();
});

async function checkFiltered(bytes: Uint8Array, cuts: readonly number[]): Promise<string> {
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  pieces = ends.map((end, at) => bytes.subarray(ends[at - 1] ?? 0, end));
  const { body } = await watch.scrape('/metrics', LONG_MS);
  const whole = Buffer.from(bytes).toString('utf8');
  assert.deepEqual(parseEngineMetrics(body), parseEngineMetrics(whole));
  assert.ok(body.length <= whole.length + 1);
  return body;
}

/** Numbers as engines print them, and as they should not. */
const value = fc.oneof(
  fc.nat(100_000).map((number) => `${number}.0`),
  fc.double({ noNaN: true }).map(String),
  fc.constantFrom('NaN', '+Inf', '1e3', '', ' ', 'x', '1.7952221e+09', '3.0 1700000000000'),
);
const label = fc.oneof(
  fc.constantFrom(
    'engine="0"',
    'engine="3"',
    'engine="4096"',
    'dp_rank="1"',
    'block_size="16"',
    'page_size="64"',
    'request_type="waiting"',
    'kv_cache_block_type="max"',
    'hash_block_size="32"',
    'num_gpu_blocks="None"',
    'max_lora="4"',
    'running_lora_adapters="a,ü,\u{1f600}"',
    'waiting_lora_adapters=""',
  ),
  fc.string().map((text) => `model_name=${JSON.stringify(text)}`),
);
const name = fc.oneof(
  fc.constantFrom(...METRIC_LINES.names),
  fc.constantFrom(...METRIC_LINES.names).map((known) => `${known}_total`),
  fc.constantFrom(...METRIC_LINES.beginnings).map((known) => `${known}other`),
  fc.constantFrom('tgi_queue_size', 'python_info', ''),
);
const sample = fc
  .tuple(name, fc.array(label, { maxLength: 4 }), value)
  .map(([series, labels, number]) =>
    labels.length === 0 ? `${series} ${number}` : `${series}{${labels.join(',')}} ${number}`,
  );
const line = fc.oneof(
  { weight: 8, arbitrary: sample },
  { weight: 2, arbitrary: name.map((series) => `# HELP ${series} What it is.`) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
);
const ending = fc.constantFrom('\n', '\n', '\n', '\r\n', '\n\n');

test('of random texts, the kept lines tell what the whole text tells', {
  skip: nativeSkip,
}, async () => {
  const text = fc
    .array(fc.tuple(line, ending), { maxLength: 40 })
    .map((lines) => lines.map(([one, end]) => one + end).join(''));
  const bytes = fc.oneof(
    { weight: 9, arbitrary: fc.tuple(text, fc.constantFrom('', '\n', 'vllm:x 1')) },
    // No text at all: not even UTF-8.
    { weight: 1, arbitrary: fc.tuple(text, fc.uint8Array()) },
  );
  await fc.assert(
    fc.asyncProperty(bytes, fc.array(fc.nat(), { maxLength: 4 }), async ([begin, end], cuts) => {
      await checkFiltered(Buffer.concat([Buffer.from(begin), Buffer.from(end)]), cuts);
    }),
    { numRuns: 300 },
  );
});

test('of a real vLLM text a small part is kept, and it tells the same', {
  skip: nativeSkip,
}, async () => {
  const file = path.join(repositoryRoot, 'test/vectors/vllm-0.32.0-metrics.txt');
  const bytes = readFileSync(file);
  const body = await checkFiltered(bytes, [1, 1000, 7777, 20_001]);
  assert.ok(body.length * 10 < bytes.length, `${body.length} of ${bytes.length} bytes are kept`);
  assert.equal(parseEngineMetrics(body).ranks[0]?.gpuBlocks, 65_536);
});

test('control: a filter that lacks one series is found out', { skip: nativeSkip }, async () => {
  const names = METRIC_LINES.names.filter((one) => one !== 'vllm:num_requests_running');
  const poor = createEngineWatcher(nativeAddon(), { ...METRIC_LINES, names });
  const all = watch;
  try {
    watch = poor.watch(engine.url, NO_SECURITY, () => {});
    const text = 'vllm:first 1\nvllm:num_requests_running{engine="0"} 3.0\n';
    await assert.rejects(checkFiltered(Buffer.from(text), []), assert.AssertionError);
  } finally {
    watch = all;
    await poor.close();
  }
});
