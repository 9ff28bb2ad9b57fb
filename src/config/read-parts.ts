// Reads configuration files, each of whichever kind it is: our own YAML, an EndpointPickerConfig of
// llm-d, or the older form of that. What is wrong in any of them is told for all at once.

import { readFileSync } from 'node:fs';
import type { ConfigurationProblem } from './explain.js';
import { byPlace, ConfigurationError, pathText } from './explain.js';
import { documentKind } from './llm-d/document-kind.js';
import { translateEndpointPickerConfig } from './llm-d/endpoint-picker-config.js';
import { translateExternalProcessor } from './llm-d/external-processor.js';
import type { Translation } from './llm-d/translation.js';
import type { ConfigurationPart } from './parts.js';
import type { Environment, YamlFile } from './yaml-file.js';
import { readYaml } from './yaml-file.js';

/** What files say, and what is to be told about them. */
export interface ReadParts {
  readonly parts: readonly ConfigurationPart[];
  readonly warnings: readonly ConfigurationProblem[];
  /** What is wrong in files that are no part because of it. */
  readonly problems: readonly ConfigurationProblem[];
}

/** Reads the files, as many of them as can be read. */
export function readParts(files: readonly string[], environment: Environment): ReadParts {
  const parts: ConfigurationPart[] = [];
  const warnings: ConfigurationProblem[] = [];
  const problems: ConfigurationProblem[] = [];
  for (const file of files) {
    try {
      const read = readPart(file, environment);
      parts.push(read.part);
      warnings.push(...read.warnings);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      problems.push(...error.problems);
    }
  }
  // llm-d's do not go together: a profile names plugins of its own file, and of all of them.
  const [first, ...others] = parts.filter(({ kind }) => kind === 'llm-d');
  for (const { source } of others) {
    const text = `is a second EndpointPickerConfig; the first is ${first?.source}`;
    problems.push({ source, line: null, column: null, path: '', text });
  }
  return { parts: parts.filter((part) => !others.includes(part)), warnings, problems };
}

interface ReadPart {
  readonly part: ConfigurationPart;
  readonly warnings: readonly ConfigurationProblem[];
}

function readPart(file: string, environment: Environment): ReadPart {
  const text = readText(file);
  // llm-d replaces nothing, so its files may hold `${…}` as it is.
  const plain = readYaml(text, file, null);
  const kind = documentKind(plain, file);
  if (kind === 'own') {
    return { part: ownPart(readYaml(text, file, environment), file), warnings: [] };
  }
  const translation = translate(kind, plain, file);
  return { part: translation.part(), warnings: translation.warnings.toSorted(byPlace) };
}

/** Reads a file of llm-d's as our own YAML; throws a ConfigurationError with what is wrong in it. */
export function translate(
  kind: 'endpoint-picker-config' | 'external-processor',
  yaml: YamlFile,
  file: string,
): Translation {
  const translation =
    kind === 'endpoint-picker-config'
      ? translateEndpointPickerConfig(yaml, file)
      : translateExternalProcessor(yaml, file);
  if (translation.problems.length > 0) {
    throw new ConfigurationError(translation.problems);
  }
  return translation;
}

function ownPart(yaml: YamlFile, file: string): ConfigurationPart {
  return {
    kind: 'own',
    source: file,
    value: yaml.value,
    origin: (path, at) => ({ source: file, ...yaml.place(path, at), path: pathText(path) }),
  };
}

/** Text of a configuration file; throws a ConfigurationError when it cannot be read. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const problem = { source: file, line: null, column: null, path: '' };
    throw new ConfigurationError([{ ...problem, text: `cannot be read: ${reason}` }]);
  }
}
