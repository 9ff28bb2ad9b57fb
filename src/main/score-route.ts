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
import { SCORE_ROUTES } from './score-routes.js';

/** Fields of a body, and the route of the first of them that it has. */
const ROUTE_OF_FIELD: readonly (readonly [field: string, route: Route])[] = [
  ['messages', 'chat-completions'],
  ['prompt', 'completions'],
  ['token_ids', 'vllm-generate'],
  ['input_ids', 'sglang-generate'],
  ['text', 'sglang-generate'],
  // Of embeddings too, which have no prompt.
  ['input', 'responses'],
];

/** Scores the request's body; `query` is that of its URL. */
export async function answerScore(
  scorer: PromptScorer,
  request: IncomingMessage,
  query: string,
): Promise<{ readonly status: number; readonly body: object }> {
  const named = new URLSearchParams(query).get('route');
  const route = (named === null ? null : SCORE_ROUTES.get(named)) ?? null;
  if (named !== null && route === null) {
    const text = `\`route\` is one of ${[...SCORE_ROUTES.keys()].join(', ')}`;
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
    telling: head.telling,
    route,
    bytesHint: Math.max(0, head.bodyBytes),
  };
  // Not destroyed when it is left early: the connection is needed for the answer.
  const body = request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  return scoreAnswer(await scorer.score(asked, body));
}

/**
 * The route that takes such a body; of one for no route the encoder says what is missing. The one look
 * that the main thread takes into a body, for administrators only; naming the route spares it.
 */
export function routeOfBody(body: Uint8Array): Route {
  const scan = scanJson(body, 'passthrough');
  if (isRefusal(scan)) return 'chat-completions';
  const has = ([field]: (typeof ROUTE_OF_FIELD)[number]): boolean =>
    scan.members.some(({ name }) => name === field);
  return ROUTE_OF_FIELD.find(has)?.[1] ?? 'chat-completions';
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
