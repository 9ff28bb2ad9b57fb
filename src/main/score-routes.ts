// What a body that is only asked about can be for: the names that `?route=` and `--route` take.

import type { Route } from '#contracts/request.js';

/** By name, the route that live traffic takes. */
export const SCORE_ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['chat-completions', 'chat-completions'],
  ['completions', 'completions'],
  ['responses', 'responses'],
  ['messages', 'messages'],
  ['embeddings', 'passthrough'],
  ['vllm-generate', 'vllm-generate'],
  ['sglang-generate', 'sglang-generate'],
  ['passthrough', 'passthrough'],
]);
