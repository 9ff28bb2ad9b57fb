// Lays command-line flags over the values of a file, remembering which value came from which flag,
// so that an error names what the person typed.

import type { ConfigurationFlags } from './configuration.js';
import { parseEndpointFlag } from './endpoints.js';
import type { ConfigurationPath, ConfigurationProblem } from './explain.js';
import { isMapping } from './explain.js';

/** Values with flags laid over them. */
export interface Overlay {
  readonly value: unknown;
  /** The flag that a path's value came from, null when it is the file's. */
  flagOf(path: ConfigurationPath): string | null;
  readonly problems: readonly ConfigurationProblem[];
}

/** The fields a flag can change; all others stay as they are. */
interface Values {
  listen?: unknown;
  admin?: unknown;
  policy?: unknown;
  scheduling?: unknown;
  log?: unknown;
  endpoints?: unknown;
  endpointsFile?: unknown;
  models?: unknown;
}

/** Lays `flags` over `value`, which is left alone when it is no mapping. */
export function overlayFlags(value: unknown, flags: ConfigurationFlags): Overlay {
  const origins = new Map<string, string>();
  const problems: ConfigurationProblem[] = [];
  const flagOf = (path: ConfigurationPath): string | null => {
    for (let length = path.length; length > 0; length -= 1) {
      const origin = origins.get(JSON.stringify(path.slice(0, length)));
      if (origin !== undefined) return origin;
    }
    return null;
  };
  if (!isMapping(value)) return { value, flagOf, problems };
  const result: Values = { ...value };
  const set = (flag: string, path: ConfigurationPath): void => {
    origins.set(JSON.stringify(path), flag);
  };
  const fault = (source: string, text: string): void => {
    problems.push({ source, line: null, column: null, path: '', text });
  };
  if (flags.listen !== undefined) {
    result.listen = flags.listen;
    set('--listen', ['listen']);
  }
  if (flags.admin !== undefined) {
    result.admin = flags.admin;
    set('--admin', ['admin']);
  }
  if (flags.policy !== undefined) {
    result.policy = flags.policy;
    delete result.scheduling;
    set('--policy', ['policy']);
  }
  if (flags.logLevel !== undefined) {
    result.log = { ...recordOf(result.log), level: flags.logLevel };
    set('--log-level', ['log', 'level']);
  }
  overlayEndpoints(result, flags.endpoints ?? [], set, fault);
  overlayTokenizers(result, flags.tokenizers ?? [], set, fault);
  return { value: result, flagOf, problems };
}

type SetOrigin = (flag: string, path: ConfigurationPath) => void;
type Fault = (source: string, text: string) => void;

function overlayEndpoints(
  result: Values,
  endpoints: readonly string[],
  set: SetOrigin,
  fault: Fault,
): void {
  if (endpoints.length === 0) return;
  const entries: unknown[] = [];
  for (const text of endpoints) {
    const source = `--endpoint ${text}`;
    try {
      set(source, ['endpoints', entries.length]);
      entries.push(parseEndpointFlag(text));
    } catch (error) {
      fault(source, error instanceof Error ? error.message : String(error));
    }
  }
  result.endpoints = entries;
  delete result.endpointsFile;
}

function overlayTokenizers(
  result: Values,
  tokenizers: readonly string[],
  set: SetOrigin,
  fault: Fault,
): void {
  const models = { ...recordOf(result.models) };
  for (const text of tokenizers) {
    const equals = text.indexOf('=');
    const model = text.slice(0, Math.max(0, equals));
    if (model === '' || equals === text.length - 1) {
      fault(`--tokenizer ${text}`, 'expected MODEL=DIR');
      continue;
    }
    models[model] = { ...recordOf(models[model]), tokenizer: text.slice(equals + 1) };
    set(`--tokenizer ${text}`, ['models', model, 'tokenizer']);
  }
  if (tokenizers.length > 0) result.models = models;
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return isMapping(value) ? value : {};
}
