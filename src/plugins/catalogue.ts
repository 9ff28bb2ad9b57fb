// The only list of plugins: a new one is one file and one line here.

import type { PluginDefinition } from '#contracts/plugin.js';
import { kvCacheUtilizationScorer } from './kv-cache-utilization-scorer.js';
import { labelSelectorFilter } from './label-selector-filter.js';
import { loadAwareScorer } from './load-aware-scorer.js';
import { maxScorePicker } from './max-score-picker.js';
import { prefixCacheScorer } from './prefix-cache-scorer.js';
import { queueScorer } from './queue-scorer.js';
import { randomPicker } from './random-picker.js';
import { roundRobinPicker } from './round-robin-picker.js';
import { runningRequestsSizeScorer } from './running-requests-size-scorer.js';

/** Every plugin a configuration can name, by kind and type. */
export const CATALOGUE: readonly PluginDefinition[] = [
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
