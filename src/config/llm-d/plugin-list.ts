// The `plugins` of an EndpointPickerConfig: what each is to Warmpath, what the rest of the file calls
// it, and which of them nothing refers to.

import { z } from 'zod';
import type { PluginDefinition, PluginKind } from '#contracts/plugin.js';
import { CATALOGUE, definitionsOf } from '#plugins/catalogue.js';
import { REFUSED_PLUGINS } from '#plugins/refused.js';
import type { ConfigurationPath } from '../explain.js';
import { findingsOf } from '../explain.js';
import { ignoredParameters } from '../ignored-parameters.js';
import { suggestion } from '../nearest-name.js';
import { keysOf } from '../schema-keys.js';
import { todaysSpelling } from './older-spellings.js';
import type { PluginEntry } from './schema.js';
import { SERVICES, type Service } from './services.js';
import type { Translation } from './translation.js';

export interface ListedPlugin {
  readonly name: string;
  readonly type: string;
  /** As written. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Where it stands in the file. */
  readonly path: ConfigurationPath;
  /** What it can be in a policy; empty for everything else. */
  readonly kinds: readonly PluginKind[];
  /** What it is outside of scheduling; null for plugins of a policy. */
  readonly service: Service | null;
  /** `a scorer`, for messages. */
  readonly called: string;
}

/** Of these there is no use without a reference. */
const REFERRED: readonly PluginKind[] = ['filter', 'scorer', 'picker'];

/** Reads the list once and answers for it afterwards. */
export class PluginList {
  readonly all: readonly ListedPlugin[];
  readonly #translation: Translation;
  readonly #byName = new Map<string, ListedPlugin>();
  /** Names that are there and cannot be used, which has been told. */
  readonly #broken = new Set<string>();
  /** Whether any name may be that of an entry that cannot be used. */
  #anyBroken = false;
  readonly #used = new Set<string>();
  /** By name: types that nothing here knows, told unless somebody excuses them. */
  readonly #unknown = new Map<
    string,
    { readonly type: string; readonly path: ConfigurationPath }
  >();

  /** `unusable` has the names of further entries, null for a name that nobody can tell. */
  constructor(
    entries: readonly PluginEntry[],
    translation: Translation,
    unusable: readonly (string | null)[],
  ) {
    this.#translation = translation;
    for (const name of unusable) {
      if (name === null) this.#anyBroken = true;
      else this.#broken.add(name);
    }
    const names = new Map<string, number>();
    this.all = entries.flatMap(({ name: given, type, parameters }, position) => {
      const name = given ?? type;
      const path = ['plugins', position];
      const first = names.get(name);
      if (first !== undefined) {
        const other = translation.writtenAs(['plugins', first]);
        const text = `${other} is called \`${name}\` too; give one of them another \`name\``;
        translation.fault([...path, given === undefined ? 'type' : 'name'], 'value', text);
        return [];
      }
      names.set(name, position);
      const plugin = this.#read({
        name,
        path,
        ...todaysSpelling({ type, parameters: parameters ?? {} }),
      });
      if (plugin === null) {
        this.#broken.add(name);
        return [];
      }
      this.#byName.set(name, plugin);
      return [plugin];
    });
  }

  /** The plugin that `name` at `path` means, and counts it as used; null after telling what is wrong. */
  lookUp(name: string, path: ConfigurationPath): ListedPlugin | null {
    this.#used.add(name);
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    // What is wrong with it has been said where it is listed.
    if (this.isBroken(name)) return null;
    const known = [...this.#byName.keys()];
    const hint = suggestion(name, known) || `; there are ${known.join(', ') || 'none'}`;
    this.#translation.fault(path, 'value', `no plugin is called \`${name}\`${hint}`);
    return null;
  }

  /** The plugin called `name`, null when there is none. */
  find(name: string): ListedPlugin | null {
    return this.#byName.get(name) ?? null;
  }

  /** Whether `name` is there and cannot be used, which has been told or will be. */
  isBroken(name: string): boolean {
    return this.#anyBroken || this.#broken.has(name);
  }

  /** Whether any plugin cannot be used, so that what is missing may be that one. */
  get hasBroken(): boolean {
    return this.#anyBroken || this.#broken.size > 0;
  }

  /** Counts `name` as used without asking whether it is there. */
  use(name: string): void {
    this.#used.add(name);
  }

  /** Counts `name` as used and as something that need not be known. */
  excuse(name: string): void {
    this.#used.add(name);
    this.#unknown.delete(name);
  }

  /** Its name where that tells it from another of its type, else undefined. */
  distinctName(plugin: ListedPlugin): string | undefined {
    const alike = this.all.filter(({ type }) => type === plugin.type);
    return alike.length > 1 ? plugin.name : undefined;
  }

  ofKind(kind: PluginKind): readonly ListedPlugin[] {
    return this.all.filter(({ kinds }) => kinds.includes(kind));
  }

  /** Tells of unknown types that nobody excused and of plugins that nothing refers to. */
  finish(): void {
    for (const { type, path } of this.#unknown.values()) {
      this.#translation.fault([...path, 'type'], 'value', unknownType(type));
    }
    for (const { name, path, kinds, service } of this.all) {
      const runsAlways = kinds.some((kind) => !REFERRED.includes(kind));
      if (this.#used.has(name) || (service === null && runsAlways)) continue;
      // That it has no effect has been told already.
      if (service !== null && service.instead !== null) continue;
      this.#translation.warn(path, `\`${name}\` is not used: nothing refers to it`);
    }
  }

  /** What the plugin is; null when it cannot be used, which is told now or in `finish`. */
  #read(plugin: Omit<ListedPlugin, 'kinds' | 'service' | 'called'>): ListedPlugin | null {
    const { name, type, path } = plugin;
    const definitions = definitionsOf(type);
    if (definitions.length > 0) {
      this.#readDefined(plugin, definitions);
      const kinds = definitions.map(({ kind }) => kind);
      const called = kinds.map((kind) => `a ${kind}`).join(' and ');
      return { ...plugin, kinds, service: null, called };
    }
    const refused = REFUSED_PLUGINS.get(type);
    if (refused !== undefined) {
      const text = `\`${type}\` is not supported: ${refused}`;
      this.#translation.fault([...path, 'type'], 'value', text);
      return null;
    }
    const service = Object.hasOwn(SERVICES, type) ? SERVICES[type] : undefined;
    if (service === undefined) {
      this.#unknown.set(name, { type, path });
      return null;
    }
    if (this.#check(plugin, service.parameters) && service.instead !== null) {
      this.#translation.warn(path, `\`${type}\` has no effect: ${service.instead}`);
    }
    const called = `${service.role === 'extractor' ? 'an' : 'a'} ${service.role}`;
    return { ...plugin, kinds: [], service, called };
  }

  /** Checks the parameters of a plugin that we have, once for every kind of it. */
  #readDefined(
    plugin: Pick<ListedPlugin, 'path' | 'parameters'>,
    definitions: readonly PluginDefinition[],
  ): void {
    for (const definition of definitions) {
      const { parameters: schema, type } = definition;
      if (!(schema instanceof z.ZodType)) throw new Error(`${type}: its schema is no zod schema`);
      // What is wrong for one kind is wrong for the others too, and told once.
      if (!this.#check(plugin, schema)) return;
    }
    const [first] = definitions;
    if (first === undefined) return;
    for (const { path, text } of ignoredParameters(first, plugin.parameters)) {
      this.#translation.warn([...plugin.path, 'parameters', ...path], text);
    }
  }

  #check(
    { path, parameters }: Pick<ListedPlugin, 'path' | 'parameters'>,
    schema: z.ZodType,
  ): boolean {
    const parsed = schema.safeParse(parameters);
    if (parsed.success) return true;
    const keys = (at: ConfigurationPath): readonly string[] => keysOf(schema, at);
    for (const finding of findingsOf(parsed.error.issues, parameters, keys)) {
      const at = [...path, 'parameters', ...finding.path];
      this.#translation.fault(at, finding.at, finding.text);
    }
    return false;
  }
}

function unknownType(type: string): string {
  const known = [
    ...CATALOGUE.flatMap((definition) => [definition.type, ...definition.aliases]),
    ...Object.keys(SERVICES),
    ...REFUSED_PLUGINS.keys(),
  ];
  return `unknown plugin type \`${type}\`${suggestion(type, known)}`;
}
