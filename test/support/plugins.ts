// What tests of plugins share: running one plugin over a sketched fleet, and parameters for those
// that cannot be made without any.

import type {
  FilterDefinition,
  PickerDefinition,
  PluginDefinition,
  ScorerDefinition,
} from '#contracts/plugin.js';
import type { PluginHost, SchedulingContext } from '#contracts/scheduling.js';
import type { EndpointSketch } from '#test/support/scheduling.js';
import {
  candidatesOf,
  fleetSnapshot,
  pluginHost,
  schedulingContext,
} from '#test/support/scheduling.js';

/** Parameters for the plugins that have no defaults for all of them. */
const NEEDED: Readonly<Record<string, unknown>> = {
  'by-label': { label: 'zone', validValues: ['a'], allowsNoLabel: true },
  'utilization-filter': { conditions: [{ metric: 'waiting-queue', maxValue: 5 }] },
  'session-id-producer': { headerName: 'x-session-id' },
};

/** The least a configuration has to say for the plugin to be made. */
export function leastParameters({ type }: PluginDefinition): unknown {
  return NEEDED[type] ?? {};
}

/** Parameters that make every plugin in every one of its forms. */
export function parameterCases(definition: PluginDefinition): readonly unknown[] {
  const least = leastParameters(definition);
  switch (definition.type) {
    case 'session-affinity-filter':
    case 'session-affinity-scorer':
      return [least, { strategy: 'session_id' }];
    case 'session-id-producer':
      return [least, { cookieName: 'sid' }];
    case 'context-length-aware':
      return [least, { enableFiltering: true }];
    case 'inflight-load-producer':
      return [least, { addEstimatedOutputTokens: true }];
    default:
      return [least];
  }
}

export interface PluginRun {
  readonly parameters?: unknown;
  readonly context?: Partial<SchedulingContext>;
  /** Candidates; all of the fleet when not given. */
  readonly slots?: readonly number[];
  readonly host?: PluginHost;
}

/** Scores by slot, to six decimals; −1 where none was written. */
export function scoresOf(
  definition: ScorerDefinition,
  sketches: readonly (EndpointSketch | null)[],
  run: PluginRun = {},
): readonly number[] {
  const fleet = fleetSnapshot(sketches);
  const scores = new Float64Array(sketches.length).fill(-1);
  definition
    .create(parametersOf(definition, run), run.host ?? pluginHost(sketches.length))
    .score(schedulingContext(fleet, run.context), candidatesOf(fleet, run.slots), scores);
  return [...scores].map((score) => Math.round(score * 1e6) / 1e6);
}

/** Slots that a filter keeps. */
export function keptBy(
  definition: FilterDefinition,
  sketches: readonly (EndpointSketch | null)[],
  run: PluginRun = {},
): readonly number[] {
  const fleet = fleetSnapshot(sketches);
  const candidates = candidatesOf(fleet, run.slots);
  definition
    .create(parametersOf(definition, run), run.host ?? pluginHost(sketches.length))
    .filter(schedulingContext(fleet, run.context), candidates);
  return [...sketches.keys()].filter((slot) => candidates.has(slot));
}

function parametersOf(
  definition: FilterDefinition | ScorerDefinition | PickerDefinition,
  { parameters }: PluginRun,
): unknown {
  return definition.parameters.parse(parameters ?? leastParameters(definition));
}
