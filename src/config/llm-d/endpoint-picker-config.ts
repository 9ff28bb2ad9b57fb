// Reads an EndpointPickerConfig: checks its form, looks every name up, and hands each part to the file
// beside this one that knows what it means here. Nothing of the file is passed over in silence.

import { isMapping } from '../explain.js';
import { type Dropped, readRemains } from '../remains.js';
import type { YamlFile } from '../yaml-file.js';
import { translateDataLayer } from './data-layer.js';
import { translateFlowControl } from './flow-control.js';
import { translateKvEvents } from './kv-events.js';
import { PluginList } from './plugin-list.js';
import { translateRequestHandler } from './request-handler.js';
import { translateScheduling } from './scheduling.js';
import { endpointPickerSchema } from './schema.js';
import { Translation } from './translation.js';

/** Translates the file; what is wrong is in the translation's `problems`. */
export function translateEndpointPickerConfig(yaml: YamlFile, source: string): Translation {
  const translation = new Translation(yaml, source);
  const remains = readRemains(endpointPickerSchema, yaml.value);
  translation.begin(remains);
  const file = remains.data;
  if (file === null) return translation;
  const plugins = new PluginList(file.plugins, translation, unusableEntries(remains.dropped));
  translateFlowControl(file, plugins, translation);
  translateScheduling(file, plugins, translation);
  translateDataLayer(file, plugins, translation);
  translateRequestHandler(file, plugins, translation);
  translateKvEvents(plugins, translation);
  plugins.finish();
  return translation;
}

/** Names of entries of `plugins` that cannot be used; null for one whose name nobody can tell. */
function unusableEntries(dropped: readonly Dropped[]): readonly (string | null)[] {
  return dropped.flatMap(({ path, value }) => {
    if (path.length !== 2 || path[0] !== 'plugins') return [];
    const name = isMapping(value) ? (value['name'] ?? value['type']) : null;
    return [typeof name === 'string' ? name : null];
  });
}
