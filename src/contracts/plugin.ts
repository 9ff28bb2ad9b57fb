// One plugin is one file exporting one definition; catalogue.ts lists them all.

import type { Filter, Picker, PluginHost, Producer, ProfileHandler, Scorer } from './scheduling.js';

/** A parameter schema: zod satisfies it; plugins bring their own. */
export interface ParameterSchema<Parameters> {
  parse(value: unknown): Parameters;
}

/** What a plugin goes by. Where no plugin goes by prompts they are not even tokenised. */
export type EndpointAttribute =
  | 'waiting'
  | 'running'
  | 'kv-cache-usage'
  | 'adapters'
  | 'in-flight'
  | 'prefix-match'
  /** The prompt's length, for which prompts must be tokenised. */
  | 'prompt-tokens'
  | 'media'
  | 'session'
  | 'labels';

/** Parameters that are accepted and have no effect here, with the sentence that says why. */
export interface IgnoredParameters {
  /** As written, nested ones with dots: `indexerConfig.kvBlockIndexConfig`. */
  readonly paths: readonly string[];
  /** What Warmpath does instead; ends with a full stop. */
  readonly why: string;
}

/** A producer without which a plugin's parameters do nothing. */
export interface NeededProducer {
  readonly type: string;
  /** The one of that name; empty, or the type: the one without a name. Any of the type if left out. */
  readonly name?: string;
  /** What the parameters call that which it finds out. */
  readonly called: string;
  /** Where in the parameters. */
  readonly at: readonly (string | number)[];
}

/** Where plugins stand: kinds a configuration can name. A type may be there once per kind. */
export const PLUGIN_KINDS = ['producer', 'profile-handler', 'filter', 'scorer', 'picker'] as const;
export type PluginKind = (typeof PLUGIN_KINDS)[number];

interface DefinitionBase<Parameters> {
  /** llm-d's spelling where one exists. */
  readonly type: string;
  /** Older names of the type, with the same parameters. */
  readonly aliases: readonly string[];
  /** One sentence for the reference page, formula included. */
  readonly summary: string;
  /** Older spellings of parameters are fields of it too. */
  readonly parameters: ParameterSchema<Parameters>;
  readonly ignored: readonly IgnoredParameters[];
  readonly consumes: readonly EndpointAttribute[];
  needs?(parameters: Parameters): readonly NeededProducer[];
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

export interface ProducerDefinition<Parameters = unknown> extends DefinitionBase<Parameters> {
  readonly kind: 'producer';
  create(parameters: Parameters, host: PluginHost): Producer;
}

export interface ProfileHandlerDefinition<Parameters = unknown> extends DefinitionBase<Parameters> {
  readonly kind: 'profile-handler';
  /** What is wrong with choosing among these profiles, null when nothing is. */
  fault(parameters: Parameters, profiles: readonly string[]): string | null;
  create(parameters: Parameters, host: PluginHost): ProfileHandler;
}

export type PluginDefinition =
  | FilterDefinition
  | ScorerDefinition
  | PickerDefinition
  | ProducerDefinition
  | ProfileHandlerDefinition;

/** What an author writes: no kind, and lists only where they have something in them. */
type Written<Definition extends PluginDefinition> = Omit<
  Definition,
  'kind' | 'aliases' | 'ignored'
> &
  Partial<Pick<Definition, 'aliases' | 'ignored'>>;

/** Gives a filter definition its parameter type. */
export function defineFilter<Parameters>(
  definition: Written<FilterDefinition<Parameters>>,
): FilterDefinition {
  return { kind: 'filter', aliases: [], ignored: [], ...definition } as FilterDefinition;
}

/** Gives a scorer definition its parameter type. */
export function defineScorer<Parameters>(
  definition: Written<ScorerDefinition<Parameters>>,
): ScorerDefinition {
  return { kind: 'scorer', aliases: [], ignored: [], ...definition } as ScorerDefinition;
}

/** Gives a picker definition its parameter type. */
export function definePicker<Parameters>(
  definition: Written<PickerDefinition<Parameters>>,
): PickerDefinition {
  return { kind: 'picker', aliases: [], ignored: [], ...definition } as PickerDefinition;
}

/** Gives a producer definition its parameter type. */
export function defineProducer<Parameters>(
  definition: Written<ProducerDefinition<Parameters>>,
): ProducerDefinition {
  return { kind: 'producer', aliases: [], ignored: [], ...definition } as ProducerDefinition;
}

/** Gives a profile handler definition its parameter type. */
export function defineProfileHandler<Parameters>(
  definition: Written<ProfileHandlerDefinition<Parameters>>,
): ProfileHandlerDefinition {
  const written = { kind: 'profile-handler', aliases: [], ignored: [], ...definition };
  return written as unknown as ProfileHandlerDefinition;
}

/** A plugin with the type it was made from. */
export interface Placed<Plugin> {
  readonly type: string;
  readonly plugin: Plugin;
}

/** A scheduling profile with its plugins made. */
export interface Profile {
  readonly name: string;
  readonly filters: readonly Placed<Filter>[];
  readonly scorers: readonly (Placed<Scorer> & { readonly weight: number })[];
  readonly picker: Placed<Picker>;
}

/** Everything that decides: profiles, who chooses among them, who tells them about requests. */
export interface Policy {
  /** At least one; names are unique. */
  readonly profiles: readonly Profile[];
  /** Not asked while there is a single profile. */
  readonly handler: Placed<ProfileHandler>;
  /** In the order in which they run, before the handler. */
  readonly producers: readonly Placed<Producer>[];
}
