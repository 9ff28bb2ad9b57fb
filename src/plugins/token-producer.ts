// Recognised so that llm-d's configurations load: Warmpath renders and tokenises prompts itself.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { udsTokenizer } from './kv-indexer-parameters.js';
import { tokenEstimate } from './token-estimate-parameters.js';

const time = z.union([z.string(), z.number()]).optional();

const parameters = z.strictObject({
  modelName: z.string().optional().describe('Model that prompts are rendered for.'),
  estimate: tokenEstimate.optional().describe('Estimating tokens by bytes instead of tokenising.'),
  vllm: z
    .strictObject({
      url: z.string().optional().describe('Engine that renders prompts.'),
      timeout: time.describe('Its time limit.'),
      mmTimeout: time.describe('Its time limit for media.'),
      messagesRenderMode: z.string().optional().describe('How messages are rendered.'),
      caCertPath: z.string().optional().describe('File with its private CA.'),
      clientCertPath: z.string().optional().describe('Certificate it is shown.'),
      clientKeyPath: z.string().optional().describe('Key of that.'),
      insecureSkipVerify: z.boolean().optional().describe('Whether anybody is believed.'),
    })
    .optional()
    .describe('Rendering prompts by an engine.'),
  udsTokenizerConfig: udsTokenizer.optional().describe('Tokenising by a sidecar.'),
});

/** llm-d's token-producer. */
export const tokenProducer: ProducerDefinition = defineProducer({
  type: 'token-producer',
  aliases: ['tokenizer'],
  summary: 'Prompts are tokenised by Warmpath itself, with or without it.',
  parameters,
  ignored: [
    {
      paths: ['modelName', 'estimate', 'vllm', 'udsTokenizerConfig'],
      why: "Warmpath renders and tokenises prompts itself, with each model's own tokenizer; `models` names one that is not found.",
    },
  ],
  consumes: ['prompt-tokens'],
  create: () => ({}),
});
