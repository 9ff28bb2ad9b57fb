// Producers that other plugins of a policy count on. As in llm-d, one that can be made without being
// told anything is made; where it must be told something, its absence is an error, because a plugin
// without it would never do anything. Some are needed by name: each of those remembers for itself.

import { z } from 'zod';
import type { NeededProducer, PluginKind } from '#contracts/plugin.js';
import { definitionOf } from '#plugins/catalogue.js';
import type { PolicyPaths } from './build-policy.js';
import type { PluginSettings, PolicySettings } from './configuration.js';
import type { ConfigurationPath, Finding } from './explain.js';
import { suggestion } from './nearest-name.js';

/** Where findings about a policy go. */
export interface PolicyFindings {
  readonly report: (finding: Finding) => void;
  /** Told of what is valid and has no effect. */
  readonly mention: (finding: Finding) => void;
}

/** A producer as it stands in the policy, or will; null where nobody wrote it. */
interface Producer {
  readonly type: string;
  /** What others call it: its type where it has no name, as in llm-d. */
  readonly name: string;
  readonly position: number | null;
}

/** Names that the producers of a type are needed by. */
interface Wanted {
  readonly names: ReadonlySet<string>;
  /** The parameter that names them. */
  readonly by: string;
}

/** The policy with the producers that it needs and does not name; reports those that cannot be made. */
export function withNeededProducers(
  settings: PolicySettings,
  paths: PolicyPaths,
  { report, mention }: PolicyFindings,
): PolicySettings {
  const producers = settings.producers.map(
    ({ type, name }, position): Producer => ({ ...named(type, name), position }),
  );
  const added: PluginSettings[] = [];
  const wanted = new Map<string, Wanted>();
  // One of an unknown type, which is told, may be the one that is missed.
  const unknown = settings.producers.some(({ type }) => definitionOf('producer', type) === null);
  const restsOn = [
    [...paths.producers, settings.producers.length],
    ...settings.producers.map((_, position) => [...paths.producers, position, 'name']),
  ];
  const look = (kind: PluginKind, plugin: PluginSettings, path: ConfigurationPath): void => {
    for (const need of needsOf(kind, plugin)) {
      const { type, name } = named(need.type, need.name);
      const alike = producers.filter((producer) => producer.type === type);
      if (need.name !== undefined) {
        const others = wanted.get(type)?.names ?? [];
        wanted.set(type, { names: new Set([...others, name]), by: need.at.join('.') });
      }
      if (need.name === undefined ? alike.length > 0 : alike.some((one) => one.name === name)) {
        continue;
      }
      if (name === type && fits('producer', type, {})) {
        producers.push({ type, name, position: null });
        added.push({ type, parameters: {} });
      } else if (!unknown) {
        const at = [...path, 'parameters', ...need.at];
        report({ path: at, at: 'value', text: missing(need, alike), restsOn });
      }
    }
  };
  for (const [position, { filters, scorers, picker }] of settings.profiles.entries()) {
    const path = paths.profile(position);
    for (const [at, filter] of filters.entries()) look('filter', filter, [...path, 'filters', at]);
    for (const [at, scorer] of scorers.entries()) look('scorer', scorer, [...path, 'scorers', at]);
    look('picker', picker, [...path, 'picker']);
  }
  for (const [type, want] of wanted) {
    const alike = producers.filter((producer) => producer.type === type);
    lookAtNamed(alike, want, paths.producers, { report, mention });
  }
  return added.length === 0
    ? settings
    : { ...settings, producers: [...settings.producers, ...added] };
}

/** Of a type that is needed by name: two of one name would be one, and one that nobody names is idle. */
function lookAtNamed(
  producers: readonly Producer[],
  { names, by }: Wanted,
  path: ConfigurationPath,
  { report, mention }: PolicyFindings,
): void {
  for (const [at, { type, name, position }] of producers.entries()) {
    if (position === null) continue;
    const first = producers.findIndex((other) => other.name === name);
    if (first < at) {
      const called = name === type ? 'has no name' : `is called \`${name}\``;
      const text = `another \`${type}\` ${called} too; give each a \`name\` of its own`;
      const both = [producers[first]?.position ?? position, position];
      const restsOn = both.map((read) => [...path, read, 'name']);
      report({ path: [...path, position, 'type'], at: 'value', text, restsOn });
    } else if (!names.has(name)) {
      const text = `has no effect: no plugin has \`${name}\` as its \`${by}\``;
      mention({ path: [...path, position], at: 'value', text });
    }
  }
}

function missing({ type, name, called }: NeededProducer, alike: readonly Producer[]): string {
  if (name === undefined) {
    return `\`${called}\` is what a \`${type}\` finds out, and there is none: add one with its parameters`;
  }
  const names = alike.map((producer) => producer.name);
  const known = names.length === 0 ? 'there is none' : `there is ${listed(names)}`;
  return `no \`${type}\` is called \`${name}\`${suggestion(name, names) || `; ${known}`}`;
}

function listed(names: Iterable<string>): string {
  return [...names].map((name) => `\`${name}\``).join(', ');
}

/** By today's name of the type. */
function named(type: string, name = ''): Pick<Producer, 'type' | 'name'> {
  const today = definitionOf('producer', type)?.type ?? type;
  return { type: today, name: name === '' ? today : name };
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
