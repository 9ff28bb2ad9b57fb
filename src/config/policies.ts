// The built-in policies behind `policy` and `--policy`, one profile each.

import type { PolicyName, PolicySettings, ProfileSettings } from './configuration.js';

const plugin = (type: string): { type: string; parameters: Record<string, never> } => ({
  type,
  parameters: {},
});
const scorer = (
  type: string,
  weight: number,
): { type: string; weight: number; parameters: Record<string, never> } => ({
  ...plugin(type),
  weight,
});

const LOAD = [scorer('kv-cache-utilization-scorer', 2), scorer('queue-scorer', 2)];

/** Profile of every policy. `load-aware` is `precise` without the prefix, so they can be compared. */
export const POLICY_PROFILES: Readonly<Record<PolicyName, ProfileSettings>> = {
  precise: {
    name: 'precise',
    // Both go by what was sent on a moment ago, which engines have not told of yet.
    filters: [plugin('bounded-load-filter'), plugin('prefill-wait-filter')],
    scorers: [scorer('prefix-cache-scorer', 3), ...LOAD],
    picker: plugin('max-score-picker'),
  },
  'load-aware': {
    name: 'load-aware',
    filters: [],
    scorers: LOAD,
    picker: plugin('max-score-picker'),
  },
  random: { name: 'random', filters: [], scorers: [], picker: plugin('random-picker') },
  'round-robin': {
    name: 'round-robin',
    filters: [],
    scorers: [],
    picker: plugin('round-robin-picker'),
  },
};

/** The policy that has this profile alone. */
export function singleProfilePolicy(profile: ProfileSettings): PolicySettings {
  return { profiles: [profile], profileHandler: plugin('single-profile-handler'), producers: [] };
}
