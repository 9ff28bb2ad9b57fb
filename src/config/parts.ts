// The parts a configuration is put together from, one per file, all in the shape of our own YAML, and
// where each value of the whole was written. Two files may not say the same thing.

import type { ConfigurationPath, ConfigurationProblem, Origin } from './explain.js';
import { isMapping, placeText } from './explain.js';

/** What one file says, as plain values of our own YAML. */
export interface ConfigurationPart {
  readonly kind: 'own' | 'llm-d';
  /** Path of the file. */
  readonly source: string;
  readonly value: unknown;
  /** Where the value (or key) at a path of ours stands, with the path as it is written there. */
  origin(path: ConfigurationPath, at: 'key' | 'value'): Origin;
}

/** All parts as one. */
export interface MergedParts {
  readonly value: unknown;
  /** The part that gives a path's value; null when there is no part. */
  partOf(path: ConfigurationPath): ConfigurationPart | null;
}

/** Keys that answer the same question: only one file may have any of them. */
const SCHEDULING: readonly string[] = ['policy', 'scheduling'];

/** Merges mappings key by key; what is given twice goes to `report` with both places. */
export function mergeParts(
  parts: readonly ConfigurationPart[],
  report: (problem: ConfigurationProblem) => void,
): MergedParts {
  const [only] = parts;
  // A file that holds no mapping is the schema's to explain.
  if (parts.length < 2) return { value: only?.value ?? {}, partOf: () => only ?? null };
  const owners = new Map<string, ConfigurationPart>();
  const partOf = (path: ConfigurationPath): ConfigurationPart | null => {
    for (let length = path.length; length > 0; length -= 1) {
      const owner = owners.get(JSON.stringify(path.slice(0, length)));
      if (owner !== undefined) return owner;
    }
    return only ?? null;
  };
  const value: Record<string, unknown> = {};
  for (const part of parts) {
    if (!isMapping(part.value)) {
      const text = 'is no mapping, and so cannot go together with another file';
      report({ ...part.origin([], 'value'), text });
      continue;
    }
    const taken = SCHEDULING.find((key) => Object.hasOwn(value, key));
    const given = SCHEDULING.find((key) => Object.hasOwn(part.value as object, key));
    if (taken !== undefined && given !== undefined) {
      const other = partOf([taken])?.origin([taken], 'key');
      const text = `scheduling is already given at ${placeText(other)}; one file decides it`;
      report({ ...part.origin([given], 'key'), text });
    }
    const rest = taken === undefined ? part.value : withoutScheduling(part.value);
    merge(value, rest, [], part, { owners, partOf, report });
  }
  return { value, partOf };
}

function withoutScheduling(value: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !SCHEDULING.includes(key)));
}

interface Merging {
  readonly owners: Map<string, ConfigurationPart>;
  partOf(path: ConfigurationPath): ConfigurationPart | null;
  report(problem: ConfigurationProblem): void;
}

function merge(
  into: Record<string, unknown>,
  from: Readonly<Record<string, unknown>>,
  path: ConfigurationPath,
  part: ConfigurationPart,
  merging: Merging,
): void {
  for (const [key, value] of Object.entries(from)) {
    const at = [...path, key];
    if (!Object.hasOwn(into, key)) {
      // A copy, because later parts are merged into it.
      into[key] = structuredClone(value);
      merging.owners.set(JSON.stringify(at), part);
      continue;
    }
    const there = into[key];
    if (isMapping(there) && isMapping(value)) {
      merge(there as Record<string, unknown>, value, at, part, merging);
      continue;
    }
    const other = merging.partOf(at)?.origin(at, 'key');
    const text = `is already given at ${placeText(other)}`;
    merging.report({ ...part.origin(at, 'key'), text });
  }
}
