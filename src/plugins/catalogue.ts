// The only list of plugins: a new one is one file and one line here.

import type { IgnoredParameters, PluginDefinition, PluginKind } from '#contracts/plugin.js';
import { activeRequestScorer } from './active-request-scorer.js';
import { agentIdentity } from './agent-identity.js';
import { approxPrefixCacheProducer } from './approx-prefix-cache-producer.js';
import { boundedLoadFilter } from './bounded-load-filter.js';
import { byLabelFilter } from './by-label-filter.js';
import { contextLengthAwareFilter } from './context-length-aware-filter.js';
import { contextLengthAwareScorer } from './context-length-aware-scorer.js';
import { decodeFilter } from './decode-filter.js';
import { encodeFilter } from './encode-filter.js';
import { headerProfileHandler } from './header-profile-handler.js';
import { inflightLoadProducer } from './inflight-load-producer.js';
import { kvCacheUtilizationScorer } from './kv-cache-utilization-scorer.js';
import { labelSelectorFilter } from './label-selector-filter.js';
import { loadAwareScorer } from './load-aware-scorer.js';
import { loraAffinityScorer } from './lora-affinity-scorer.js';
import { maxScorePicker } from './max-score-picker.js';
import { mmEmbeddingsCacheProducer } from './mm-embeddings-cache-producer.js';
import { mmEmbeddingsCacheScorer } from './mm-embeddings-cache-scorer.js';
import { noHitLruScorer } from './no-hit-lru-scorer.js';
import { precisePrefixCacheProducer } from './precise-prefix-cache-producer.js';
import { precisePrefixCacheScorer } from './precise-prefix-cache-scorer.js';
import { prefillFilter } from './prefill-filter.js';
import { prefillWaitFilter } from './prefill-wait-filter.js';
import { prefixCacheAffinityFilter } from './prefix-cache-affinity-filter.js';
import { prefixCacheScorer } from './prefix-cache-scorer.js';
import { queueScorer } from './queue-scorer.js';
import { randomPicker } from './random-picker.js';
import { roundRobinPicker } from './round-robin-picker.js';
import { runningRequestsSizeScorer } from './running-requests-size-scorer.js';
import { sessionAffinityFilter } from './session-affinity-filter.js';
import { sessionAffinityScorer } from './session-affinity-scorer.js';
import { sessionIdProducer } from './session-id-producer.js';
import { singleProfileHandler } from './single-profile-handler.js';
import { tokenLoadScorer } from './token-load-scorer.js';
import { tokenProducer } from './token-producer.js';
import { utilizationFilter } from './utilization-filter.js';
import { weightedRandomPicker } from './weighted-random-picker.js';

/** Every plugin a configuration can name; a type is there once per kind. */
export const CATALOGUE: readonly PluginDefinition[] = [
  tokenProducer,
  precisePrefixCacheProducer,
  approxPrefixCacheProducer,
  inflightLoadProducer,
  sessionIdProducer,
  agentIdentity,
  mmEmbeddingsCacheProducer,
  singleProfileHandler,
  headerProfileHandler,
  labelSelectorFilter,
  byLabelFilter,
  encodeFilter,
  prefillFilter,
  prefillWaitFilter,
  decodeFilter,
  contextLengthAwareFilter,
  utilizationFilter,
  boundedLoadFilter,
  prefixCacheAffinityFilter,
  sessionAffinityFilter,
  prefixCacheScorer,
  precisePrefixCacheScorer,
  noHitLruScorer,
  kvCacheUtilizationScorer,
  queueScorer,
  runningRequestsSizeScorer,
  loadAwareScorer,
  activeRequestScorer,
  tokenLoadScorer,
  loraAffinityScorer,
  contextLengthAwareScorer,
  mmEmbeddingsCacheScorer,
  sessionAffinityScorer,
  maxScorePicker,
  weightedRandomPicker,
  randomPicker,
  roundRobinPicker,
];

/** Definitions called `type`, by that name or an older one; empty when nothing is. */
export function definitionsOf(type: string): readonly PluginDefinition[] {
  return CATALOGUE.filter((known) => known.type === type || known.aliases.includes(type));
}

/** The definition of that kind called `type`, by that name or an older one; null for none. */
export function definitionOf<Kind extends PluginKind>(
  kind: Kind,
  type: string,
): Extract<PluginDefinition, { readonly kind: Kind }> | null {
  const found = definitionsOf(type).find(
    (known): known is Extract<PluginDefinition, { readonly kind: Kind }> => known.kind === kind,
  );
  return found ?? null;
}

/** Those of the definition's ignored parameters that `parameters`, as written, has. */
export function ignoredAmong(
  { ignored }: PluginDefinition,
  parameters: Readonly<Record<string, unknown>>,
): readonly IgnoredParameters[] {
  return ignored.flatMap(({ paths, why }) => {
    const written = paths.filter((path) => isWritten(parameters, path.split('.')));
    return written.length === 0 ? [] : [{ paths: written, why }];
  });
}

function isWritten(value: unknown, path: readonly string[]): boolean {
  const [name, ...rest] = path;
  if (name === undefined) return true;
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return false;
  return isWritten(Reflect.get(value, name), rest);
}
