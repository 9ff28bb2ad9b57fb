// Parsers of an EndpointPickerConfig. Warmpath tells requests apart by their path, so a parser is
// either what it does already or one it does not have.

import type { ConfigurationPath } from '../explain.js';
import type { PluginList } from './plugin-list.js';
import type { EndpointPickerFile } from './schema.js';
import type { Translation } from './translation.js';

/** Reads `requestHandler.parsers` and the older `parser`. */
export function translateRequestHandler(
  file: EndpointPickerFile,
  plugins: PluginList,
  translation: Translation,
): void {
  const refer = (name: string, path: ConfigurationPath): void => {
    const plugin = plugins.lookUp(name, path);
    if (plugin === null || plugin.service?.role === 'parser') return;
    const text = `\`${name}\` is ${plugin.called}, not a parser`;
    translation.fault(path, 'value', text);
  };
  for (const [position, { pluginRef }] of (file.requestHandler?.parsers ?? []).entries()) {
    refer(pluginRef, ['requestHandler', 'parsers', position, 'pluginRef']);
  }
  if (file.parser) refer(file.parser.pluginRef, ['parser', 'pluginRef']);
}
