// Trust by proof: a model is scored precisely only after an engine's own /tokenize gave, for a
// handful of probe chats, the very ids this router computes. Called by main per model; the chats
// and the router's side come in as arguments, because both live in the core.

import type { EndpointSecurity } from '#contracts/endpoint.js';
import type { EngineClient } from '#contracts/transport.js';
import { isRecord } from './event-sources.js';

/** One chat to compare: a chat completion's body without `model`. */
export interface ProofChat {
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Outcome of a proof. */
export type Proof =
  | { readonly outcome: 'proven'; readonly chats: number }
  /** The ids differ: precise scoring would claim hits that the engine does not have. */
  | { readonly outcome: 'unproven'; readonly reason: string }
  /** The engine has no /tokenize to compare with. */
  | { readonly outcome: 'unsupported'; readonly reason: string }
  /** The engine does not answer now: ask again later. */
  | { readonly outcome: 'unavailable'; readonly reason: string };

export interface ProofOptions {
  readonly client: EngineClient;
  readonly url: string;
  readonly security: EndpointSecurity;
  readonly timeoutMs: number;
  readonly modelId: string;
  readonly chats: readonly ProofChat[];
  /** Token ids this router computes for a chat completion's body (with `model`). */
  readonly tokenizeHere: (body: string) => Promise<Uint32Array>;
}

/** Ids shown on either side of the first difference. */
const SHOWN_IDS = 4;

/** Compares every chat, in order, until one differs. Never rejects. */
export async function proveModel(options: ProofOptions): Promise<Proof> {
  let compared = 0;
  for (const chat of options.chats) {
    const body = JSON.stringify({ model: options.modelId, ...chat.body });
    const [engine, here] = [await askEngine(options, body), await askHere(options, body)];
    if (engine.kind === 'unsupported' || engine.kind === 'unavailable') {
      return { outcome: engine.kind, reason: engine.reason };
    }
    // A chat that both refuse (a template without a system role, say) is agreement too.
    if (engine.kind === 'refused' && here.kind === 'refused') continue;
    const difference = differenceOf(here, engine);
    if (difference !== null) {
      return { outcome: 'unproven', reason: `Chat "${chat.name}": ${difference}` };
    }
    compared += 1;
  }
  if (compared > 0) return { outcome: 'proven', chats: compared };
  return { outcome: 'unavailable', reason: 'no probe chat could be compared' };
}

/** Says where two id lists part, null when they are equal. */
export function firstDifference(ours: ArrayLike<number>, theirs: ArrayLike<number>): string | null {
  const shared = Math.min(ours.length, theirs.length);
  let position = 0;
  while (position < shared && ours[position] === theirs[position]) position += 1;
  if (position === shared && ours.length === theirs.length) return null;
  return (
    `token ${position} differs: here ${excerpt(ours, position)} of ${ours.length} tokens, ` +
    `engine ${excerpt(theirs, position)} of ${theirs.length} tokens`
  );
}

type Answer =
  | { readonly kind: 'ids'; readonly ids: ArrayLike<number> }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unsupported' | 'unavailable'; readonly reason: string };

/** Answers of a server that does not know the route. */
const ROUTE_MISSING: readonly number[] = [404, 405, 501];

async function askEngine(options: ProofOptions, body: string): Promise<Answer> {
  const { client, url, security, timeoutMs } = options;
  try {
    const answer = await client.post(url, '/tokenize', body, security, timeoutMs);
    const reason = `${url}/tokenize answered ${answer.status}`;
    if (answer.status === 400) return { kind: 'refused', reason };
    if (ROUTE_MISSING.includes(answer.status)) return { kind: 'unsupported', reason };
    if (answer.status !== 200) return { kind: 'unavailable', reason };
    const parsed: unknown = JSON.parse(answer.body);
    const ids = isRecord(parsed) ? parsed['tokens'] : null;
    if (isTokenIds(ids)) return { kind: 'ids', ids };
    return { kind: 'unavailable', reason: `${url}/tokenize answered no list of token ids` };
  } catch (error) {
    return { kind: 'unavailable', reason: `${url}/tokenize failed: ${messageOf(error)}` };
  }
}

async function askHere(options: ProofOptions, body: string): Promise<Answer> {
  try {
    return { kind: 'ids', ids: await options.tokenizeHere(body) };
  } catch (error) {
    return { kind: 'refused', reason: messageOf(error) };
  }
}

function differenceOf(here: Answer, engine: Answer): string | null {
  if (here.kind !== 'ids') return `refused here (${here.reason}), not by the engine`;
  if (engine.kind !== 'ids') return `refused by the engine (${engine.reason}), not here`;
  return firstDifference(here.ids, engine.ids);
}

function isTokenIds(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((id) => Number.isInteger(id));
}

function excerpt(ids: ArrayLike<number>, position: number): string {
  return JSON.stringify(Array.from(ids).slice(position, position + SHOWN_IDS));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
