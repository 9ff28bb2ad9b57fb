// From a policy as written to one with its plugins made. `checkPolicy` runs while the configuration
// is read, so that `buildPolicy` can rely on it.

import { z } from 'zod';
import type { PluginDefinition, PluginKind, Policy, Profile } from '#contracts/plugin.js';
import type { PluginHost } from '#contracts/scheduling.js';
import { CATALOGUE, definitionOf, definitionsOf } from '#plugins/catalogue.js';
import { REFUSED_PLUGINS } from '#plugins/refused.js';
import type { PluginSettings, PolicySettings, ProfileSettings } from './configuration.js';
import type { ConfigurationPath, Finding } from './explain.js';
import { findingsOf } from './explain.js';
import { suggestion } from './nearest-name.js';
import { keysOf } from './schema-keys.js';

type Report = (finding: Finding) => void;

/** Where the parts of a policy stand in what was written, for findings. */
export interface PolicyPaths {
  readonly profile: (position: number) => ConfigurationPath;
  readonly profileHandler: ConfigurationPath;
  readonly producers: ConfigurationPath;
}

/** Reports unknown plugins, wrong parameters, and profiles that cannot be chosen among. */
export function checkPolicy(settings: PolicySettings, paths: PolicyPaths, report: Report): void {
  const { profiles, profileHandler, producers } = settings;
  const names = profiles.map(({ name }) => name);
  for (const [position, profile] of profiles.entries()) {
    const path = paths.profile(position);
    checkProfile(profile, path, report);
    const first = names.indexOf(profile.name);
    if (first === position) continue;
    const text = `another profile is called \`${profile.name}\` too`;
    const restsOn = [[...paths.profile(first), 'name']];
    report({ path: [...path, 'name'], at: 'value', text, restsOn });
  }
  for (const [position, producer] of producers.entries()) {
    for (const finding of findingsOn('producer', producer, [...paths.producers, position])) {
      report(finding);
    }
  }
  const findings = findingsOn('profile-handler', profileHandler, paths.profileHandler);
  for (const finding of findings) report(finding);
  // That there is no profile has been told.
  if (findings.length > 0 || names.length === 0) return;
  const { type, parameters } = profileHandler;
  const definition = requireDefinition('profile-handler', type);
  const fault = definition.fault(definition.parameters.parse(parameters), names);
  if (fault === null) return;
  report({
    path: paths.profileHandler,
    at: 'value',
    text: `\`${type}\`: ${fault}`,
    restsOn: [...names.map((_, at) => [...paths.profile(at), 'name']), paths.profile(names.length)],
  });
}

function checkProfile(settings: ProfileSettings, path: ConfigurationPath, report: Report): void {
  const check = (kind: PluginKind, plugin: PluginSettings, at: ConfigurationPath): void => {
    for (const finding of findingsOn(kind, plugin, [...path, ...at])) report(finding);
  };
  for (const [position, filter] of settings.filters.entries()) {
    check('filter', filter, ['filters', position]);
  }
  for (const [position, scorer] of settings.scorers.entries()) {
    check('scorer', scorer, ['scorers', position]);
  }
  check('picker', settings.picker, ['picker']);
}

/** What plugins get of their host, but for their own name. */
export type PolicyHost = Omit<PluginHost, 'name'>;

/** Makes the plugins of a checked policy; all of them get the same host. */
export function buildPolicy(settings: PolicySettings, host: PolicyHost): Policy {
  // Producers first: state that they share with other plugins is made as they were told.
  const producers = settings.producers.map(({ type, name = '', parameters }) => {
    const definition = requireDefinition('producer', type);
    const named = { ...host, name };
    return { type, plugin: definition.create(definition.parameters.parse(parameters), named) };
  });
  const { type, parameters } = settings.profileHandler;
  const handler = requireDefinition('profile-handler', type);
  const named = { ...host, name: '' };
  return {
    producers,
    handler: { type, plugin: handler.create(handler.parameters.parse(parameters), named) },
    profiles: settings.profiles.map((profile) => buildProfile(profile, host)),
  };
}

/** Makes the plugins of a checked profile. */
export function buildProfile(settings: ProfileSettings, host: PolicyHost): Profile {
  return {
    name: settings.name,
    filters: settings.filters.map(({ type, name = '', parameters }) => {
      const definition = requireDefinition('filter', type);
      const named = { ...host, name };
      return { type, plugin: definition.create(definition.parameters.parse(parameters), named) };
    }),
    scorers: settings.scorers.map(({ type, name = '', weight, parameters }) => {
      const definition = requireDefinition('scorer', type);
      const named = { ...host, name };
      const plugin = definition.create(definition.parameters.parse(parameters), named);
      return { type, weight, plugin };
    }),
    picker: picker(settings.picker, host),
  };
}

function picker({ type, parameters }: PluginSettings, host: PolicyHost): Profile['picker'] {
  const definition = requireDefinition('picker', type);
  const named = { ...host, name: '' };
  return { type, plugin: definition.create(definition.parameters.parse(parameters), named) };
}

/** Whether any plugin of the policy goes by prompts, so that they are to be tokenised. */
export function looksAtPrompts({ profiles, producers }: PolicySettings): boolean {
  const placed = profiles.flatMap(({ filters, scorers, picker }) => [
    ...filters,
    ...scorers,
    picker,
  ]);
  return [...producers, ...placed].some(({ type }) =>
    definitionsOf(type).some(
      ({ consumes }) => consumes.includes('prefix-match') || consumes.includes('prompt-tokens'),
    ),
  );
}

/** Whether any plugin of the policy goes by the media of prompts. */
export function looksAtMedia({ profiles, producers }: PolicySettings): boolean {
  const scorers = profiles.flatMap((profile) => profile.scorers);
  return [...producers, ...scorers].some(({ type }) =>
    definitionsOf(type).some(({ consumes }) => consumes.includes('media')),
  );
}

function requireDefinition<Kind extends PluginKind>(
  kind: Kind,
  type: string,
): Extract<PluginDefinition, { readonly kind: Kind }> {
  const found = definitionOf(kind, type);
  if (found === null) throw new Error(`there is no ${kind} ${type}`);
  return found;
}

function findingsOn(
  kind: PluginKind,
  { type, parameters }: PluginSettings,
  path: ConfigurationPath,
): readonly Finding[] {
  const definition = definitionOf(kind, type);
  if (definition === null) {
    return [{ path: [...path, 'type'], at: 'value', text: unknownType(kind, type) }];
  }
  const schema = definition.parameters;
  if (!(schema instanceof z.ZodType)) throw new Error(`${type}: its schema is not a zod schema`);
  const result = schema.safeParse(parameters);
  if (result.success) return [];
  const keys = (at: ConfigurationPath): readonly string[] => keysOf(schema, at);
  return findingsOf(result.error.issues, parameters, keys).map((finding) => ({
    ...finding,
    path: [...path, 'parameters', ...finding.path],
  }));
}

/** What to say of a type that no plugin of the kind has. */
function unknownType(kind: PluginKind, type: string): string {
  const [other] = definitionsOf(type);
  if (other !== undefined) return `\`${type}\` is a ${other.kind}, not a ${kind}`;
  const refused = REFUSED_PLUGINS.get(type);
  if (refused !== undefined) return `\`${type}\` is not supported: ${refused}`;
  return `unknown ${kind} \`${type}\`${hint(kind, type)}`;
}

/** The nearest type, or all of the kind when none is near. */
function hint(kind: PluginKind, type: string): string {
  const types = CATALOGUE.filter((known) => known.kind === kind).map((known) => known.type);
  const nearest = suggestion(type, types);
  return nearest === '' ? `; there are ${types.join(', ')}` : nearest;
}
