// Engines for fleet tests: one answer table per address, given to an in-memory EngineClient or
// served over real HTTP. Failures are switched on by the test.

import type { EndpointSecurity } from '#contracts/endpoint.js';
import type {
  EngineClient,
  EngineResponse,
  EngineWatch,
  EngineWatcher,
} from '#contracts/transport.js';
import { HttpEngine } from './http-engine.js';

/** Path → JSON value or text; a missing path is a 404. */
export type EngineAnswers = Record<string, unknown>;

/** How an engine misbehaves; null answers normally. */
export type EngineFault = 'refused' | 'hangs' | null;

export interface FakeEngine {
  answers: EngineAnswers;
  fault: EngineFault;
  /** Paths answered with 503. */
  failing: readonly string[];
}

export const NO_SECURITY: EndpointSecurity = { apiKey: null, caPem: null };

/** Answers of a vLLM with one model and given ranks. */
export function vllmAnswers(options: {
  readonly model?: string;
  readonly ranks?: number;
  readonly blockSize?: number;
  readonly startTime?: number;
  readonly running?: number;
  readonly sources?: unknown;
}): EngineAnswers {
  const { model = 'base', ranks = 1, blockSize = 16, startTime = 1000, running = 0 } = options;
  const lines = [`process_start_time_seconds ${startTime}`];
  for (let rank = 0; rank < ranks; rank += 1) {
    const labels = `engine="${rank}",model_name="${model}"`;
    lines.push(
      `vllm:num_requests_running{${labels}} ${running + rank}`,
      `vllm:num_requests_waiting{${labels}} 0`,
      `vllm:kv_cache_usage_perc{${labels}} 0.5`,
      `vllm:cache_config_info{block_size="${blockSize}",engine="${rank}",num_gpu_blocks="100"} 1`,
    );
  }
  return {
    '/health': '',
    '/v1/models': {
      object: 'list',
      data: [
        {
          id: model,
          root: `/models/${model}`,
          parent: null,
          max_model_len: 4096,
          owned_by: 'vllm',
          created: startTime,
        },
      ],
    },
    '/version': { version: '0.33.0' },
    '/metrics': `${lines.join('\n')}\n`,
    ...(options.sources === undefined ? {} : { '/kv_event_sources': options.sources }),
  };
}

/** What trtllm-serve answers: metrics as JSON under /metrics, as text beside them if they are on. */
export function trtllmAnswers(options: { readonly metricsOn: boolean }): EngineAnswers {
  const labels = 'engine_type="pytorch",model_name="base",pid="1"';
  const lines = [
    `trtllm_num_requests_running{${labels}} 3.0`,
    `trtllm_num_requests_waiting{${labels}} 1.0`,
    `trtllm_kv_cache_utilization{${labels}} 0.5`,
    `trtllm_kv_cache_max_blocks{${labels}} 100.0`,
    `trtllm_kv_cache_tokens_per_block{${labels}} 32.0`,
  ];
  return {
    '/health': '',
    '/v1/models': {
      object: 'list',
      data: [{ id: 'base', object: 'model', created: 1, owned_by: 'tensorrt_llm' }],
    },
    '/version': { version: '1.2.0' },
    '/metrics': [{ iter: 1, numActiveRequests: 3, numQueuedRequests: 1 }],
    ...(options.metricsOn ? { '/prometheus/metrics': `${lines.join('\n')}\n` } : {}),
  };
}

/** One rank's entry of vLLM's /kv_event_sources. */
export function zmqSource(endpoint: string, replay: string | null, topic = ''): unknown {
  return {
    enable_kv_cache_events: true,
    publisher: 'zmq',
    endpoint,
    replay_endpoint: replay,
    topic,
  };
}

/** An EngineClient and EngineWatcher over fake engines by base URL; remembers what was asked. */
export class MemoryEngineClient implements EngineClient, EngineWatcher {
  readonly engines: Map<string, FakeEngine> = new Map();
  readonly asked: string[] = [];
  readonly #watched = new Map<string, () => void>();

  watch(
    baseUrl: string,
    _security: EndpointSecurity = NO_SECURITY,
    onConnectionLost: () => void = () => {},
  ): EngineWatch {
    this.#watched.set(baseUrl, onConnectionLost);
    const get = async (path: string): Promise<EngineResponse> => {
      this.asked.push(`GET ${baseUrl}${path}`);
      return this.#answer(baseUrl, path);
    };
    return {
      get,
      scrape: get,
      probe: async () => (await get('/health')).status,
      close: () => {
        if (this.#watched.get(baseUrl) === onConnectionLost) this.#watched.delete(baseUrl);
      },
    };
  }

  /** Tells who watches the engine that it has closed a connection. */
  loseConnection(baseUrl: string): void {
    this.#watched.get(baseUrl)?.();
  }

  add(url: string, answers: EngineAnswers): FakeEngine {
    const engine: FakeEngine = { answers, fault: null, failing: [] };
    this.engines.set(url, engine);
    return engine;
  }

  async post(baseUrl: string, path: string, body: string): Promise<EngineResponse> {
    this.asked.push(`POST ${baseUrl}${path} ${body}`);
    return this.#answer(baseUrl, path);
  }

  async #answer(baseUrl: string, path: string): Promise<EngineResponse> {
    const engine = this.engines.get(baseUrl);
    if (engine === undefined || engine.fault === 'refused') throw new Error('ECONNREFUSED');
    if (engine.fault === 'hangs') {
      throw Object.assign(new Error('no answer in time'), { name: 'TimeoutError' });
    }
    if (engine.failing.includes(path)) return reply(503, '');
    const answer = engine.answers[path];
    return answer === undefined ? reply(404, '{"detail":"Not Found"}') : reply(200, textOf(answer));
  }
}

/** Serves a fake engine over real HTTP. */
export function serveEngine(engine: FakeEngine): Promise<HttpEngine> {
  return HttpEngine.start((request, response) => {
    const answer = engine.answers[request.url ?? ''];
    const failing = engine.failing.includes(request.url ?? '');
    response.statusCode = failing ? 503 : answer === undefined ? 404 : 200;
    response.end(answer === undefined ? '{}' : textOf(answer));
  });
}

function textOf(answer: unknown): string {
  return typeof answer === 'string' ? answer : JSON.stringify(answer);
}

function reply(status: number, body: string): EngineResponse {
  return { status, body };
}
