// Finds the session of a coding agent in the headers that agents send of their own accord.

import { z } from 'zod';
import { AGENT_SESSION_HEADERS } from '#contracts/header-names.js';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { headerName } from './header-name.js';

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
    `The first of \`additionalSessionHeaders\`, ${AGENT_SESSION_HEADERS.join(', ')} that is not empty, for ` +
    'plugins that name the attribute `agent-identity`.',
  parameters,
  consumes: [],
  create: ({ additionalSessionHeaders }) => {
    const names = [...additionalSessionHeaders, ...AGENT_SESSION_HEADERS];
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
