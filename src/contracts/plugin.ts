// One plugin is one file exporting one definition; catalogue.ts lists them all.

import type { Filter, Picker, PluginHost, Scorer } from './scheduling.js';

/** A parameter schema: zod satisfies it; plugins bring their own. */
export interface ParameterSchema<Parameters> {
  parse(value: unknown): Parameters;
}

/** What an endpoint must report for the plugin to make sense; the fleet scrapes accordingly. */
export type EndpointAttribute =
  | 'waiting'
  | 'running'
  | 'kv-cache-usage'
  | 'prefix-match'
  | 'labels';

interface DefinitionBase<Parameters> {
  /** llm-d's spelling where one exists. */
  readonly type: string;
  /** One sentence for the reference page, formula included. */
  readonly summary: string;
  readonly parameters: ParameterSchema<Parameters>;
  readonly consumes: readonly EndpointAttribute[];
}

export interface FilterDefinition<Parameters = unknown> extends DefinitionBase<Parameters> {
  readonly kind: 'filter';
  create(parameters: Parameters, host: PluginHost): Filter;
}

export interface ScorerDefinition<Parameters = unknown> extends DefinitionBase<Parameters> {
  readonly kind: 'scorer';
  create(parameters: Parameters, host: PluginHost): Scorer;
}

export interface PickerDefinition<Parameters = unknown> extends DefinitionBase<Parameters> {
  readonly kind: 'picker';
  create(parameters: Parameters, host: PluginHost): Picker;
}

export type PluginDefinition = FilterDefinition | ScorerDefinition | PickerDefinition;

/** Gives a filter definition its parameter type. */
export function defineFilter<Parameters>(
  definition: Omit<FilterDefinition<Parameters>, 'kind'>,
): FilterDefinition {
  return { kind: 'filter', ...definition } as FilterDefinition;
}

/** Gives a scorer definition its parameter type. */
export function defineScorer<Parameters>(
  definition: Omit<ScorerDefinition<Parameters>, 'kind'>,
): ScorerDefinition {
  return { kind: 'scorer', ...definition } as ScorerDefinition;
}

/** Gives a picker definition its parameter type. */
export function definePicker<Parameters>(
  definition: Omit<PickerDefinition<Parameters>, 'kind'>,
): PickerDefinition {
  return { kind: 'picker', ...definition } as PickerDefinition;
}

/** A scheduling profile with its plugins made. */
export interface Profile {
  readonly name: string;
  readonly filters: readonly { readonly type: string; readonly plugin: Filter }[];
  readonly scorers: readonly {
    readonly type: string;
    readonly weight: number;
    readonly plugin: Scorer;
  }[];
  readonly picker: { readonly type: string; readonly plugin: Picker };
}
