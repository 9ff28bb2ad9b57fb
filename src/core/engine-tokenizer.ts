// Token ids from an engine's own /tokenize, for models whose files are nowhere on this host: exact,
// slow, therefore cached. Called by encode.ts; a failure routes the request by load.

import { xxh3 } from '@node-rs/xxhash';
import { isJsonObject, type JsonValue } from './json-value.js';

export interface EngineSource {
  readonly url: string;
  readonly apiKey: string | null;
}

export interface EngineTokenizerLimits {
  readonly entriesMax: number;
  readonly timeoutMs: number;
}

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

  constructor(limits: EngineTokenizerLimits) {
    this.#limits = limits;
  }

  /** Asks for the prompt of an OpenAI body. Rejects when the engine does not answer with ids. */
  tokenIds(source: EngineSource, body: JsonValue): Promise<Uint32Array> {
    const members = isJsonObject(body) ? body : {};
    const asked = Object.fromEntries(
      PROMPT_MEMBERS.filter((name) => name in members).map((name) => [name, members[name]]),
    );
    const text = JSON.stringify(asked);
    const key = xxh3.xxh64(`${source.url}\n${text}`);
    const known = this.#answers.get(key);
    if (known !== undefined) {
      this.#answers.delete(key);
      this.#answers.set(key, known);
      return known;
    }
    const answer = this.#ask(source, text);
    this.#answers.set(key, answer);
    answer.catch(() => this.#answers.delete(key));
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= this.#limits.entriesMax) break;
      this.#answers.delete(oldest);
    }
    return answer;
  }

  async #ask(source: EngineSource, text: string): Promise<Uint32Array> {
    const authorization =
      source.apiKey === null ? {} : { authorization: `Bearer ${source.apiKey}` };
    const response = await fetch(`${source.url}/tokenize`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...authorization },
      body: text,
      signal: AbortSignal.timeout(this.#limits.timeoutMs),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`${source.url}/tokenize answered ${response.status}`);
    }
    const answer = (await response.json()) as JsonValue;
    const ids = isJsonObject(answer) ? answer['tokens'] : null;
    if (!Array.isArray(ids) || !ids.every((id) => Number.isInteger(id))) {
      throw new Error(`${source.url}/tokenize answered no list of token ids`);
    }
    return Uint32Array.from(ids as readonly number[]);
  }
}
