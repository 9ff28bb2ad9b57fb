// `verify` on recorded engine streams, whole and damaged.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { encode } from '@msgpack/msgpack';
import { seededRandom } from '#contracts/random.js';
import { createBlockIndex } from '#core/index-memory.js';
import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { chainKeys, namespaceSeed } from '#core/portable/keys.js';
import { readRecording } from '#main/commands/recording.js';
import { verify } from '#main/commands/verify.js';
import { chooseVerifyCore, type VerifyCore } from '#main/commands/verify-core.js';
import { type Prediction, runRecording } from '#main/commands/verify-run.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { goldenFile, sharedFile } from '#test/support/paths.js';

const STREAMS = [
  'vllm-0.33.0-stream-b16-sha256cbor.jsonl',
  'vllm-0.33.0-stream-duplicates-b16.jsonl',
  'vllm-0.33.0-stream-hybrid-b16.jsonl',
  'vllm-0.32.0-stream-mixed-b16-b64.jsonl',
  'vllm-0.32.0-stream-hybrid-b64-b16.jsonl',
  'vllm-0.32.0-stream-hybrid-windows-b16.jsonl',
];
const PROBES: Readonly<Record<string, number>> = {
  'vllm-0.33.0-stream-b16-sha256cbor.jsonl': 1020,
  'vllm-0.33.0-stream-duplicates-b16.jsonl': 480,
  'vllm-0.33.0-stream-hybrid-b16.jsonl': 570,
  'vllm-0.32.0-stream-mixed-b16-b64.jsonl': 180,
  'vllm-0.32.0-stream-hybrid-b64-b16.jsonl': 100,
  'vllm-0.32.0-stream-hybrid-windows-b16.jsonl': 100,
  'vllm-0.23.0-stream-b16-array.jsonl': 400,
};

interface Totals {
  readonly probes: number;
  readonly exact: number;
  readonly over: number;
  readonly under: number;
  readonly lines: number;
  readonly restarts: number;
  readonly replaysUnreadable: number;
}

type CoreName = VerifyCore['name'];
const CORES: readonly { readonly core: CoreName; readonly skip: string | false }[] = [
  { core: 'portable', skip: false },
  { core: 'native', skip: nativeSkip },
];

async function runVerify(
  file: string,
  core: CoreName,
): Promise<{ code: number; lines: string[]; totals: Totals }> {
  const lines: string[] = [];
  const code = await verify(file, { json: true, core }, (line) => lines.push(line));
  return { code, lines, totals: JSON.parse(lines.at(-1) ?? '') };
}

async function expectExact(file: string, core: CoreName, probes: number): Promise<void> {
  const { code, lines, totals } = await runVerify(file, core);
  assert.equal(code, 0, lines.join('\n'));
  assert.deepEqual(
    { ...totals },
    {
      ...totals,
      probes,
      exact: probes,
      over: 0,
      under: 0,
      restarts: 1,
      replaysUnreadable: 0,
      core,
    },
  );
}

for (const { core, skip } of CORES) {
  for (const name of STREAMS) {
    test(`${core}: every prediction on ${name} is exact`, { skip }, () =>
      expectExact(goldenFile(name), core, PROBES[name] ?? 0),
    );
  }

  test(`${core}: every prediction on the array-encoded vLLM 0.23.0 stream is exact`, {
    skip,
  }, async (context) => {
    const file = sharedFile('golden/vllm-0.23.0-stream-b16-array.jsonl');
    if (file === null) context.skip('the shared recordings are not beside this checkout');
    else await expectExact(file, core, 400);
  });

  test(`${core}: re-announcements (kv_cache_report_mode full) cost at most 3 %, and exit with 1`, {
    skip,
  }, async (context) => {
    const file = sharedFile('golden/vllm-0.33.0-stream-fullreport-b16.jsonl');
    if (file === null) {
      context.skip('the shared recordings are not beside this checkout');
      return;
    }
    const { code, lines, totals } = await runVerify(file, core);
    assert.equal(code, 1);
    assert.ok(totals.exact / totals.probes >= 0.97, `${totals.exact} of ${totals.probes}`);
    assert.match(lines.join('\n'), /too high is expected where .*kv_cache_report_mode/);
  });
}

/** Runs a changed copy of a recording. */
async function runChanged(change: (lines: string[]) => string[]): Promise<{
  readonly code: number;
  readonly output: readonly string[];
}> {
  const folder = mkdtempSync(path.join(tmpdir(), 'verify-'));
  try {
    const file = path.join(folder, 'recording.jsonl');
    const text = readFileSync(goldenFile(STREAMS[1] ?? ''), 'utf8').trimEnd();
    writeFileSync(file, `${change(text.split('\n')).join('\n')}\n`);
    const output: string[] = [];
    const code = await verify(file, { json: true, core: 'portable' }, (line) => output.push(line));
    return { code, output };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a changed hit count is found, named, and exits with 1', async () => {
  let changedLine = 0;
  const { code, output } = await runChanged((lines) => {
    changedLine = 1 + lines.findIndex((line) => /"type":\s*"probe".*"pod-0":\s*[1-9]/.test(line));
    const text = lines[changedLine - 1] ?? '';
    return lines.with(changedLine - 1, text.replace(/("pod-0":\s*)(\d+)/, '$17777'));
  });
  assert.equal(code, 1);
  const totals = JSON.parse(output.at(-1) ?? '');
  assert.deepEqual([totals.exact, totals.under, totals.over], [479, 1, 0]);
  const sentence = output.find((line) => line.startsWith(`line ${changedLine}: `));
  assert.match(sentence ?? '', /on pod-0: predicted \d+ tokens, the engine reuses 7777/);
});

test('what the engine did with a request is not looked at', async () => {
  const { code } = await runChanged((lines) =>
    lines
      .filter((line) => !/"type":\s*"(admit|submit|finish)"/.test(line))
      .map((line) => line.replace(/"block_hashes":\s*\[[^\]]*\]/, '"block_hashes":[1]')),
  );
  assert.equal(code, 0);
});

test('a replay that cannot be read exits with 1', async () => {
  const { code, output } = await runChanged((lines) =>
    lines.map((line) =>
      /"type":\s*"replay"/.test(line) ? line.replaceAll('ffffffffffffffff', 'ffffffff') : line,
    ),
  );
  assert.equal(code, 1);
  assert.ok(output.some((line) => /^line \d+: reply 4 is out of place$/.test(line)));
});

test('absurd figures in a header cost no memory', async () => {
  for (const figures of ['"num_gpu_blocks": 1e15', '"num_gpu_blocks": 1e9']) {
    const { code, output } = await runChanged(([header = '', ...rest]) => [
      header.replaceAll(/"num_gpu_blocks": ?\d+/g, figures),
      ...rest,
    ]);
    assert.equal(code, 0, output.join('\n'));
  }
  const { output } = await runChanged(([header = '', ...rest]) => [
    header.replace(/"block_size": ?\d+/, '"block_size": 99999999999'),
    ...rest,
  ]);
  assert.equal(JSON.parse(output.at(-1) ?? '').probes, 480);
});

test('an unusable recording exits with 2 and names line and field', async () => {
  const cases: readonly (readonly [(lines: string[]) => string[], RegExp])[] = [
    [
      () => ['{"type":"header","format":"kvstream/2"}'],
      /line 1: field format: expected kvstream\/1/,
    ],
    [() => [''], /line 1: the recording is empty/],
    [
      ([header = '', ...rest]) => [header.replace('"pod-1"', '"pod-0"'), ...rest],
      /line 1: field pods: expected pods of different names/,
    ],
    [
      (lines) => lines.with(1, '{"type":"replay","start_seq":0,"reply_frames":[["", "00", 1e15]]}'),
      /line 2: field reply_frames: expected arrays that end with a payload length/,
    ],
    [(lines) => lines.with(2, '{"type":'), /line 3: not JSON: /],
    [(lines) => lines.with(2, '[]'), /line 3: expected a JSON object/],
    [
      (lines) => lines.with(2, '{"type":"frame","pod":"pod-9","payload":"","seq":0}'),
      /line 3: field pod: expected a pod named in the header, "pod-9"/,
    ],
    [
      (lines) => lines.with(2, '{"type":"frame","pod":"pod-0","payload":"","seq":-1}'),
      /line 3: field seq: expected a count, -1/,
    ],
    [
      (lines) => lines.with(1, '{"type":"probe","id":"a","token_ids":[1,2.5],"hit_tokens":{}}'),
      /line 2: field token_ids: expected token ids/,
    ],
    [
      (lines) => lines.with(1, '{"type":"probe","id":"a","token_ids":[1],"hit_tokens":{}}'),
      /line 2: field hit_tokens\.pod-0: expected an integer/,
    ],
  ];
  for (const [change, message] of cases) {
    const { code, output } = await runChanged(change);
    assert.equal(code, 2, output.join('\n'));
    assert.match(output.join('\n'), message);
  }
  const output: string[] = [];
  const options = { json: false, core: 'portable' } as const;
  assert.equal(await verify('/does/not/exist.jsonl', options, (line) => output.push(line)), 2);
  assert.match(output.join(), /cannot be read: ENOENT/);
});

/** A recording of one engine, written line by line as the test goes. */
class MadeUpRecording {
  readonly #lines: object[] = [
    { type: 'header', format: 'kvstream/1', block_size: 16, pods: [{ name: 'pod-0' }] },
  ];
  #seq = 0;

  store(engineKey: number, tokenIds: readonly number[]): void {
    this.#frame({
      type: 'BlockStored',
      block_hashes: [engineKey],
      parent_block_hash: null,
      token_ids: tokenIds,
      block_size: 16,
      lora_id: null,
    });
  }

  clear(): void {
    this.#frame({ type: 'AllBlocksCleared' });
  }

  restart(): void {
    this.#lines.push({ type: 'restart', pod: 'pod-0' });
    this.#seq = 0;
  }

  probe(tokenIds: readonly number[], hitTokens: number): void {
    const asked = { id: `probe-${this.#lines.length}`, token_ids: tokenIds };
    this.#lines.push({ type: 'probe', ...asked, hit_tokens: { 'pod-0': hitTokens } });
  }

  async verify(): Promise<number> {
    const { code } = await runChanged(() => this.#lines.map((line) => JSON.stringify(line)));
    return code;
  }

  #frame(event: object): void {
    const payload = Buffer.from(encode([1, [event], 0])).toString('base64');
    this.#lines.push({ type: 'frame', pod: 'pod-0', topic: '', seq: this.#seq, payload });
    this.#seq += 1;
  }
}

const block = (first: number): readonly number[] => [first, ...Array<number>(15).fill(0)];

test('an engine that clears or restarts again and again is followed', async () => {
  for (const end of ['clear', 'restart'] as const) {
    const recording = new MadeUpRecording();
    for (let round = 0; round < 600; round += 1) {
      recording.store(1000 + round, block(round));
      recording[end]();
    }
    recording.store(7, block(7));
    recording.probe([...block(7), 1], 16);
    recording.probe([...block(599), 1], 0);
    assert.equal(await recording.verify(), 0, end);
  }
});

test('a header without groups and block counts is enough, however many blocks come', async () => {
  const recording = new MadeUpRecording();
  for (let key = 1; key <= 90_000; key += 1) recording.store(key, block(key));
  for (let key = 1; key <= 90_000; key += 500) recording.probe([...block(key), 1], 16);
  assert.equal(await recording.verify(), 0);
});

const seed = 41_077;

/** Predictions with a tenth of the frames lost; runs of up to three. */
async function predictWithLoss(
  name: string,
  coreName: CoreName,
  canReplay: boolean,
): Promise<readonly Prediction[]> {
  const core = chooseVerifyCore(coreName);
  assert.ok(typeof core !== 'string', `${core}`);
  const random = seededRandom(seed);
  let losing = 0;
  const isLost = (): boolean => {
    if (losing === 0 && random.next() < 0.05) losing = 1 + Math.floor(random.next() * 3);
    if (losing === 0) return false;
    losing -= 1;
    return true;
  };
  const options = { core, random: seededRandom(seed + 1), canReplay, isLost };
  return (await runRecording(readRecording(goldenFile(name)), options)).predictions;
}

const RUNS = CORES.flatMap((core) => STREAMS.map((name) => ({ ...core, name })));
for (const { core, skip, name } of RUNS) {
  test(`${core}: ${name} with lost frames: replay recovers everything (seed ${seed})`, {
    skip,
  }, async () => {
    const predictions = await predictWithLoss(name, core, true);
    const noticed = predictions.filter((one) => !one.unnoticedLoss);
    assert.ok(noticed.length < predictions.length, 'frames were lost');
    for (const one of noticed) {
      assert.equal(one.predictedTokens, one.engineTokens, JSON.stringify(one));
    }
  });

  test(`${core}: ${name} with lost frames and no replay: never more than the truth (seed ${seed})`, {
    skip,
  }, async () => {
    const predictions = await predictWithLoss(name, core, false);
    const noticed = predictions.filter((one) => !one.unnoticedLoss);
    for (const one of noticed) {
      assert.ok(one.predictedTokens <= one.engineTokens, JSON.stringify(one));
    }
    assert.ok(
      noticed.some((one) => one.predictedTokens < one.engineTokens),
      'losses cost hits',
    );
    assert.ok(
      noticed.some((one) => one.predictedTokens > 0),
      'what is told later is known',
    );
  });
}

test('negative control: without the order step the same losses predict too much', async () => {
  const index = createBlockIndex({ blockCapacity: 65_536, endpointCapacity: 256 });
  const applier = createEventApplier(openIndexWriter(index, 0), 0n);
  const reader = openIndexReader(index);
  const random = seededRandom(seed);
  const slots = ['pod-0', 'pod-1'];
  for (const slot of slots.keys()) applier.open(slot, { pool: 'p', blockSize: 16 });
  const result = {
    usableBlocks: new Uint32Array(256),
    tierBlocks: new Uint32Array(1024),
    rawBlocks: new Uint32Array(256),
  };
  let over = 0;
  for await (const line of readRecording(goldenFile(STREAMS[1] ?? ''))) {
    if (line.text('type') === 'frame' && random.next() > 0.1) {
      applier.apply(slots.indexOf(line.text('pod')), Buffer.from(line.text('payload'), 'base64'));
    } else if (line.text('type') === 'probe') {
      const tokenIds = line.tokenIds('token_ids');
      const blockCount = Math.floor(tokenIds.length / 16);
      const keys = new Uint32Array(2 * blockCount);
      const adapter = line.optionalText('lora_name') ?? '';
      const cacheSalt = line.optionalText('cache_salt') ?? '';
      chainKeys(namespaceSeed(0n, { pool: 'p', adapter, cacheSalt }), tokenIds, 16, keys);
      reader.match(keys, blockCount, Math.floor((tokenIds.length - 1) / 16), result);
      for (const [slot, name] of slots.entries()) {
        if ((result.usableBlocks[slot] ?? 0) * 16 > line.countIn('hit_tokens', name)) over += 1;
      }
    }
  }
  assert.ok(over > 0, 'lost removals and a missed restart must show');
});
