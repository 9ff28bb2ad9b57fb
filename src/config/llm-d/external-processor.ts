// The form that articles of 2025 show for cache-aware routing: one plugin `external_processor` with
// discovery, cache and routing. Its algorithm is read as one of our policies; the rest is explained.

import { z } from 'zod';
import type { PolicyName } from '../configuration.js';
import type { ConfigurationPath } from '../explain.js';
import { suggestion } from '../nearest-name.js';
import { readRemains } from '../remains.js';
import type { YamlFile } from '../yaml-file.js';
import { EXTERNAL_PROCESSOR } from './document-kind.js';
import { Translation } from './translation.js';

const anything = z.record(z.string(), z.unknown());
const settings = {
  discovery: z
    .strictObject({
      label_selector: z.union([z.string(), z.record(z.string(), z.string())], {
        error: 'expected labels such as app=vllm',
      }),
      namespace: z.string().optional(),
    })
    .optional(),
  cache: anything.optional(),
  routing: z
    .strictObject({
      algorithm: z.string().optional(),
      session_affinity: z.union([z.boolean(), z.string()]).optional(),
    })
    .optional(),
};
const form = z.strictObject(settings);

const schema = z.strictObject({
  apiVersion: z.string().optional(),
  kind: z.string().optional(),
  plugins: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        type: z.string(),
        ...settings,
        config: form.optional(),
        parameters: form.optional(),
      }),
    )
    .length(1, `expected \`${EXTERNAL_PROCESSOR}\` alone`),
});

type Settings = z.output<typeof form>;

const POLICY_OF: Readonly<Record<string, PolicyName>> = {
  'prefix-aware': 'precise',
  'prefix-cache-aware': 'precise',
  'cache-aware': 'precise',
  'kv-cache-aware': 'precise',
  'kvcache-aware': 'precise',
  'load-aware': 'load-aware',
  'least-loaded': 'load-aware',
  'least-request': 'load-aware',
  'least-requests': 'load-aware',
  random: 'random',
  'round-robin': 'round-robin',
};
const SESSIONS: readonly string[] = ['session-affinity', 'session-aware', 'sticky'];
const WRITE_SESSIONS =
  'write `{type: session-affinity-scorer, weight: 10}` among `scheduling.profile.scorers` in warmpath.yaml instead';

/** Translates the file; what is wrong is in the translation's `problems`. */
export function translateExternalProcessor(yaml: YamlFile, source: string): Translation {
  const translation = new Translation(yaml, source);
  const remains = readRemains(schema, yaml.value);
  translation.begin(remains);
  for (const [position, plugin] of (remains.data?.plugins ?? []).entries()) {
    const path = ['plugins', position];
    translateSettings(plugin, path, translation);
    for (const key of ['config', 'parameters'] as const) {
      if (plugin[key] !== undefined) translateSettings(plugin[key], [...path, key], translation);
    }
  }
  translation.warnWhole(
    'is of a form that llm-d no longer reads; `warmpath config migrate` writes it as our own YAML',
  );
  return translation;
}

function translateSettings(
  { discovery, cache, routing }: Settings,
  path: ConfigurationPath,
  translation: Translation,
): void {
  if (discovery !== undefined) {
    const text =
      'has no effect: endpoints are not looked for in Kubernetes; give them with --endpoint or as `endpoints` in warmpath.yaml';
    translation.warn([...path, 'discovery'], text);
  }
  if (cache !== undefined) {
    const text =
      'has no effect: the index follows the KV events of the engines and is as large as their caches; `index.blockCapacity` fixes its size';
    translation.warn([...path, 'cache'], text);
  }
  if (routing?.algorithm !== undefined) {
    translateAlgorithm(routing.algorithm, [...path, 'routing', 'algorithm'], translation);
  }
  const sticky = routing?.session_affinity ?? false;
  if (sticky !== false && sticky !== 'false') {
    const from = [...path, 'routing', 'session_affinity'];
    translation.fault(from, 'value', `\`session_affinity\` is not translated; ${WRITE_SESSIONS}`);
  }
}

function translateAlgorithm(
  written: string,
  from: ConfigurationPath,
  translation: Translation,
): void {
  const algorithm = written.toLowerCase().replaceAll(/[_ ]/g, '-');
  const policy = Object.hasOwn(POLICY_OF, algorithm) ? POLICY_OF[algorithm] : undefined;
  if (policy !== undefined) translation.put(['policy'], policy, from);
  else if (SESSIONS.includes(algorithm)) {
    translation.fault(from, 'value', `\`${written}\` is not translated; ${WRITE_SESSIONS}`);
  } else {
    const hint = suggestion(algorithm, [...Object.keys(POLICY_OF), ...SESSIONS]);
    const text = `unknown algorithm \`${written}\`${hint || `; there are ${Object.keys(POLICY_OF).join(', ')}`}`;
    translation.fault(from, 'value', text);
  }
}
