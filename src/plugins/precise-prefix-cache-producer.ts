// Recognised so that llm-d's configurations load: following KV events is what Warmpath does anyway.

import { z } from 'zod';
import type { ProducerDefinition } from '#contracts/plugin.js';
import { defineProducer } from '#contracts/plugin.js';
import { PRECISE_PREFIX_IGNORED, precisePrefixFields } from './precise-prefix-parameters.js';

/** llm-d's precise-prefix-cache-producer. */
export const precisePrefixCacheProducer: ProducerDefinition = defineProducer({
  type: 'precise-prefix-cache-producer',
  summary:
    "Prompts are matched against what engines publish, with or without it; in llm-d's own files it " +
    'says where they publish.',
  parameters: z.strictObject(precisePrefixFields),
  ignored: PRECISE_PREFIX_IGNORED,
  consumes: ['prefix-match'],
  create: () => ({}),
});
