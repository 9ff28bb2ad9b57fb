// Finds the session of a coding agent in the headers that agents send of their own accord.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { headerName } from './header-name.js';

/** Claude Code, OpenCode, Codex, and Codex before it spelled the header with a hyphen. */
const AGENT_HEADERS: readonly string[] = [
  'x-claude-code-session-id',
  'x-session-affinity',
  'session-id',
  'session_id',
];

const parameters = z.strictObject({
  additionalSessionHeaders: z
    .array(headerName('Name of a header.'))
    .max(16)
    .default([])
    .describe('Headers looked at before those of the known agents.'),
});

/** llm-d's agent-identity. */
export const agentIdentity: ProducerDefinition = defineProducer({
  type: 'agent-identity',
  summary:
    `The first of \`additionalSessionHeaders\`, ${AGENT_HEADERS.join(', ')} that is not empty, for ` +
    'plugins that name the attribute `agent-identity`.',
  parameters,
  consumes: [],
  create: ({ additionalSessionHeaders }) => {
    const names = [...additionalSessionHeaders, ...AGENT_HEADERS];
    return {
      reads: names.map((header) => ({ header })),
      produce: ({ headers, signals }) => {
        const sent = headers();
        for (const name of names) {
          const value = sent[name];
          if (value === undefined || value === '') continue;
          signals.agentIdentity = value;
          return;
        }
      },
    };
  },
});
