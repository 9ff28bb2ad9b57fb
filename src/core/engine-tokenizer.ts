// Token ids from an engine's own /tokenize, for models whose files are nowhere on this host: exact,
// slow, therefore cached. Called by encode.ts; a failure routes the request by load.

import { xxh3 } from '@node-rs/xxhash';
import { Agent, request } from 'undici';
import type { TokenizingEngine } from '#contracts/core.js';
import { ENGINE_BODY_BYTES_MAX } from '#contracts/limits.js';
import type { Route } from '#contracts/request.js';
import { isJsonObject, type JsonValue } from './json-value.js';

export interface EngineTokenizerLimits {
  readonly entriesMax: number;
  /** For one prompt, whoever answers in the end. */
  readonly timeoutMs: number;
}

/** Share of the time one engine may take to be connected to, before the next one is asked. */
const CONNECT_SHARE = 0.25;

/** Body members that decide the prompt; the engine ignores or refuses the others. */
const PROMPT_MEMBERS: readonly string[] = [
  'model',
  'prompt',
  'messages',
  'tools',
  'add_generation_prompt',
  'continue_final_message',
  'add_special_tokens',
  'chat_template_kwargs',
];

export class EngineTokenizer {
  readonly #limits: EngineTokenizerLimits;
  readonly #answers = new Map<bigint, Promise<Uint32Array>>();
  readonly #agents = new Map<string, Agent>();
  /** Engines that did not answer last time: asked after all others. */
  readonly #avoided = new Set<string>();

  constructor(limits: EngineTokenizerLimits) {
    this.#limits = limits;
  }

  /** Asks for the prompt of a route's body. Rejects when no engine answers with ids. */
  tokenIds(
    engines: readonly TokenizingEngine[],
    body: JsonValue,
    route: Route,
  ): Promise<Uint32Array> {
    const members = isJsonObject(body) ? body : {};
    const named = route === 'sglang-generate' ? asCompletion(members) : members;
    const asked = Object.fromEntries(
      PROMPT_MEMBERS.filter((name) => name in named).map((name) => [name, named[name]]),
    );
    const text = JSON.stringify(asked);
    const key = xxh3.xxh64(text);
    const known = this.#answers.get(key);
    if (known !== undefined) {
      this.#answers.delete(key);
      this.#answers.set(key, known);
      return known;
    }
    const answer = this.#askInTurn(engines, text);
    this.#answers.set(key, answer);
    answer.catch(() => this.#answers.delete(key));
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= this.#limits.entriesMax) break;
      this.#answers.delete(oldest);
    }
    return answer;
  }

  async #askInTurn(engines: readonly TokenizingEngine[], text: string): Promise<Uint32Array> {
    const isAvoided = ({ url }: TokenizingEngine): boolean => this.#avoided.has(url);
    const inTurn = [
      ...engines.filter((engine) => !isAvoided(engine)),
      ...engines.filter((engine) => isAvoided(engine)),
    ];
    const signal = AbortSignal.timeout(this.#limits.timeoutMs);
    let failure: unknown = new Error('there is no engine to ask');
    for (const engine of inTurn) {
      try {
        const ids = await this.#ask(engine, text, signal);
        this.#avoided.delete(engine.url);
        return ids;
      } catch (error) {
        failure = error;
        // A refusal is the prompt's fault, and every engine's answer to it.
        if (error instanceof Refusal) break;
        this.#avoided.add(engine.url);
        if (signal.aborted) break;
      }
    }
    throw failure;
  }

  async #ask(
    { url, security }: TokenizingEngine,
    text: string,
    signal: AbortSignal,
  ): Promise<Uint32Array> {
    const { apiKey } = security;
    const authorization = apiKey === null ? {} : { authorization: `Bearer ${apiKey}` };
    // undici's request follows no redirect: an engine cannot send the key elsewhere.
    const response = await request(`${url}/tokenize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization },
      body: text,
      dispatcher: this.#agent(security.caPem),
      signal,
    });
    const answer = await readBounded(response.body, url);
    const { statusCode } = response;
    const status = `${url}/tokenize answered ${statusCode}`;
    if (statusCode === 400 || statusCode === 422) throw new Refusal(status);
    if (statusCode !== 200) throw new Error(status);
    return idsOf(answer, url);
  }

  #agent(caPem: string | null): Agent {
    const key = caPem ?? '';
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const timeout = this.#limits.timeoutMs * CONNECT_SHARE;
      agent = new Agent({ connect: { timeout, ...(caPem === null ? {} : { ca: caPem }) } });
      this.#agents.set(key, agent);
    }
    return agent;
  }
}

type Members = Readonly<Record<string, JsonValue>>;

/** SGLang's /generate has its prompt in `text`, alone or as a list of one, and adds special tokens. */
function asCompletion({ model, text = null }: Members): Members {
  const prompt = Array.isArray(text) ? (text[0] ?? null) : text;
  const named: Members = model === undefined ? {} : { model };
  return { ...named, prompt, add_special_tokens: true };
}

/** The engine does not take this prompt. */
class Refusal extends Error {}

async function readBounded(
  body: AsyncIterable<Uint8Array> & { destroy(): unknown },
  url: string,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > ENGINE_BODY_BYTES_MAX) {
      body.destroy();
      throw new Error(`${url}/tokenize answered more than ${ENGINE_BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString('utf8');
}

function idsOf(text: string, url: string): Uint32Array {
  const answer = JSON.parse(text) as JsonValue;
  const ids = isJsonObject(answer) ? answer['tokens'] : null;
  if (!Array.isArray(ids) || !ids.every((id) => Number.isInteger(id))) {
    throw new Error(`${url}/tokenize answered no list of token ids`);
  }
  return Uint32Array.from(ids as readonly number[]);
}
