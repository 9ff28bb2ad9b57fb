// The data layer of an EndpointPickerConfig. Warmpath reads metrics and models of its engines by
// itself, so of sources and extractors only the interval comes over; `file-discovery` comes over whole.

import type { ConfigurationPath } from '../explain.js';
import { durationText } from '../units.js';
import type { ListedPlugin, PluginList } from './plugin-list.js';
import type { DataLayer, EndpointPickerFile } from './schema.js';
import type { Translation } from './translation.js';

/** Reads `dataLayer`, or `data` as older files call it. */
export function translateDataLayer(
  file: EndpointPickerFile,
  plugins: PluginList,
  translation: Translation,
): void {
  const key = file.dataLayer ? 'dataLayer' : 'data';
  const layer = file[key];
  if (!layer) return;
  if (file.dataLayer && file.data) {
    translation.fault(['data'], 'key', 'is an older name of `dataLayer`, which is there too');
  }
  translateSources(layer, [key], plugins, translation);
  translateDiscovery(layer, [key], plugins, translation);
  translatePeers(layer, [key], plugins, translation);
  if (!layer.injectDefaults) {
    const text = 'has no effect: Warmpath always reads the metrics of its engines';
    translation.warn([key, 'injectDefaults'], text);
  }
}

function translateSources(
  { sources }: DataLayer,
  path: ConfigurationPath,
  plugins: PluginList,
  translation: Translation,
): void {
  for (const [position, { pluginRef, extractors }] of sources.entries()) {
    const at = [...path, 'sources', position];
    const source = plugins.lookUp(pluginRef, [...at, 'pluginRef']);
    const role = source?.service?.role;
    const notifies = role === 'notification source';
    if (source !== null && role !== 'data source' && !notifies) {
      const text = `\`${pluginRef}\` is ${source.called}, not a data source`;
      translation.fault([...at, 'pluginRef'], 'value', text);
    }
    if (source?.type === 'metrics-data-source') translateInterval(source, translation);
    for (const [index, extractor] of extractors.entries()) {
      const from = [...at, 'extractors', index, 'pluginRef'];
      const plugin = plugins.lookUp(extractor.pluginRef, from);
      // Producers hear of endpoints that come and go from notification sources.
      const fits = plugin?.service?.role === 'extractor' || plugin?.kinds.includes('producer');
      if (plugin === null || fits === true) continue;
      const text = `\`${extractor.pluginRef}\` is ${plugin.called}, not an extractor`;
      translation.fault(from, 'value', text);
    }
  }
}

/** How often metrics are read is the one thing of a source that Warmpath has too. */
function translateInterval(source: ListedPlugin, translation: Translation): void {
  const { interval } = source.parameters;
  if (typeof interval !== 'string') return;
  const from = [...source.path, 'parameters', 'interval'];
  const text = durationText(interval);
  if (text !== null) translation.put(['scrape', 'interval'], text, from);
  else {
    const got = JSON.stringify(interval);
    translation.fault(from, 'value', `expected a duration such as 50ms, 2s or 5m, got ${got}`);
  }
}

function translateDiscovery(
  { discovery }: DataLayer,
  path: ConfigurationPath,
  plugins: PluginList,
  translation: Translation,
): void {
  if (discovery === undefined) return;
  const { endpoints, pluginRef } = discovery;
  const at = [...path, 'discovery', ...(endpoints === undefined ? [] : ['endpoints'])];
  const name = endpoints?.pluginRef ?? pluginRef;
  if (name === undefined) {
    translation.fault(at, 'value', 'needs `pluginRef`');
    return;
  }
  const plugin = plugins.lookUp(name, [...at, 'pluginRef']);
  if (plugin === null) return;
  if (plugin.service?.role !== 'discovery') {
    const text = `\`${name}\` is ${plugin.called}; \`file-discovery\` can be named here`;
    translation.fault([...at, 'pluginRef'], 'value', text);
    return;
  }
  const parameters = [...plugin.path, 'parameters'];
  const { path: file, watchFile = false } = plugin.parameters;
  translation.put(['endpointsFile'], { path: file, watch: watchFile }, plugin.path);
  translation.trace(['endpointsFile', 'path'], [...parameters, 'path']);
  translation.trace(['endpointsFile', 'watch'], [...parameters, 'watchFile']);
}

/** Replicas of Warmpath share nothing, so what is to be shared has no effect. */
function translatePeers(
  layer: DataLayer,
  path: ConfigurationPath,
  plugins: PluginList,
  translation: Translation,
): void {
  const text =
    'has no effect: replicas share nothing, because each follows every engine and counts its own requests';
  if (layer.peerDiscovery !== undefined) {
    plugins.excuse(layer.peerDiscovery.pluginRef);
    translation.warn([...path, 'peerDiscovery'], text);
  }
  if (layer.crossReplicaSyncerPluginRef !== undefined) {
    plugins.excuse(layer.crossReplicaSyncerPluginRef);
    translation.warn([...path, 'crossReplicaSyncerPluginRef'], text);
  } else if (layer.crossReplicaSyncInterval !== undefined) {
    translation.warn([...path, 'crossReplicaSyncInterval'], text);
  }
}
