// The prompts of routes without a template: a text or token ids. Called by parse.ts. Sources of field
// rules: vLLM's request protocol, SGLang's io_struct.

import type { Route } from '#contracts/request.js';
import type { JsonValue } from '#core/json-value.js';
import { type Body, has, invalid, kindOf, needsEngine, readBoolean } from './body-fields.js';
import type { ParsedPrompt } from './parse.js';

const TOKEN_ID_MAX = 2 ** 31 - 1;
/** Fields of SGLang's /generate that only the engine can follow: media, adapters, namespaces, a session's earlier turns. */
const SGLANG_ENGINE_ONLY: readonly string[] = [
  'input_embeds',
  'image_data',
  'video_data',
  'audio_data',
  'lora_path',
  'extra_key',
  'session_params',
  'session_id',
];

/** The prompt of a route without a template. */
export function readPlainPrompt(body: Body, route: Route): ParsedPrompt {
  if (route === 'vllm-generate') return readTokenIds(body);
  return route === 'sglang-generate' ? readGenerate(body) : readCompletion(body);
}

function readCompletion(body: Body): ParsedPrompt {
  const prompt = body['prompt'];
  const addSpecialTokens = readBoolean(body, 'add_special_tokens', true);
  if (needsEngine(body)) return { kind: 'none', reason: 'extra-keys' };
  return textOrTokens(prompt, 'prompt', addSpecialTokens);
}

/** vLLM's /inference/v1/generate; `features` are of a prompt with media. */
function readTokenIds(body: Body): ParsedPrompt {
  const ids = body['token_ids'];
  if (!Array.isArray(ids)) invalid('token_ids', `must be an array, got ${kindOf(ids)}`);
  const tokenIds = tokens(ids, 'token_ids');
  return has(body, 'features') ? { kind: 'none', reason: 'extra-keys' } : tokenIds;
}

/** SGLang's /generate: ids beat the text, which it tokenises with special tokens. */
function readGenerate(body: Body): ParsedPrompt {
  if (SGLANG_ENGINE_ONLY.some((name) => has(body, name))) {
    return { kind: 'none', reason: 'extra-keys' };
  }
  for (const name of ['input_ids', 'text']) {
    if (has(body, name)) return textOrTokens(body[name], name, true);
  }
  // Another engine's /generate.
  return { kind: 'none', reason: 'prompt-not-read' };
}

function textOrTokens(
  prompt: JsonValue | undefined,
  where: string,
  addSpecialTokens: boolean,
): ParsedPrompt {
  if (typeof prompt === 'string') return { kind: 'text', text: prompt, addSpecialTokens };
  if (!Array.isArray(prompt) || prompt.length === 0) {
    invalid(where, 'must be a string, an array of strings, or one or more arrays of token ids');
  }
  if (typeof prompt[0] === 'number') return tokens(prompt, where);
  const [first] = prompt;
  for (const [at, one] of prompt.entries()) {
    if (typeof one !== 'string' && !Array.isArray(one)) {
      invalid(`${where}[${at}]`, `must be a string or an array of token ids, got ${kindOf(one)}`);
    }
  }
  if (prompt.length > 1) return { kind: 'none', reason: 'several-prompts' };
  if (typeof first === 'string') return { kind: 'text', text: first, addSpecialTokens };
  return tokens(first as readonly JsonValue[], `${where}[0]`);
}

function tokens(values: readonly JsonValue[], where: string): ParsedPrompt {
  if (values.length === 0) invalid(where, 'must hold at least one token id');
  const tokenIds = new Uint32Array(values.length);
  for (const [at, value] of values.entries()) {
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > TOKEN_ID_MAX) {
      invalid(`${where}[${at}]`, `must be a token id, got ${kindOf(value)}`);
    }
    tokenIds[at] = value as number;
  }
  return { kind: 'tokens', tokenIds };
}
