// What doctor asks the router it has started: its status, and a probe prompt.

import type { EngineKind } from '#contracts/endpoint.js';

/** The parts of /status that doctor reads. */
export interface DoctorStatus {
  readonly fleet: { readonly problems: Readonly<Record<string, string>> };
  readonly models: readonly {
    readonly id: string;
    readonly adapter: string;
    readonly tokenizer: string | null;
    readonly proof: string;
    readonly proofReason: string | null;
  }[];
  readonly pools: readonly { readonly pool: string; readonly blockSize: number | null }[];
  readonly endpoints: readonly {
    readonly endpoint: string;
    readonly engine: EngineKind;
    readonly blockSize: number | null;
    readonly gpuBlocks: number | null;
    readonly healthy: boolean;
    readonly events: {
      readonly state: string;
      readonly source: { readonly address: string; readonly replayAddress: string | null };
      readonly framesReceived: number;
      readonly replays: number;
      readonly replaysFailed: number;
      readonly blocksStored: number;
    } | null;
  }[];
}

/** Answer to one probe prompt. */
export interface ProbeAnswer {
  readonly status: number;
  /** Who answered; several data-parallel ranks share one address. */
  readonly endpoint: string;
  readonly body: string;
  readonly predicted: number;
  readonly promptTokens: number;
  /** null when the engine does not report it. */
  readonly reported: number | null;
  readonly reportedPromptTokens: number | null;
}

export async function readDoctorStatus(adminUrl: string): Promise<DoctorStatus> {
  return (await (await fetch(`${adminUrl}/status`)).json()) as DoctorStatus;
}

/** Sends the text as a chat of one token's answer. */
export async function sendProbe(url: string, model: string, text: string): Promise<ProbeAnswer> {
  const chat = { model, max_tokens: 1, messages: [{ role: 'user', content: text }] };
  const response = await postJson(`${url}/v1/chat/completions`, chat);
  const body = await response.text();
  const [predicted = 0, promptTokens = 0] = (
    response.headers.get('x-warmpath-matched-tokens') ?? '0/0'
  )
    .split('/')
    .map(Number);
  const usage = response.ok ? usageOf(body) : null;
  return {
    status: response.status,
    endpoint: response.headers.get('x-warmpath-endpoint') ?? '',
    body,
    predicted,
    promptTokens,
    reported: usage?.prompt_tokens_details?.cached_tokens ?? null,
    reportedPromptTokens: usage?.prompt_tokens ?? null,
  };
}

/** Sends the bare text; returns who answered. Unlike chats, two texts share no first block. */
export async function sendBareProbe(url: string, model: string, prompt: string): Promise<string> {
  const response = await postJson(`${url}/v1/completions`, { model, max_tokens: 1, prompt });
  await response.text();
  return response.headers.get('x-warmpath-endpoint') ?? '';
}

function postJson(url: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

interface Usage {
  readonly prompt_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
}

function usageOf(body: string): Usage | null {
  try {
    return (JSON.parse(body) as { readonly usage?: Usage }).usage ?? null;
  } catch {
    return null;
  }
}
