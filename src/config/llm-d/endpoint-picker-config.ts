// Reads an EndpointPickerConfig: checks its form, looks every name up, and hands each part to the file
// beside this one that knows what it means here. Nothing of the file is passed over in silence.

import type { ConfigurationPath } from '../explain.js';
import { findingsOf } from '../explain.js';
import { keysOf } from '../schema-keys.js';
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
  const parsed = endpointPickerSchema.safeParse(yaml.value);
  if (!parsed.success) {
    const keys = (at: ConfigurationPath): readonly string[] => keysOf(endpointPickerSchema, at);
    for (const { path, at, text } of findingsOf(parsed.error.issues, yaml.value, keys)) {
      translation.fault(path, at, text);
    }
    return translation;
  }
  const file = parsed.data;
  const plugins = new PluginList(file.plugins, translation);
  translateFlowControl(file, plugins, translation);
  translateScheduling(file, plugins, translation);
  translateDataLayer(file, plugins, translation);
  translateRequestHandler(file, plugins, translation);
  translateKvEvents(plugins, translation);
  plugins.finish();
  return translation;
}
