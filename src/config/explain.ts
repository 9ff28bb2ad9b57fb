// Says what is wrong with a configuration so that a person can mend it: where (file, line, column
// or flag, path), what was found, what was expected, and the nearest valid name.

import type { z } from 'zod';
import { nearestName, suggestion } from './nearest-name.js';

export type ConfigurationPath = readonly (string | number)[];

/** Where something was written. */
export interface Origin {
  /** File name, or the flag it came from. */
  readonly source: string;
  /** From 1; null where it is in no file. */
  readonly line: number | null;
  readonly column: number | null;
  /** As it is written there; empty for the whole. */
  readonly path: string;
}

/** One thing that is wrong, or worth a warning. */
export interface ConfigurationProblem extends Origin {
  readonly text: string;
}

/** Within one file, as a person reads it. */
export function byPlace(a: Origin, b: Origin): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
}

/**
 * A configuration that cannot be used; `message` lists every problem, one per line, those of a file in
 * its order.
 */
export class ConfigurationError extends Error {
  readonly problems: readonly ConfigurationProblem[];

  constructor(problems: readonly ConfigurationProblem[]) {
    const sources = [...new Set(problems.map(({ source }) => source))];
    const sorted = sources.flatMap((source) =>
      problems.filter((problem) => problem.source === source).toSorted(byPlace),
    );
    super(sorted.map(problemLine).join('\n'));
    this.name = 'ConfigurationError';
    this.problems = sorted;
  }
}

/** A problem or a warning as a person reads it, on one line. */
export function problemLine({ source, line, column, path, text }: ConfigurationProblem): string {
  const place = line === null ? source : `${source}:${line}:${column ?? 1}`;
  return path === '' ? `${place}: ${text}` : `${place}: ${path}: ${text}`;
}

/** A place within a sentence: `warmpath.yaml:3:1 (policy)`. */
export function placeText(origin: Origin | undefined): string {
  if (origin === undefined) return 'another place';
  const { source, line, column, path } = origin;
  const place = line === null ? source : `${source}:${line}:${column ?? 1}`;
  return path === '' ? place : `${place} (${path})`;
}

/** True for a plain mapping. */
export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `endpoints[1].replay`, as people write it. */
export function pathText(path: ConfigurationPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (!/^[\w-]+$/.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

/** A problem before its place is known. `at` says whether the key or the value is to be shown. */
export interface Finding {
  readonly path: ConfigurationPath;
  readonly at: 'key' | 'value';
  readonly text: string;
  /** Of an unknown key: the path that was probably meant. */
  readonly meant?: ConfigurationPath;
  /**
   * Paths beside its own that it was concluded from, also of what is absent. Where one of them could not
   * be read, which is told by itself, the finding only follows from that.
   */
  readonly restsOn?: readonly ConfigurationPath[];
}

/** Turns what a schema found into findings; `known` tells the valid keys of a mapping. */
export function findingsOf(
  issues: readonly z.core.$ZodIssue[],
  value: unknown,
  known: (path: ConfigurationPath) => readonly string[],
): readonly Finding[] {
  const found = issues.flatMap((issue): readonly Finding[] => {
    const path = issue.path.filter((part) => typeof part !== 'symbol');
    if (issue.code === 'unrecognized_keys') {
      const names = known(path);
      return issue.keys.map((key) => unknownKey(path, key, names));
    }
    if (issue.code === 'invalid_union') {
      const inner = meantBranch(issue.errors).map((nested) => ({
        ...nested,
        path: [...issue.path, ...nested.path],
      }));
      if (inner.length > 0) return findingsOf(inner, value, known);
    }
    return [{ path, at: 'value', text: issueText(issue, valueAt(value, path)) }];
  });
  // What stands there under a wrong name is not missing as well.
  const misspelt = new Set(
    found.flatMap(({ meant }) => (meant === undefined ? [] : [pathText(meant)])),
  );
  return found.filter(
    ({ path }) => !misspelt.has(pathText(path)) || valueAt(value, path) !== undefined,
  );
}

function unknownKey(path: ConfigurationPath, key: string, names: readonly string[]): Finding {
  const nearest = nearestName(key, names);
  const text = `unknown key${suggestion(key, names)}`;
  const finding = { path: [...path, key], at: 'key', text } as const;
  return nearest === null ? finding : { ...finding, meant: [...path, nearest] };
}

/** The branch of a union whose outer type fits what was written. */
function meantBranch(
  branches: readonly (readonly z.core.$ZodIssue[])[],
): readonly z.core.$ZodIssue[] {
  const fits = branches.find(
    (branch) => !branch.some(({ code, path }) => code === 'invalid_type' && path.length === 0),
  );
  return fits ?? [];
}

function issueText(issue: z.core.$ZodIssue, found: unknown): string {
  if (issue.code === 'invalid_type' && found === undefined) return 'is missing';
  const got = `, got ${shown(found)}`;
  if (issue.code === 'invalid_value') {
    const names = issue.values.map(String);
    const hint = typeof found === 'string' ? suggestion(found, names) : '';
    return `expected one of ${names.join(', ')}${got}${hint}`;
  }
  if (issue.code === 'invalid_union' && issue.message === 'Invalid input') {
    return `expected text or a mapping${got}`;
  }
  const text = issue.message.replace(/^Invalid input: /, '').replace(/, received .*$/, '');
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}${got}`;
}

function valueAt(value: unknown, path: ConfigurationPath): unknown {
  let found = value;
  for (const part of path) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = Object.hasOwn(found, part) ? Reflect.get(found, part) : undefined;
  }
  return found;
}

const SHOWN_LENGTH_MAX = 80;

function shown(value: unknown): string {
  if (value === null) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= SHOWN_LENGTH_MAX ? text : `${text.slice(0, SHOWN_LENGTH_MAX)}…`;
}
