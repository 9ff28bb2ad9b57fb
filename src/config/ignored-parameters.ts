// Parameters of plugins that are accepted and have no effect here: which of them somebody wrote, and
// what to say about it.

import type { PluginDefinition, PluginKind } from '#contracts/plugin.js';
import { definitionOf, ignoredAmong } from '#plugins/catalogue.js';
import type { PolicyPaths } from './build-policy.js';
import type { PluginSettings, PolicySettings } from './configuration.js';
import type { ConfigurationPath, Finding } from './explain.js';
import { isMapping } from './explain.js';

type Parameters = Readonly<Record<string, unknown>>;

/** One finding for each reason; paths begin below the parameters. */
export function ignoredParameters(
  definition: PluginDefinition,
  parameters: Parameters,
): readonly Finding[] {
  return ignoredAmong(definition, parameters).flatMap(({ paths, why }): readonly Finding[] => {
    const [first, ...others] = paths;
    if (first === undefined) return [];
    const rest = others.map((path) => `\`${path}\``).join(', ');
    const text = `has no effect${rest === '' ? '' : `, like ${rest}`}: ${clause(why)}`;
    return [{ path: first.split('.'), at: 'key', text }];
  });
}

/** The parameters that are left without those, and without mappings that held nothing else. */
export function effectiveParameters(
  { ignored }: PluginDefinition,
  parameters: Parameters,
): Parameters {
  const effective = structuredClone(parameters);
  for (const { paths } of ignored) {
    for (const path of paths) remove(effective, path.split('.'));
  }
  return effective;
}

/** A sentence as the end of another: first letter small, no full stop. */
function clause(sentence: string): string {
  const bare = sentence.replace(/\.$/, '');
  // Names keep their capitals.
  return /^(Warmpath|KV|LoRA)\b/.test(bare) ? bare : bare.charAt(0).toLowerCase() + bare.slice(1);
}

function remove(value: Parameters, path: ConfigurationPath): void {
  const [key, ...rest] = path;
  if (key === undefined || !Object.hasOwn(value, key)) return;
  const inner: unknown = Reflect.get(value, key);
  if (rest.length > 0 && isMapping(inner)) remove(inner, rest);
  if (rest.length === 0 || (isMapping(inner) && Object.keys(inner).length === 0)) {
    Reflect.deleteProperty(value, key);
  }
}

/** All of a policy. */
export function ignoredInPolicy(settings: PolicySettings, paths: PolicyPaths): readonly Finding[] {
  const { profiles, profileHandler, producers } = settings;
  const findings: Finding[] = [];
  const look = (kind: PluginKind, plugin: PluginSettings, path: ConfigurationPath): void => {
    const definition = definitionOf(kind, plugin.type);
    if (definition === null) return;
    for (const finding of ignoredParameters(definition, plugin.parameters)) {
      findings.push({ ...finding, path: [...path, 'parameters', ...finding.path] });
    }
  };
  for (const [position, { filters, scorers, picker }] of profiles.entries()) {
    const path = paths.profile(position);
    for (const [at, filter] of filters.entries()) look('filter', filter, [...path, 'filters', at]);
    for (const [at, scorer] of scorers.entries()) look('scorer', scorer, [...path, 'scorers', at]);
    look('picker', picker, [...path, 'picker']);
  }
  for (const [position, producer] of producers.entries()) {
    look('producer', producer, [...paths.producers, position]);
  }
  look('profile-handler', profileHandler, paths.profileHandler);
  return findings;
}
