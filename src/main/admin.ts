// The admin listener: health, status, metrics, the decision log and what a prompt would score, on
// loopback unless told otherwise. Changes nothing, answers JSON, never gives a prompt back.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DecisionLog } from '#contracts/decision.js';
import { HEADERS_TIMEOUT_MS, REQUEST_TIMEOUT_MS } from '#contracts/limits.js';
import type { PromptScorer } from '#request/score-prompt.js';
import type { RouterReports } from './reports.js';
import { answerScore } from './score-route.js';

/** What the admin routes are answered from. */
export interface AdminSources {
  readonly reports: RouterReports;
  readonly decisions: DecisionLog;
  readonly scorer: PromptScorer;
}

const DECISIONS_DEFAULT = 100;

/** Serves the admin routes. `stop` closes idle and busy connections at once. */
export class AdminServer {
  readonly #server: Server;

  constructor(sources: AdminSources) {
    this.#server = createServer((request, response) => {
      void answer(sources, request, response).catch((error: unknown) => {
        sendJson(response, 500, { error: { message: String(error), code: 'internal_error' } });
      });
    });
    this.#server.headersTimeout = HEADERS_TIMEOUT_MS;
    this.#server.requestTimeout = REQUEST_TIMEOUT_MS;
  }

  async start(
    host: string,
    port: number,
  ): Promise<{ readonly address: string; readonly port: number }> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    const bound = this.#server.address() as AddressInfo;
    return { address: bound.address, port: bound.port };
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

async function answer(
  sources: AdminSources,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = 'GET', url = '/' } = request;
  const [path = '/', query = ''] = url.split('?', 2);
  const scores = path === '/debug/score';
  if (scores ? method !== 'POST' : method !== 'GET' && method !== 'HEAD') {
    return sendJson(response, 405, problem('method_not_allowed', `${method} is not allowed here`));
  }
  if (scores) {
    const { status, body } = await answerScore(sources.scorer, request, query);
    return sendJson(response, status, body);
  }
  return read(sources, path, query, response);
}

/** Answers what only reads. */
async function read(
  sources: AdminSources,
  path: string,
  query: string,
  response: ServerResponse,
): Promise<void> {
  const one = /^\/debug\/decisions\/([^/]+)$/.exec(path);
  if (one !== null) {
    const found = sources.decisions.find(one[1] ?? '');
    if (found !== null) return sendJson(response, 200, found);
    return sendJson(
      response,
      404,
      problem(
        'decision_not_found',
        `No decision of the request ${one[1]} is kept: the last ${sources.decisions.capacity} are, and a ` +
          'request that is refused before it is decided has none.',
      ),
    );
  }
  switch (path) {
    case '/health':
      return sendJson(response, 200, { status: 'ok' });
    case '/ready': {
      const { status, body } = sources.reports.ready();
      return sendJson(response, status, body);
    }
    case '/status':
      return sendJson(response, 200, sources.reports.status());
    case '/metrics': {
      const { contentType, body } = await sources.reports.metrics();
      response.writeHead(200, { 'content-type': contentType }).end(body);
      return;
    }
    case '/debug/decisions': {
      const last = Number(new URLSearchParams(query).get('last') ?? DECISIONS_DEFAULT);
      if (!Number.isInteger(last) || last < 1) {
        return sendJson(
          response,
          400,
          problem('invalid_query', '`last` must be a whole number above 0.'),
        );
      }
      return sendJson(response, 200, { decisions: sources.decisions.last(last) });
    }
    default:
      return sendJson(
        response,
        404,
        problem('route_not_found', `The admin port has no route ${path}.`),
      );
  }
}

function problem(code: string, message: string): object {
  return { error: { message, code, source: 'client' } };
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) {
    response.end();
    return;
  }
  response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(`${JSON.stringify(body)}\n`);
}
