// The only list of plugins: a new one is one file and one line here.

import type { PluginDefinition, PluginKind } from '#contracts/plugin.js';
import { headerProfileHandler } from './header-profile-handler.js';
import { kvCacheUtilizationScorer } from './kv-cache-utilization-scorer.js';
import { labelSelectorFilter } from './label-selector-filter.js';
import { loadAwareScorer } from './load-aware-scorer.js';
import { maxScorePicker } from './max-score-picker.js';
import { prefixCacheScorer } from './prefix-cache-scorer.js';
import { queueScorer } from './queue-scorer.js';
import { randomPicker } from './random-picker.js';
import { roundRobinPicker } from './round-robin-picker.js';
import { runningRequestsSizeScorer } from './running-requests-size-scorer.js';
import { singleProfileHandler } from './single-profile-handler.js';

/** Every plugin a configuration can name; a type is there once per kind. */
export const CATALOGUE: readonly PluginDefinition[] = [
  singleProfileHandler,
  headerProfileHandler,
  labelSelectorFilter,
  prefixCacheScorer,
  kvCacheUtilizationScorer,
  queueScorer,
  runningRequestsSizeScorer,
  loadAwareScorer,
  maxScorePicker,
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
