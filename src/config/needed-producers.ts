// Producers that other plugins of a policy count on. As in llm-d, one that can be made without being
// told anything is made; where it must be told something, its absence is an error, because a plugin
// without it would never do anything.

import { z } from 'zod';
import type { PluginKind } from '#contracts/plugin.js';
import { definitionOf } from '#plugins/catalogue.js';
import type { PolicyPaths } from './build-policy.js';
import type { PluginSettings, PolicySettings } from './configuration.js';
import type { ConfigurationPath, Finding } from './explain.js';

/** The policy with the producers that it needs and does not name; reports those that cannot be made. */
export function withNeededProducers(
  settings: PolicySettings,
  paths: PolicyPaths,
  report: (finding: Finding) => void,
): PolicySettings {
  const there = new Set(
    settings.producers.map(({ type }) => definitionOf('producer', type)?.type ?? type),
  );
  const added: PluginSettings[] = [];
  // One of an unknown type, which is told, may be the one that is missed.
  const unknown = settings.producers.some(({ type }) => definitionOf('producer', type) === null);
  const restsOn = [[...paths.producers, settings.producers.length]];
  const look = (kind: PluginKind, plugin: PluginSettings, path: ConfigurationPath): void => {
    for (const { type, called, at } of needsOf(kind, plugin)) {
      if (there.has(type)) continue;
      if (fits('producer', type, {})) {
        there.add(type);
        added.push({ type, parameters: {} });
        continue;
      }
      if (unknown) continue;
      const text = `\`${called}\` is what a \`${type}\` finds out, and there is none: add one with its parameters`;
      report({ path: [...path, 'parameters', ...at], at: 'value', text, restsOn });
    }
  };
  for (const [position, { filters, scorers, picker }] of settings.profiles.entries()) {
    const path = paths.profile(position);
    for (const [at, filter] of filters.entries()) look('filter', filter, [...path, 'filters', at]);
    for (const [at, scorer] of scorers.entries()) look('scorer', scorer, [...path, 'scorers', at]);
    look('picker', picker, [...path, 'picker']);
  }
  return added.length === 0
    ? settings
    : { ...settings, producers: [...settings.producers, ...added] };
}

/** What the plugin needs; nothing while its parameters are wrong, which is told elsewhere. */
function needsOf(kind: PluginKind, { type, parameters }: PluginSettings) {
  const definition = definitionOf(kind, type);
  if (definition?.needs === undefined || !fits(kind, type, parameters)) return [];
  return definition.needs(definition.parameters.parse(parameters));
}

function fits(kind: PluginKind, type: string, parameters: unknown): boolean {
  const schema = definitionOf(kind, type)?.parameters;
  return schema instanceof z.ZodType && schema.safeParse(parameters).success;
}
