// From a profile as written to one with its plugins made. `checkProfile` runs while the
// configuration is read, so that `buildProfile` can rely on it.

import { z } from 'zod';
import type { PluginDefinition, Profile } from '#contracts/plugin.js';
import type { PluginHost } from '#contracts/scheduling.js';
import { CATALOGUE } from '#plugins/catalogue.js';
import type { PluginSettings, ProfileSettings } from './configuration.js';
import type { ConfigurationPath, Finding } from './explain.js';
import { findingsOf } from './explain.js';
import { suggestion } from './nearest-name.js';
import { keysOf } from './schema-keys.js';

type Kind = PluginDefinition['kind'];

/** Reports unknown plugins and wrong parameters; `path` leads to the profile. */
export function checkProfile(
  settings: ProfileSettings,
  path: ConfigurationPath,
  report: (finding: Finding) => void,
): void {
  const check = (kind: Kind, plugin: PluginSettings, at: ConfigurationPath): void => {
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

/** Makes the plugins of a checked profile. */
export function buildProfile(settings: ProfileSettings, host: PluginHost): Profile {
  return {
    name: settings.name,
    filters: settings.filters.map(({ type, parameters }) => {
      const definition = definitionOf('filter', type);
      return { type, plugin: definition.create(definition.parameters.parse(parameters), host) };
    }),
    scorers: settings.scorers.map(({ type, weight, parameters }) => {
      const definition = definitionOf('scorer', type);
      const plugin = definition.create(definition.parameters.parse(parameters), host);
      return { type, weight, plugin };
    }),
    picker: picker(settings.picker, host),
  };
}

function picker({ type, parameters }: PluginSettings, host: PluginHost): Profile['picker'] {
  const definition = definitionOf('picker', type);
  return { type, plugin: definition.create(definition.parameters.parse(parameters), host) };
}

/** Whether any plugin of the profile looks at matched prefixes. */
export function looksAtPrefixes({ filters, scorers, picker }: ProfileSettings): boolean {
  return [...filters, ...scorers, picker].some(({ type }) =>
    CATALOGUE.find((known) => known.type === type)?.consumes.includes('prefix-match'),
  );
}

function definitionOf<K extends Kind>(
  kind: K,
  type: string,
): Extract<PluginDefinition, { readonly kind: K }> {
  const found = CATALOGUE.find(
    (definition): definition is Extract<PluginDefinition, { readonly kind: K }> =>
      definition.kind === kind && definition.type === type,
  );
  if (found === undefined) throw new Error(`there is no ${kind} ${type}`);
  return found;
}

function findingsOn(
  kind: Kind,
  { type, parameters }: PluginSettings,
  path: ConfigurationPath,
): readonly Finding[] {
  const definition = CATALOGUE.find((known) => known.type === type);
  if (definition?.kind !== kind) {
    const text =
      definition === undefined
        ? `unknown ${kind} \`${type}\`${hint(kind, type)}`
        : `\`${type}\` is a ${definition.kind}, not a ${kind}`;
    return [{ path: [...path, 'type'], at: 'value', text }];
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

/** The nearest type, or all of the kind when none is near. */
function hint(kind: Kind, type: string): string {
  const types = CATALOGUE.filter((known) => known.kind === kind).map((known) => known.type);
  const nearest = suggestion(type, types);
  return nearest === '' ? `; there are ${types.join(', ')}` : nearest;
}
