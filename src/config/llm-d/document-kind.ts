// Tells which kind of configuration a file holds, and helps where somebody gives a Kubernetes object
// that holds or uses one.

import type { ConfigurationPath } from '../explain.js';
import { ConfigurationError, isMapping, pathText } from '../explain.js';
import { suggestion } from '../nearest-name.js';
import type { YamlFile } from '../yaml-file.js';

export type DocumentKind = 'own' | 'endpoint-picker-config' | 'external-processor';

const KIND = 'EndpointPickerConfig';
/** The first is today's, the others are of releases before the project moved. */
const API_VERSIONS: readonly string[] = [
  'llm-d.ai/v1alpha1',
  'inference.networking.x-k8s.io/v1alpha1',
  'inference.networking.k8s.io/v1alpha1',
];
/** Type of the one plugin that configurations in articles of 2025 have. */
export const EXTERNAL_PROCESSOR = 'external_processor';

/** Recognises a file; throws a ConfigurationError for kinds that are neither ours nor llm-d's. */
export function documentKind({ value, place }: YamlFile, file: string): DocumentKind {
  const refuse = (path: ConfigurationPath, at: 'key' | 'value', text: string): never => {
    const origin = { source: file, ...place(path, at), path: pathText(path) };
    throw new ConfigurationError([{ ...origin, text }]);
  };
  if (!isMapping(value)) return 'own';
  const { kind, apiVersion, plugins } = value;
  if (hasExternalProcessor(plugins)) return 'external-processor';
  if (kind === undefined) {
    if (apiVersion === undefined && plugins === undefined && !('schedulingProfiles' in value)) {
      return 'own';
    }
    const key = ['apiVersion', 'plugins', 'schedulingProfiles'].find((name) => name in value);
    return refuse(
      [key ?? 'plugins'],
      'key',
      `belongs to an ${KIND}, which begins with \`apiVersion: ${API_VERSIONS[0]}\` and \`kind: ${KIND}\``,
    );
  }
  if (kind !== KIND) return refuse(['kind'], 'value', unknownKind(kind));
  if (apiVersion === undefined) return refuse(['kind'], 'value', 'needs `apiVersion` beside it');
  if (!API_VERSIONS.includes(String(apiVersion))) {
    const known = API_VERSIONS.slice(0, 2).join(' or ');
    return refuse(
      ['apiVersion'],
      'value',
      `expected ${known}, got ${JSON.stringify(apiVersion)}${suggestion(String(apiVersion), API_VERSIONS)}`,
    );
  }
  return 'endpoint-picker-config';
}

function hasExternalProcessor(plugins: unknown): boolean {
  return (
    Array.isArray(plugins) &&
    plugins.some((plugin) => isMapping(plugin) && plugin['type'] === EXTERNAL_PROCESSOR)
  );
}

function unknownKind(kind: unknown): string {
  if (kind === 'ConfigMap') {
    return `a ConfigMap is not read; put the ${KIND} that lies under its \`data\` into a file of its own`;
  }
  if (kind === 'InferenceObjective') {
    return 'an InferenceObjective is not read; write `objectives: {NAME: {priority: N}}` into warmpath.yaml';
  }
  if (kind === 'InferenceModelRewrite') {
    return 'an InferenceModelRewrite is not read; write `modelRewrites: [{match: {model: NAME}, targets: [{model: NAME, weight: N}]}]` into warmpath.yaml';
  }
  return `expected ${KIND}, or none for a configuration of our own, got ${JSON.stringify(kind)}${suggestion(String(kind), [KIND])}`;
}
