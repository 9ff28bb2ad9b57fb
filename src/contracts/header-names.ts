// Names of request headers, in lower case: which of them concern the connection alone, which steer
// routers and are taken from clients, and which tell of a session. Both cores go by these tables; the
// native one has a generated copy.

/** RFC 9110 §7.6.1, and what the router's side of a connection decides itself. */
export const OWN_HEADERS: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'host',
  'content-length',
  // Answers must stay readable for usage and for the error event of a cut stream.
  'accept-encoding',
  'content-encoding',
  'x-request-id',
];

/** Headers by which routers and their sidecars steer; a client must not. */
export const RESERVED_PREFIXES: readonly string[] = [
  'x-gateway-destination-endpoint',
  'x-warmpath-',
  'x-data-parallel-',
  'x-prefiller-',
  'x-encoder-',
  'x-kv-cache-source-',
];

/** The one header of a gateway that the router may be configured to go by; engines never see it. */
export const ENDPOINT_SUBSET_HEADER = 'x-gateway-destination-endpoint-subset';

/** Headers by which a client asks the router for something; engines have no use for them. */
export const WISH_PREFIXES: readonly string[] = [
  'x-llm-d-',
  'x-gateway-inference-',
  'x-gateway-model-name-rewrite',
  ENDPOINT_SUBSET_HEADER,
];

/**
 * The one name with an underscore that is let through: old Codex names its session so, and read
 * with a hyphen it is still no name that steers.
 */
export const SESSION_OF_OLD_CODEX = 'session_id';

/** Claude Code, OpenCode, Codex, and Codex before it spelled the header with a hyphen. */
export const AGENT_SESSION_HEADERS: readonly string[] = [
  'x-claude-code-session-id',
  'x-session-affinity',
  'session-id',
  SESSION_OF_OLD_CODEX,
];

/** The general one first, then those of coding agents. */
export const SESSION_HEADERS: readonly string[] = ['x-session-id', ...AGENT_SESSION_HEADERS];

/** What `session-affinity-*` sets on answers for clients to bring back, unless told another name. */
export const SESSION_TOKEN_HEADER = 'x-session-token';

/** Names the scheduling profile, unless the configuration says another; as llm-d spells it. */
export const PROFILE_HEADER = 'EPP-Profile';

/** Headers that policies go by: a decision keeps them, whatever policy makes it. */
export const POLICY_HEADERS: readonly string[] = [
  SESSION_TOKEN_HEADER,
  ...SESSION_HEADERS,
  PROFILE_HEADER.toLowerCase(),
];

/** Asks for another model than the body names. */
export const MODEL_REWRITE_HEADER = 'x-llm-d-model-name-rewrite';
/** As llm-d spelled it before. */
export const OLD_MODEL_REWRITE_HEADER = 'x-gateway-model-name-rewrite';

/** Headers that tell something even to a policy that reads none: reading a head costs, so they are few. */
export const TELLING_HEADERS: readonly string[] = [
  ...POLICY_HEADERS,
  MODEL_REWRITE_HEADER,
  OLD_MODEL_REWRITE_HEADER,
];

/** Why clients' headers of that name are dropped, whatever is in them; null when they are not. */
export function droppedHeader(name: string): 'underscore' | 'reserved' | null {
  // Some servers read `_` as `-`: an underscore can spell a reserved name.
  if (name.includes('_')) return name === SESSION_OF_OLD_CODEX ? null : 'underscore';
  return beginsWithAny(name, RESERVED_PREFIXES) && name !== ENDPOINT_SUBSET_HEADER
    ? 'reserved'
    : null;
}

/** Whether the router reads the header and passes it on to nobody. */
export function isWish(name: string): boolean {
  return beginsWithAny(name, WISH_PREFIXES);
}

/** All prefixes begin with `x-`, which most names do not. */
function beginsWithAny(name: string, prefixes: readonly string[]): boolean {
  return name.startsWith('x-') && prefixes.some((prefix) => name.startsWith(prefix));
}
