// Reads a YAML text into plain values that remember where they stood, with `${NAME:-default}`
// replaced from the environment that is passed in. Every value can be traced to line and column.

import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml';
import type { ConfigurationPath, ConfigurationProblem } from './explain.js';
import { ConfigurationError } from './explain.js';

/** Line and column, from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface YamlFile {
  readonly value: unknown;
  /** The text as a tree, comments and styles included. */
  readonly document: Document;
  /** Where a path's value (or key) stands; the nearest thing above it when it is not there. */
  place(path: ConfigurationPath, at: 'key' | 'value'): Place;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Nodes an alias may multiply to; a configuration needs few, a "billion laughs" text many. */
const ALIAS_COUNT_MAX = 100;
/** Syntax errors to list; one missing bracket makes thousands. */
const SYNTAX_ERRORS_SHOWN = 10;

/**
 * Parses `text`; throws a ConfigurationError with every syntax error or unset variable. Without an
 * environment `${NAME}` stays as it is.
 */
export function readYaml(text: string, source: string, environment: Environment | null): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const placeOf = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: ConfigurationProblem[] = [];
  const report = ({ offset, text }: Fault): void => {
    problems.push({ source, ...placeOf(offset), path: '', text });
  };
  for (const { pos, message } of document.errors.slice(0, SYNTAX_ERRORS_SHOWN)) {
    report({ offset: pos[0], text: message });
  }
  if (problems.length === 0) {
    const unset = environment === null ? [] : substitute(document, environment);
    for (const fault of [...unset, ...endless(document)]) report(fault);
  }
  if (problems.length > 0) throw new ConfigurationError(problems);
  return {
    value: toValue(document, source),
    document,
    place: (path, at) => placeOf(offsetOf(document, path, at)),
  };
}

function toValue(document: Document, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIAS_COUNT_MAX }) ?? {};
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new ConfigurationError([{ source, line: 1, column: 1, path: '', text }]);
  }
}

/** Offset of the node at `path`, or of the deepest one on the way to it. */
function offsetOf(document: Document, path: ConfigurationPath, at: 'key' | 'value'): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isScalar(item.key) && String(item.key.value) === key,
      );
      const node = at === 'key' && length === path.length ? pair?.key : (pair?.value ?? pair?.key);
      if (isNode(node) && node.range) return node.range[0];
    }
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

interface Fault {
  readonly offset: number;
  readonly text: string;
}

/** Aliases inside what they stand for: their value would have no end. */
function endless(document: Document): readonly Fault[] {
  const faults: Fault[] = [];
  visit(document, {
    Alias: (_position, alias) => {
      const meant = alias.resolve(document)?.range;
      const offset = alias.range?.[0] ?? 0;
      if (meant && meant[0] <= offset && offset < meant[2]) {
        faults.push({ offset, text: `*${alias.source} stands inside what it repeats` });
      }
    },
  });
  return faults;
}

/** Replaces variables in every scalar value; returns those that are not set and have no default. */
function substitute(document: Document, environment: Environment): readonly Fault[] {
  const unset: Fault[] = [];
  visit(document, {
    Scalar: (position, scalar) => {
      const { value } = scalar;
      if (position === 'key' || typeof value !== 'string' || !value.includes('${')) return;
      const text = value.replace(
        /(\$?)\$\{(\w+)(?::-([^}]*))?\}/g,
        (whole, escaped: string, name: string, otherwise: string | undefined) => {
          if (escaped !== '') return whole.slice(1);
          const found = environment[name] ?? otherwise;
          if (found !== undefined) return found;
          const offset = scalar.range?.[0] ?? 0;
          unset.push({
            offset,
            text: `the environment has no ${name}; \${${name}:-…} has a default`,
          });
          return '';
        },
      );
      scalar.value = scalar.type === 'PLAIN' ? plainValue(text) : text;
    },
  });
  return unset;
}

/** What an unquoted scalar means: numbers and truth values as if they had been written there. */
function plainValue(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
