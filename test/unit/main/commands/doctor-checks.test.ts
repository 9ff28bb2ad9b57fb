// What doctor advises is what the engine in question understands: each kind is told of its own flags and
// of nobody else's.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineKind } from '#contracts/endpoint.js';
import { type Check, checkEvents, checkPrediction } from '#main/commands/doctor-checks.js';
import type { DoctorStatus, ProbeAnswer } from '#main/commands/doctor-probe.js';

type Endpoint = DoctorStatus['endpoints'][number];
type Events = NonNullable<Endpoint['events']>;

const SILENT: Events = {
  state: 'connecting',
  source: { address: 'tcp://10.0.0.1:5557', replayAddress: null },
  framesReceived: 0,
  replays: 0,
  replaysFailed: 0,
  blocksStored: 0,
};

/** All that is advised about an engine where something is missing. */
function advised(engine: EngineKind): readonly string[] {
  const remedies = (checks: readonly Check[]): readonly string[] =>
    checks.map(({ verdict, subject, remedy }) => {
      assert.notEqual(verdict, 'PASS', subject);
      assert.notEqual(remedy, '', subject);
      return remedy;
    });
  return [
    ...remedies(checkEvents(status(engine, null), new Set())),
    ...remedies(checkEvents(status(engine, SILENT), new Set(['a:8000']))),
    ...remedies([
      checkPrediction(answer(0, null), answer(64, null), engine),
      checkPrediction(answer(0, 0), answer(64, 0), engine),
    ]),
  ];
}

function status(engine: EngineKind, events: Events | null): DoctorStatus {
  const endpoint: Endpoint = {
    endpoint: 'a:8000',
    engine,
    blockSize: 16,
    gpuBlocks: null,
    healthy: true,
    events,
  };
  return { fleet: { problems: {} }, models: [], pools: [], endpoints: [endpoint] };
}

function answer(predicted: number, reported: number | null): ProbeAnswer {
  const tokens = { promptTokens: 64, reportedPromptTokens: 64 };
  return { status: 200, endpoint: 'a:8000', body: '', predicted, reported, ...tokens };
}

test('vLLM is told its flags', () => {
  const [absent = '', silent = '', replay = '', report = '', reuse = ''] = advised('vllm');
  const flags = /^vllm serve .* --kv-events-config '(\{"enable_kv_cache_events":true,[^']*\})'/;
  const config = JSON.parse(flags.exec(absent)?.[1] ?? 'null') as unknown;
  assert.deepEqual(config, {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint: 'tcp://*:5557',
    replay_endpoint: 'tcp://*:5558',
  });
  assert.match(absent, /; before vLLM 0\.31 also tell the router: --endpoint URL,events=tcp:/);
  assert.match(silent, /^is the port open to this host\? vllm serve /);
  assert.match(replay, /"replay_endpoint".* --kv-events-config$/);
  assert.match(report, /--enable-prompt-tokens-details$/);
  assert.match(reuse, /--enable-prefix-caching$/);
});

test('SGLang is told its own, which knows no `enable_kv_cache_events`', () => {
  const all = advised('sglang');
  const [absent = '', silent = '', replay = '', report = '', reuse = ''] = all;
  const config = /--kv-events-config '(\{[^']*\})'/.exec(absent)?.[1] ?? 'null';
  assert.deepEqual(JSON.parse(config), {
    publisher: 'zmq',
    endpoint: 'tcp://*:5557',
    replay_endpoint: 'tcp://*:5558',
  });
  assert.match(absent, /no `kv_events` also tell the router: --endpoint URL,events=tcp:/);
  assert.match(silent, /sglang\.launch_server .*--kv-events-config/);
  assert.match(replay, /--kv-events-config$/);
  assert.match(report, /--enable-cache-report$/);
  assert.match(reuse, /without --disable-radix-cache$/);
  assert.doesNotMatch(all.join('\n'), /vllm serve|enable_kv_cache_events|before vLLM/);
});

test('TensorRT-LLM is told what its configuration file needs, and never a flag it has not', () => {
  const all = advised('trtllm');
  const [absent = '', silent = '', replay = '', , reuse = ''] = all;
  for (const text of [absent, silent]) {
    assert.match(text, /trtllm-serve .*kv_events_config: \{enable_kv_cache_events: true, /);
  }
  assert.match(absent, /; also tell the router: --endpoint URL,events=tcp:/);
  assert.match(replay, /replay_endpoint: .*`kv_cache_config\.kv_events_config`$/);
  assert.match(reuse, /enable_block_reuse: true/);
  assert.doesNotMatch(all.join('\n'), /--kv-events-config|vllm serve|vLLM/);
});

test('engines that publish nothing, or that nobody knows, are told no flag at all', () => {
  for (const engine of ['triton', 'unknown'] as const) {
    assert.doesNotMatch(advised(engine).join('\n'), /--kv-events|--enable|vllm serve/, engine);
  }
  assert.match(advised('triton')[0] ?? '', /^Triton publishes no KV events[^;]*$/);
  assert.match(
    advised('unknown')[0] ?? '',
    /not recognised.*tell the router: --endpoint URL,events=/,
  );
});
