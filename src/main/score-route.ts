// POST /debug/score of the admin port: reads head and body as the data port would, and answers with
// the decision that the request would get, its ranking, and which rule rewrote its model.

import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { RouterError } from '#contracts/errors.js';
import type { Route } from '#contracts/request.js';
import { readHead } from '#core/portable/data-plane/head.js';
import { isRefusal, scanJson } from '#core/portable/prompt/json-scan.js';
import { rankingOf } from '#request/ranking.js';
import type { PromptScorer, Scored } from '#request/score-prompt.js';

const ROUTES: readonly Route[] = [
  'chat-completions',
  'completions',
  'vllm-generate',
  'sglang-generate',
];

/** Scores the request's body; `query` is that of its URL. */
export async function answerScore(
  scorer: PromptScorer,
  request: IncomingMessage,
  query: string,
): Promise<{ readonly status: number; readonly body: object }> {
  const named = new URLSearchParams(query).get('route');
  const route = ROUTES.find((known) => known === named) ?? null;
  if (named !== null && route === null) {
    const text = `\`route\` is ${ROUTES.join(', ')}`;
    return scoreAnswer(refusal(new RouterError('invalid_body', text, { param: 'route' })));
  }
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    const text = 'compressed request bodies are not accepted';
    return scoreAnswer(refusal(new RouterError('unsupported_encoding', text)));
  }
  const head = readHead(request.rawHeaders, request.httpVersion);
  const asked = {
    requestId: head.requestId ?? randomUUID(),
    headers: head.headers,
    route,
    bytesHint: Math.max(0, head.bodyBytes),
  };
  // Not destroyed when it is left early: the connection is needed for the answer.
  const body = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  return scoreAnswer(await scorer.score(asked, body));
}

/**
 * The route whose prompt the body has; what is neither is told so by the encoder. The one look that
 * the main thread takes into a body, for administrators only; naming the route spares it.
 */
export function routeOfBody(body: Uint8Array): Route {
  const scan = scanJson(body);
  if (isRefusal(scan)) return 'chat-completions';
  const has = (name: string): boolean => scan.members.some((member) => member.name === name);
  if (has('messages')) return 'chat-completions';
  if (has('prompt')) return 'completions';
  if (has('token_ids')) return 'vllm-generate';
  return has('input_ids') || has('text') ? 'sglang-generate' : 'chat-completions';
}

function refusal(error: RouterError): Scored {
  return { error, decision: null, rewrite: null };
}

function scoreAnswer({ error, decision, rewrite }: Scored): { status: number; body: object } {
  return {
    status: error?.status ?? 200,
    body: {
      ...(error === null ? {} : JSON.parse(error.toBody())),
      rewrite,
      ...(decision === null ? {} : { decision, result: null, ranking: rankingOf(decision) }),
    },
  };
}
