// Scheduling profiles of an EndpointPickerConfig, with llm-d's defaults where something is not said: a
// profile of all plugins, weight 1, the picker that is there or else max-score-picker.

import type { PluginKind } from '#contracts/plugin.js';
import { definitionsOf } from '#plugins/catalogue.js';
import type { ConfigurationPath } from '../explain.js';
import { effectiveParameters } from '../ignored-parameters.js';
import { suggestion } from '../nearest-name.js';
import { POLICY_PROFILES } from '../policies.js';
import type { ListedPlugin, PluginList } from './plugin-list.js';
import type { EndpointPickerFile, SchedulingProfile } from './schema.js';
import type { Translation } from './translation.js';

/** What llm-d calls a profile that has no name. */
const DEFAULT_PROFILE = 'default';
const DEFAULT_PICKER = 'max-score-picker';
const PROFILE_KINDS: readonly PluginKind[] = ['filter', 'scorer', 'picker'];
/** Parameters that name another plugin. */
const REFERENCES: readonly string[] = [
  'prefixMatchInfoProducerName',
  'prefixPluginName',
  'inFlightLoadProducerName',
  'producerName',
];

/** Reads `schedulingProfiles` and what of `plugins` runs for every request. */
export function translateScheduling(
  file: EndpointPickerFile,
  plugins: PluginList,
  translation: Translation,
): void {
  if (file.plugins.length === 0 && file.schedulingProfiles.length === 0) {
    // What llm-d does without any configuration; the index beats its guesses about prefixes.
    const profile = { ...POLICY_PROFILES.precise, name: DEFAULT_PROFILE, filters: [] };
    translation.put(['scheduling', 'profile'], profile, []);
    return;
  }
  const reader = new ProfileReader(plugins, translation);
  const { schedulingProfiles } = file;
  if (schedulingProfiles.length === 0) reader.readAll(['scheduling', 'profile']);
  for (const [position, profile] of schedulingProfiles.entries()) {
    const single = schedulingProfiles.length === 1;
    const path = single ? ['scheduling', 'profile'] : ['scheduling', 'profiles', position];
    reader.read(profile, path, ['schedulingProfiles', position]);
  }
  translateProfileHandler(schedulingProfiles.length, plugins, translation);
  for (const [position, producer] of plugins.ofKind('producer').entries()) {
    const path = ['scheduling', 'producers', position];
    place(producer, path, producer.path, translation);
    // In llm-d a plugin without a name is called as its type.
    if (definitionsOf(producer.type)[0]?.type === producer.name) continue;
    translation.put([...path, 'name'], producer.name, [...producer.path, 'name']);
  }
  checkReferences(plugins, translation);
}

/** Puts the plugins of profiles to our lists, whose lengths it keeps. */
class ProfileReader {
  readonly #plugins: PluginList;
  readonly #translation: Translation;

  constructor(plugins: PluginList, translation: Translation) {
    this.#plugins = plugins;
    this.#translation = translation;
  }

  /** llm-d's profile where none is given: every plugin that can be in one, each scorer once. */
  readAll(path: ConfigurationPath): void {
    const able = this.#plugins.all.filter(({ kinds }) =>
      kinds.some((kind) => PROFILE_KINDS.includes(kind)),
    );
    const profile = {
      name: DEFAULT_PROFILE,
      plugins: able.map(({ name }) => ({ pluginRef: name })),
    };
    this.read(profile, path, null);
  }

  /** `from` is null where the profile is made up, and its plugins stand for themselves. */
  read(profile: SchedulingProfile, path: ConfigurationPath, from: ConfigurationPath | null): void {
    const nameFrom = from === null ? ['plugins'] : [...from, 'name'];
    this.#translation.put([...path, 'name'], profile.name, nameFrom);
    const counts = { filter: 0, scorer: 0, picker: 0 };
    for (const [position, { pluginRef, weight }] of profile.plugins.entries()) {
      const at = from === null ? null : [...from, 'plugins', position];
      const plugin = this.#plugins.lookUp(pluginRef, [...(at ?? []), 'pluginRef']);
      if (plugin === null) continue;
      const stands = at ?? plugin.path;
      this.#mention(plugin, weight, stands);
      for (const kind of plugin.kinds) {
        if (kind === 'producer' || kind === 'profile-handler') continue;
        this.#place(plugin, kind, counts[kind], path, stands);
        if (kind === 'scorer') this.#weigh(weight, counts.scorer, path, stands);
        counts[kind] += 1;
      }
    }
    if (counts.picker === 0) this.#defaultPicker(path, from ?? []);
  }

  #place(
    plugin: ListedPlugin,
    kind: 'filter' | 'scorer' | 'picker',
    count: number,
    path: ConfigurationPath,
    from: ConfigurationPath,
  ): void {
    if (kind === 'picker' && count > 0) {
      const text = 'is a second picker; a profile has one';
      this.#translation.fault([...from, 'pluginRef'], 'value', `\`${plugin.name}\` ${text}`);
      return;
    }
    const at = kind === 'picker' ? ['picker'] : [`${kind}s`, count];
    const placed = [...path, ...at];
    place(plugin, placed, from, this.#translation);
    const name = kind === 'picker' ? undefined : this.#plugins.distinctName(plugin);
    if (name !== undefined)
      this.#translation.put([...placed, 'name'], name, [...plugin.path, 'name']);
  }

  #weigh(
    weight: number | null | undefined,
    position: number,
    path: ConfigurationPath,
    from: ConfigurationPath,
  ): void {
    const at = [...path, 'scorers', position, 'weight'];
    this.#translation.put(at, weight ?? 1, [...from, 'weight']);
  }

  /** Tells of references and weights that llm-d passes over too. */
  #mention(plugin: ListedPlugin, weight: number | null | undefined, from: ConfigurationPath): void {
    const { name, kinds, called } = plugin;
    if (!kinds.some((kind) => PROFILE_KINDS.includes(kind))) {
      const text = `\`${name}\` has no effect in a profile: it is ${called}`;
      this.#translation.warn([...from, 'pluginRef'], text);
    } else if (weight !== undefined && weight !== null && !kinds.includes('scorer')) {
      const text = `has no effect: \`${name}\` is ${called}, and only scores are weighted`;
      this.#translation.warn([...from, 'weight'], text);
    }
  }

  /** llm-d takes any picker that is listed before it makes one. */
  #defaultPicker(path: ConfigurationPath, from: ConfigurationPath): void {
    const [listed] = this.#plugins.ofKind('picker');
    if (listed === undefined) {
      this.#translation.put([...path, 'picker'], { type: DEFAULT_PICKER }, from);
      return;
    }
    this.#plugins.use(listed.name);
    place(listed, [...path, 'picker'], listed.path, this.#translation);
  }
}

/** Puts one plugin to our `path`; `from` is what made it be there. */
function place(
  plugin: ListedPlugin,
  path: ConfigurationPath,
  from: ConfigurationPath,
  translation: Translation,
): void {
  const { type } = plugin;
  const today = definitionsOf(type)[0]?.type ?? type;
  const parameters = parametersOf(plugin);
  const bare = Object.keys(parameters).length === 0;
  translation.put(path, bare ? { type: today } : { type: today, parameters }, from);
  translation.trace([...path, 'type'], [...plugin.path, 'type']);
  translation.trace([...path, 'parameters'], [...plugin.path, 'parameters']);
}

/** What of the parameters has an effect; where KV events are is told apart from scheduling. */
function parametersOf({ type, parameters }: ListedPlugin): Readonly<Record<string, unknown>> {
  const [definition] = definitionsOf(type);
  const { kvEventsConfig: _events, ...rest } =
    definition === undefined ? parameters : effectiveParameters(definition, parameters);
  return rest;
}

/** Checks names of other plugins among the parameters: our plugins need none, llm-d's do. */
function checkReferences(plugins: PluginList, translation: Translation): void {
  for (const { parameters, path } of plugins.all) {
    for (const key of REFERENCES) {
      const name = parameters[key];
      if (typeof name !== 'string' || name === '') continue;
      plugins.use(name);
      // llm-d makes producers that are named by their type and not listed.
      const made = definitionsOf(name).some(({ kind }) => kind === 'producer');
      if (made || plugins.find(name) !== null || plugins.isBroken(name)) continue;
      const hint = suggestion(
        name,
        plugins.all.map((plugin) => plugin.name),
      );
      const text = `no plugin is called \`${name}\`${hint}`;
      translation.fault([...path, 'parameters', key], 'value', text);
    }
  }
}

function translateProfileHandler(
  profileCount: number,
  plugins: PluginList,
  translation: Translation,
): void {
  const [handler, second] = plugins.ofKind('profile-handler');
  if (second !== undefined && handler !== undefined) {
    const text = `\`${second.name}\` is a second profile handler beside \`${handler.name}\``;
    translation.fault([...second.path, 'type'], 'value', text);
  } else if (handler !== undefined) {
    place(handler, ['scheduling', 'profileHandler'], handler.path, translation);
  } else if (profileCount > 1 && !plugins.hasBroken) {
    const text =
      'several profiles need a profile handler among the plugins, such as `header-profile-handler`';
    translation.fault(['schedulingProfiles'], 'key', text);
  }
}
