// Headers in which clients name their session, for everything that keeps a session together.

/** Claude Code, OpenCode, Codex, and Codex before it spelled the header with a hyphen. */
export const AGENT_SESSION_HEADERS: readonly string[] = [
  'x-claude-code-session-id',
  'x-session-affinity',
  'session-id',
  'session_id',
];

/** The general one first, then those of coding agents. */
export const SESSION_HEADERS: readonly string[] = ['x-session-id', ...AGENT_SESSION_HEADERS];
