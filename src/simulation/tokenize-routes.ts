// POST /tokenize and /detokenize of a simulated engine, with vLLM's fields. The router's proof of
// its own tokenizer compares with these answers.

import type { EngineTokenizer } from './engine-tokenizer.js';
import { renderChat } from './generation-request.js';
import { ApiError, type JsonBody, validationError } from './http-io.js';

/** `{count, max_model_len, tokens, token_strs}` for a prompt or for messages. */
export async function tokenize(
  body: JsonBody,
  tokenizer: EngineTokenizer,
  maxModelLen: number,
): Promise<unknown> {
  const isChat = body['messages'] !== undefined;
  const prompt = isChat ? renderChat(body, tokenizer) : body['prompt'];
  if (typeof prompt !== 'string') throw validationError('prompt', 'missing', 'Field required');
  const special = body['add_special_tokens'];
  const tokens = await tokenizer.encode(prompt, typeof special === 'boolean' ? special : !isChat);
  const strings = body['return_token_strs'] === true;
  return {
    count: tokens.length,
    max_model_len: maxModelLen,
    tokens,
    token_strs: strings ? tokens.map((token) => tokenizer.tokenString(token)) : null,
  };
}

/** `{prompt}` for `{tokens}`. */
export async function detokenize(body: JsonBody, tokenizer: EngineTokenizer): Promise<unknown> {
  const tokens = body['tokens'];
  if (!Array.isArray(tokens)) throw validationError('tokens', 'missing', 'Field required');
  for (const token of tokens) {
    if (!Number.isInteger(token) || token < 0 || token >= tokenizer.vocabularySize) {
      throw new ApiError(400, `Token id ${token} is out of vocabulary`);
    }
  }
  return { prompt: await tokenizer.decode(tokens) };
}
