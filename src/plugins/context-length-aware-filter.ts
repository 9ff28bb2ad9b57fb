// Removes the endpoints that are not meant for prompts as long as this one.

import type { FilterDefinition } from '#contracts/plugin.js';
import { defineFilter } from '#contracts/plugin.js';
import { ContextRanges, contextLengthParameters } from './context-range.js';

/** llm-d's context-length-aware as a filter. */
export const contextLengthAwareFilter: FilterDefinition = defineFilter({
  type: 'context-length-aware',
  summary:
    'With `enableFiltering`, keeps the endpoints whose range the prompt is in, or that have no range; ' +
    'keeps everyone while the length of the prompt is not known.',
  parameters: contextLengthParameters,
  consumes: ['labels', 'prompt-tokens'],
  create: ({ label, enableFiltering }, host) => {
    const ranges = new ContextRanges(label, host);
    return {
      filter: (context, candidates) => {
        const { promptTokens } = context;
        if (!enableFiltering || promptTokens === 0) return;
        for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
          const kind = ranges.read(context, slot);
          const fits = promptTokens >= ranges.least && promptTokens <= ranges.most;
          if (kind === 'malformed' || (kind === 'range' && !fits)) candidates.remove(slot);
        }
      },
    };
  },
});
