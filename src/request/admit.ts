// First stage: decides from method and path alone what a request is. Paths are compared exactly
// and undecoded, so no spelling of a path (`..`, `%2e`, `//`, `\`) reaches an engine route that
// was not meant; what is not in the tables or below /v1/ in plain segments does not exist.

import { RouterError } from '#contracts/errors.js';
import type { HeaderPair, RequestHead, Route } from '#contracts/request.js';

/** Paths the router answers itself. */
export const LOCAL_PATHS = ['/v1/models', '/health', '/ready', '/status', '/metrics'] as const;
export type LocalPath = (typeof LOCAL_PATHS)[number];

export interface LocalAnswer {
  readonly status: number;
  readonly headers: readonly HeaderPair[];
  readonly body: string;
}

/** Makes one local answer; may fail, which the client sees as `internal_error`. */
export type LocalHandler = (head: RequestHead) => LocalAnswer | Promise<LocalAnswer>;
export type LocalHandlers = Readonly<Record<LocalPath, LocalHandler>>;

export type Admission =
  | { readonly kind: 'route'; readonly route: Route }
  | { readonly kind: 'local'; readonly path: LocalPath }
  | { readonly kind: 'reject'; readonly error: RouterError };

const PROMPT_ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/v1/chat/completions', 'chat-completions'],
  ['/v1/completions', 'completions'],
  ['/inference/v1/generate', 'vllm-generate'],
  ['/generate', 'sglang-generate'],
  ['/v1/messages', 'messages'],
  ['/v1/responses', 'responses'],
]);
/** Routes outside of /v1/ that pool, rate or tokenise: of vLLM, of SGLang (`/encode`), of both. */
const ENGINE_ROUTES: ReadonlySet<string> = new Set([
  '/pooling',
  '/classify',
  '/score',
  '/rerank',
  '/v2/rerank',
  '/v2/embed',
  '/encode',
  '/tokenize',
  '/detokenize',
]);
const POST_ONLY: readonly string[] = ['POST'];
const LOCAL_METHODS: readonly string[] = ['GET', 'HEAD'];
const PASSTHROUGH_METHODS: readonly string[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
/** Plain segments only: letters, digits and `_ - . :`, none beginning with a dot. */
const PASSTHROUGH_PATH = /^\/v1(?:\/[\w-][\w.:-]*)+$/;
/** Change what an engine serves, without asking who is calling. */
const ENGINE_ADMINISTRATION: readonly string[] = [
  '/v1/load_lora_adapter',
  '/v1/unload_lora_adapter',
];

/** Says what to do with a request; while draining only the local paths are still answered. */
export function admit(method: string, target: string, draining: boolean): Admission {
  const query = target.indexOf('?');
  const path = query < 0 ? target : target.slice(0, query);
  if (isLocal(path)) {
    if (!LOCAL_METHODS.includes(method)) return wrongMethod(method, path, LOCAL_METHODS);
    return { kind: 'local', path };
  }
  const promptRoute = PROMPT_ROUTES.get(path);
  const postOnly = promptRoute !== undefined || ENGINE_ROUTES.has(path);
  if (!postOnly && !passesThrough(path)) return unknownRoute(path);
  const methods = postOnly ? POST_ONLY : PASSTHROUGH_METHODS;
  if (!methods.includes(method)) return wrongMethod(method, path, methods);
  if (draining) return reject('shutting_down', 'the router is shutting down; send it again');
  return { kind: 'route', route: promptRoute ?? 'passthrough' };
}

function isLocal(path: string): path is LocalPath {
  return (LOCAL_PATHS as readonly string[]).includes(path);
}

function passesThrough(path: string): boolean {
  return PASSTHROUGH_PATH.test(path) && !ENGINE_ADMINISTRATION.includes(path);
}

function unknownRoute(path: string): Admission {
  return reject('route_not_found', `there is no route ${shorten(path)}`);
}

function wrongMethod(method: string, path: string, methods: readonly string[]): Admission {
  return reject(
    'method_not_allowed',
    `${shorten(path)} takes ${methods.join(', ')}, not ${shorten(method)}`,
  );
}

function reject(code: 'route_not_found' | 'method_not_allowed' | 'shutting_down', text: string) {
  return { kind: 'reject', error: new RouterError(code, text) } as const;
}

/** A client's own text inside an error message, cut to what a person reads. */
export function shorten(text: string): string {
  return text.length <= 128 ? text : `${text.slice(0, 128)}…`;
}
