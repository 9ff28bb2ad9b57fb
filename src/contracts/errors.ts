// Every error a client can get, in one table. docs/reference/errors.md is compared with it in
// both directions by a test.

/** Who failed: the client's request, this router, or the model server. */
export type ErrorSource = 'client' | 'router' | 'endpoint';
/** When sending the same request again may help. */
export type RetryRule = 'never' | 'reused-connection-only' | 'always';

/** llm-d's words for why a request was not scheduled, in `x-llm-d-request-dropped-reason`. */
export type DroppedReason =
  | 'rejected-saturated'
  | 'rejected-no-endpoints'
  | 'rejected-shutting-down';

export interface ErrorDefinition {
  readonly status: number;
  readonly source: ErrorSource;
  readonly retry: RetryRule;
  /** OpenAI's `error.type`. */
  readonly type: string;
  readonly summary: string;
  /** Null where the request was not kept from being scheduled. */
  readonly dropped: DroppedReason | null;
}

/** All codes. The order is their number in shared memory; append only. */
export const ERROR_CODES = [
  'invalid_json',
  'invalid_body',
  'duplicate_field',
  'body_too_deep',
  'template_not_allowed',
  'template_failed',
  'context_length_exceeded',
  'model_not_found',
  'route_not_found',
  'method_not_allowed',
  'request_timeout',
  'body_too_large',
  'unsupported_encoding',
  'headers_too_large',
  'overloaded',
  'internal_error',
  'no_endpoints',
  'too_many_requests',
  'shutting_down',
  'endpoint_unreachable',
  'endpoint_bad_response',
  'endpoint_timeout',
  'endpoint_stalled',
  'endpoint_disconnected',
  'malformed_request',
  'profile_not_found',
  'deadline_exceeded',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

const client = (
  status: number,
  summary: string,
  type = 'invalid_request_error',
): ErrorDefinition => ({
  status,
  source: 'client',
  retry: 'never',
  type,
  summary,
  dropped: null,
});
const router = (
  status: number,
  summary: string,
  dropped: DroppedReason | null,
  type = 'router_error',
): ErrorDefinition => ({
  status,
  source: 'router',
  retry: 'always',
  type,
  summary,
  dropped,
});
const endpoint = (status: number, retry: RetryRule, summary: string): ErrorDefinition => ({
  status,
  source: 'endpoint',
  retry,
  type: 'endpoint_error',
  summary,
  dropped: null,
});

/** Code → definition. */
export const ERRORS: Readonly<Record<ErrorCode, ErrorDefinition>> = {
  invalid_json: client(400, 'The body is not valid JSON.'),
  invalid_body: client(400, 'A field of the body is missing or has the wrong type.'),
  duplicate_field: client(400, 'A routed field appears twice in the body.'),
  body_too_deep: client(400, 'The body nests too deeply or has too many keys or values.'),
  template_not_allowed: client(400, 'A client may not send its own chat template.'),
  template_failed: client(400, "The model's chat template refused the messages."),
  context_length_exceeded: client(400, "The prompt is longer than the model's context."),
  model_not_found: client(404, 'No endpoint serves that model.', 'not_found_error'),
  route_not_found: client(404, 'The router has no such route.', 'not_found_error'),
  method_not_allowed: client(405, 'The route does not take that method.'),
  request_timeout: client(408, 'The request was not received in time.'),
  body_too_large: client(413, 'The body is larger than the limit.'),
  unsupported_encoding: client(415, 'Compressed request bodies are not accepted.'),
  headers_too_large: client(431, 'The headers are larger than the limit.'),
  overloaded: router(
    429,
    'No candidate endpoint may take the request now.',
    'rejected-saturated',
    'rate_limit_error',
  ),
  internal_error: router(500, 'The router failed; the log has the cause.', null),
  no_endpoints: router(503, 'The pool has no healthy endpoint.', 'rejected-no-endpoints'),
  too_many_requests: router(
    503,
    'The router holds as many requests as it may.',
    'rejected-saturated',
  ),
  shutting_down: router(503, 'The router is shutting down.', 'rejected-shutting-down'),
  endpoint_unreachable: endpoint(502, 'always', 'No candidate endpoint could be reached.'),
  endpoint_bad_response: endpoint(
    502,
    'always',
    'The endpoint answered something that is not HTTP.',
  ),
  endpoint_timeout: endpoint(504, 'always', 'The endpoint did not begin to answer in time.'),
  endpoint_stalled: endpoint(504, 'never', 'The endpoint stopped sending within an answer.'),
  endpoint_disconnected: endpoint(502, 'never', 'The endpoint cut the answer short.'),
  malformed_request: client(400, 'The request is not valid HTTP/1.1.'),
  profile_not_found: client(400, 'The request names a scheduling profile that is not configured.'),
  // As after a stall, the work was done or begun: sending it again would do it twice.
  deadline_exceeded: {
    ...router(504, 'The request took longer than `timeouts.total` in all.', null),
    retry: 'never',
  },
};

/** An error with a code of the table; `message` is what the client reads. */
export class RouterError extends Error {
  readonly code: ErrorCode;
  /** Field of the request it is about, for OpenAI's `error.param`. */
  readonly param: string | null;

  constructor(code: ErrorCode, message: string, options: { param?: string; cause?: unknown } = {}) {
    // Refusals come by the thousand and are never looked up by their stack.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message, { cause: options.cause });
    Error.stackTraceLimit = limit;
    this.name = 'RouterError';
    this.code = code;
    this.param = options.param ?? null;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get dropped(): DroppedReason | null {
    return ERRORS[this.code].dropped;
  }

  get source(): ErrorSource {
    return ERRORS[this.code].source;
  }

  /** The OpenAI error body, with the code and the failing side beside it. */
  toBody(): string {
    return JSON.stringify({
      error: {
        message: this.message,
        type: ERRORS[this.code].type,
        param: this.param,
        code: this.code,
        source: this.source,
      },
    });
  }
}
