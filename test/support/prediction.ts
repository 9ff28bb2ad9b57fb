// Sends a workload through a router and compares, per request, the reuse the router predicted for
// the endpoint it chose with what that engine reported. Used end to end with engine simulators and
// against a real vLLM.

import type { WorkloadRequest } from '#test/support/conversations.js';
import { readAnswer } from '#test/support/other-apis.js';
import { readStatus } from '#test/support/status.js';
import { parseReplayReply } from '#wire/frames.js';
import { ReplayClient } from '#wire/zmq.js';

/** One engine behind the router. */
export interface CheckedEngine {
  /** Endpoint name in headers and /status. */
  readonly name: string;
  readonly url: string;
  /** ZMQ address of its replay socket. */
  readonly replayAddress: string;
}

/** What one request showed. */
export interface PredictionSample {
  readonly kind: WorkloadRequest['kind'];
  readonly endpoint: string;
  readonly promptTokens: number;
  readonly predicted: number;
  readonly reportedPromptTokens: number;
  readonly reported: number;
}

export interface PredictionCheck {
  readonly routerUrl: string;
  readonly adminUrl: string;
  readonly engines: readonly CheckedEngine[];
  /** Most requests to send. */
  readonly requests: number;
  /** Asked before each; false ends the check early. */
  readonly goOn?: () => boolean;
  readonly workload: Generator<WorkloadRequest>;
  /** Requests at the same time; 1 waits for quiet engines before each. */
  readonly concurrency: number;
  readonly onSample?: (sample: PredictionSample) => Promise<void>;
}

/** Runs the check; one sample per request that was answered 200. */
export async function checkPredictions(
  check: PredictionCheck,
): Promise<readonly PredictionSample[]> {
  const samples: PredictionSample[] = [];
  let left = check.requests;
  const lane = async (): Promise<void> => {
    while (left > 0 && check.goOn?.() !== false) {
      left -= 1;
      if (check.concurrency === 1) await untilQuiet(check.adminUrl, check.engines);
      const request = check.workload.next().value as WorkloadRequest;
      const sample = await send(check.routerUrl, request);
      samples.push(sample);
      await check.onSample?.(sample);
    }
  };
  await Promise.all(Array.from({ length: check.concurrency }, lane));
  return samples;
}

async function send(routerUrl: string, request: WorkloadRequest): Promise<PredictionSample> {
  const response = await fetch(`${routerUrl}${request.path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request.body),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${request.path}: ${response.status} ${text}`);
  const answer = readAnswer(request.path, JSON.parse(text));
  request.turn(answer.text);
  const matched = response.headers.get('x-warmpath-matched-tokens') ?? '';
  const [predicted, promptTokens] = matched.split('/').map(Number);
  return {
    kind: request.kind,
    endpoint: response.headers.get('x-warmpath-endpoint') ?? '',
    promptTokens: promptTokens ?? Number.NaN,
    predicted: predicted ?? Number.NaN,
    reportedPromptTokens: answer.promptTokens,
    reported: answer.cachedTokens,
  };
}

const QUIET_TRIES = 2000;

/** Waits until no engine runs anything and the router has applied every event published. */
export async function untilQuiet(
  adminUrl: string,
  engines: readonly CheckedEngine[],
): Promise<void> {
  for (let attempt = 0; attempt < QUIET_TRIES; attempt += 1) {
    if (await quiet(adminUrl, engines)) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('the engines did not become quiet');
}

async function quiet(adminUrl: string, engines: readonly CheckedEngine[]): Promise<boolean> {
  const busy = await Promise.all(engines.map((engine) => running(engine.url)));
  if (busy.some((count) => count > 0)) return false;
  const status = await readStatus(adminUrl);
  for (const engine of engines) {
    const seen = status.endpoints.find(({ endpoint }) => endpoint === engine.name)?.events;
    if (seen === undefined || seen === null || seen.state !== 'live') return false;
    if (await publishedBeyond(engine.replayAddress, seen.lastSeq)) return false;
  }
  return true;
}

async function running(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  let count = 0;
  for (const line of text.split('\n')) {
    if (/^vllm:num_requests_(running|waiting)\{/.test(line))
      count += Number(line.split(' ').at(-1));
  }
  return count;
}

/** Whether the engine has published a batch after `lastSeq`: its replay from there is not empty. */
async function publishedBeyond(replayAddress: string, lastSeq: number): Promise<boolean> {
  const client = new ReplayClient(replayAddress);
  try {
    await client.request(BigInt(lastSeq + 1));
    const reply = await client.receive();
    if (reply === null) throw new Error(`${replayAddress} does not answer replay requests`);
    return parseReplayReply(reply)?.kind === 'frame';
  } finally {
    client.close();
  }
}
