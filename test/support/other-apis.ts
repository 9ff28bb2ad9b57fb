// A chat of a workload as a request of another API: engines make the same chat of it again, so that
// blocks of one API's prompts are reused by the others'.

import type { Random } from '#contracts/random.js';
import type { WorkloadRequest } from './conversations.js';

interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** The same requests, of the chats a third each in the Messages and the Responses API. */
export function* inAllApis(
  requests: Iterable<WorkloadRequest>,
  random: Random,
): Generator<WorkloadRequest> {
  for (const request of requests) {
    const dice = request.path === '/v1/chat/completions' ? random.next() : 1;
    if (dice < 1 / 3) yield asMessages(request);
    else if (dice < 2 / 3) yield asResponses(request);
    else yield request;
  }
}

function asMessages(request: WorkloadRequest): WorkloadRequest {
  const { messages, tools, ...rest } = request.body;
  const [system, ...turns] = messages as readonly ChatMessage[];
  const texts = turns.map(({ role, content }) => ({
    role,
    content: content === '' ? '' : [{ type: 'text', text: content }],
  }));
  const given = functionsOf(tools).map(({ parameters, ...named }) => ({
    ...named,
    input_schema: parameters,
  }));
  const body = {
    ...rest,
    system: [{ type: 'text', text: system?.content }],
    messages: texts,
    ...(given.length === 0 ? {} : { tools: given }),
  };
  return { ...request, path: '/v1/messages', kind: 'messages', body };
}

function asResponses(request: WorkloadRequest): WorkloadRequest {
  const { messages, tools, max_tokens: most, ...rest } = request.body;
  const [system, ...turns] = messages as readonly ChatMessage[];
  const given = functionsOf(tools).map((named) => ({ type: 'function', ...named }));
  const body = {
    ...rest,
    max_output_tokens: most,
    instructions: system?.content,
    input: turns.map(({ role, content }) => ({
      type: 'message',
      role,
      content: [{ type: role === 'user' ? 'input_text' : 'output_text', text: content }],
    })),
    ...(given.length === 0 ? {} : { tools: given }),
  };
  return { ...request, path: '/v1/responses', kind: 'responses', body };
}

function functionsOf(tools: unknown): readonly Record<string, unknown>[] {
  return ((tools ?? []) as { function: Record<string, unknown> }[]).map((tool) => tool.function);
}

/** What an engine answered, whatever the API. */
export interface Answered {
  readonly text: string;
  readonly promptTokens: number;
  readonly cachedTokens: number;
}

/** Reads the JSON of an answer to `path`. */
export function readAnswer(path: WorkloadRequest['path'], answer: unknown): Answered {
  if (path === '/v1/messages') return readMessage(answer as MessageAnswer);
  if (path === '/v1/responses') return readResponse(answer as ResponseAnswer);
  const { choices, usage } = answer as ChatAnswer;
  return {
    text: choices[0]?.message?.content ?? choices[0]?.text ?? '',
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
  };
}

interface ChatAnswer {
  choices: { message?: { content: string | null }; text?: string }[];
  usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } | null };
}

interface MessageAnswer {
  content: { text?: string }[];
  usage: {
    /** Besides those of the cache. */
    input_tokens: number;
    cache_read_input_tokens?: number | null;
    cache_creation_input_tokens?: number | null;
  };
}

interface ResponseAnswer {
  output: { content?: { text?: string }[] }[];
  usage: { input_tokens: number; input_tokens_details: { cached_tokens: number } };
}

function readMessage({ content, usage }: MessageAnswer): Answered {
  const cachedTokens = usage.cache_read_input_tokens ?? 0;
  return {
    text: content.map(({ text = '' }) => text).join(''),
    promptTokens: usage.input_tokens + cachedTokens + (usage.cache_creation_input_tokens ?? 0),
    cachedTokens,
  };
}

function readResponse({ output, usage }: ResponseAnswer): Answered {
  const texts = output.flatMap(({ content = [] }) => content.map(({ text = '' }) => text));
  return {
    text: texts.join(''),
    promptTokens: usage.input_tokens,
    cachedTokens: usage.input_tokens_details.cached_tokens,
  };
}
