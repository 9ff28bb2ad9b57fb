// What each kind of engine must be told so that everything is there that precise routing needs. Spelt as
// the engine spells it, because it is copied; doctor's checks choose among it.

import type { EngineKind } from '#contracts/endpoint.js';

/** What to do about one kind of engine. */
export interface EngineAdvice {
  /** How it is started so that it publishes KV events. */
  readonly events: string;
  /** When the router must be told where they are; empty when it never helps. */
  readonly tell: string;
  /** How its replay socket is added to that. */
  readonly replay: string;
  /** How it comes to reuse prefixes. */
  readonly reuse: string;
  /** How it comes to report what it reused. */
  readonly report: string;
}

const TELL =
  'tell the router: --endpoint URL,events=tcp://HOST:5557,replay=tcp://HOST:5558 (ports of rank 0)';
const NO_REPORT = 'it goes by `usage.prompt_tokens_details.cached_tokens` of the answer';

/** The checked forms of vLLM and SGLang are in the README; TensorRT-LLM's is read off its source. */
export const ENGINE_ADVICE: Readonly<Record<EngineKind, EngineAdvice>> = {
  vllm: {
    events:
      'vllm serve … --enable-prefix-caching --kv-events-config ' +
      `'{"enable_kv_cache_events":true,"publisher":"zmq","endpoint":"tcp://*:5557","replay_endpoint":"tcp://*:5558"}'`,
    tell: `before vLLM 0.31 also ${TELL}`,
    replay: 'add "replay_endpoint":"tcp://*:5558" to --kv-events-config',
    reuse: 'vllm serve … --enable-prefix-caching',
    report: 'vllm serve … --enable-prompt-tokens-details',
  },
  sglang: {
    events:
      'python -m sglang.launch_server … --kv-events-config ' +
      `'{"publisher":"zmq","endpoint":"tcp://*:5557","replay_endpoint":"tcp://*:5558"}'`,
    tell: `where its /server_info has no \`kv_events\` also ${TELL}`,
    replay: 'add "replay_endpoint":"tcp://*:5558" to --kv-events-config',
    reuse: 'start it without --disable-radix-cache',
    report: 'python -m sglang.launch_server … --enable-cache-report',
  },
  // llmapi's KVEventsConfig and kv_cache_events.py: vLLM's frames and event maps, and no route that
  // names the sockets.
  trtllm: {
    events:
      'trtllm-serve … --config FILE, in it kv_cache_config: {use_kv_cache_manager_v2: true, ' +
      'kv_events_config: {enable_kv_cache_events: true, publisher: zmq, endpoint: "tcp://*:5557", ' +
      'replay_endpoint: "tcp://*:5558"}}, where the release has `kv_events_config` (from 1.3.0rc27; ' +
      'none behind Triton)',
    tell: `also ${TELL}`,
    replay: 'add replay_endpoint: "tcp://*:5558" to `kv_cache_config.kv_events_config`',
    reuse: 'its configuration needs kv_cache_config: {enable_block_reuse: true}',
    report: `a newer release reports it by itself; ${NO_REPORT}`,
  },
  triton: {
    events: 'Triton publishes no KV events, so there is nothing to switch on',
    tell: '',
    replay: 'give its address: --endpoint URL,events=…,replay=tcp://HOST:5558',
    reuse: 'switch on prefix caching in its backend',
    report: NO_REPORT,
  },
  unknown: {
    events: 'the engine is not recognised, as it is by the names of its metrics',
    tell: `where it publishes events as vLLM or SGLang do, ${TELL}`,
    replay: 'give its address: --endpoint URL,events=…,replay=tcp://HOST:5558',
    reuse: 'switch on its prefix caching',
    report: NO_REPORT,
  },
};
