// Where llm-d looks for KV events, read as where Warmpath looks for those of engines that do not tell
// it themselves: a port on every host, or one address that all engines connect to.

import { z } from 'zod';
import type { ConfigurationPath } from '../explain.js';
import type { ListedPlugin, PluginList } from './plugin-list.js';
import type { Translation } from './translation.js';

/** vLLM's own default port too. */
const SOCKET_PORT = 5557;
const TOPIC_FILTER = 'kv@';
/** Model names of samples that nobody has filled in. */
const PLACEHOLDER = /^hf-repo\//;

/** The fields that come over; the plugin's own schema has checked all of them. */
const schema = z.object({
  topicFilter: z.string().default(TOPIC_FILTER),
  zmqEndpoint: z.string().default(''),
  discoverPods: z.boolean().default(true),
  podDiscoveryConfig: z
    .object({
      socketPort: z.int().default(SOCKET_PORT),
      replaySocketPort: z.int().default(0),
    })
    .prefault({}),
});

type KvEvents = z.output<typeof schema>;

/** Types that have `kvEventsConfig` among their parameters. */
const KV_EVENT_TYPES: readonly string[] = [
  'precise-prefix-cache-producer',
  'precise-prefix-cache-scorer',
];

/** Reads `kvEventsConfig`, with llm-d's defaults where the plugin is there without it. */
export function translateKvEvents(plugins: PluginList, translation: Translation): void {
  const plugin = plugins.all.find(({ type }) => KV_EVENT_TYPES.includes(type));
  if (plugin === undefined) return;
  const path = [...plugin.path, 'parameters', 'kvEventsConfig'];
  const written = plugin.parameters['kvEventsConfig'] ?? {};
  const parsed = schema.safeParse(written);
  // What is wrong has been told with the other parameters of the plugin.
  if (!parsed.success) return;
  const settings = parsed.data;
  tellIgnored(settings, path, translation);
  if (settings.zmqEndpoint !== '') bind(settings, path, plugins, translation);
  else if (settings.discoverPods) dial(settings, path, plugin, translation);
}

function dial(
  { podDiscoveryConfig: { socketPort, replaySocketPort } }: KvEvents,
  path: ConfigurationPath,
  plugin: ListedPlugin,
  translation: Translation,
): void {
  if (socketPort === 0) return;
  const written = plugin.parameters['kvEventsConfig'] === undefined ? plugin.path : path;
  translation.put(['events', 'port'], socketPort, written);
  putReplayPort(replaySocketPort, path, translation);
}

/** The engines' topics tell them apart; they hold the model, which only a token producer names. */
function bind(
  { zmqEndpoint, podDiscoveryConfig: { replaySocketPort } }: KvEvents,
  path: ConfigurationPath,
  plugins: PluginList,
  translation: Translation,
): void {
  const at = [...path, 'zmqEndpoint'];
  const model = plugins.all
    .map(({ parameters }) => parameters['modelName'])
    .find((name) => typeof name === 'string' && !PLACEHOLDER.test(name));
  if (model === undefined) {
    const text = `has no effect: the topics of engines that connect hold the model, which is not named here; engines that do not tell need \`events: {bind: ${JSON.stringify(zmqEndpoint)}, topic: "kv@{host}:{port}@MODEL"}\` in warmpath.yaml`;
    translation.warn(at, text);
    return;
  }
  translation.put(['events', 'bind'], zmqEndpoint, at);
  translation.put(['events', 'topic'], `${TOPIC_FILTER}{host}:{port}@${model}`, at);
  putReplayPort(replaySocketPort, path, translation);
}

function putReplayPort(port: number, path: ConfigurationPath, translation: Translation): void {
  if (port === 0) return;
  const from = [...path, 'podDiscoveryConfig', 'replaySocketPort'];
  translation.put(['events', 'replayPort'], port, from);
}

function tellIgnored(
  { topicFilter }: KvEvents,
  path: ConfigurationPath,
  translation: Translation,
): void {
  // The rest that has no effect is in the plugin's own list.
  if (topicFilter === TOPIC_FILTER || topicFilter === '') return;
  const text =
    "has no effect: every topic of an endpoint's own socket is its; `endpoints[].topic` narrows it";
  translation.warn([...path, 'topicFilter'], text);
}
