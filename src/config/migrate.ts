// Writes configurations of llm-d as our own YAML, with comments that say where each part came from and
// what has no effect here. A file of ours that goes with it keeps its comments and its variables.

import path from 'node:path';
import { Document, isMap, isNode, isScalar, isSeq, type YAMLMap } from 'yaml';
import { assert } from '#contracts/assert.js';
import type { ConfigurationPath, ConfigurationProblem, Origin } from './explain.js';
import { ConfigurationError, isMapping } from './explain.js';
import { documentKind } from './llm-d/document-kind.js';
import type { Translation } from './llm-d/translation.js';
import { readText, translate } from './read-parts.js';
import { readYaml } from './yaml-file.js';

const COMMENT_COLUMNS = 96;

export interface MigrationInput {
  /** Files that load together: one of llm-d's, and at most one of ours. */
  readonly files: readonly string[];
  /** Folder of the file to write: paths in it will be relative to that. */
  readonly folder: string;
}

/** The files as one text of our own YAML; throws a ConfigurationError when that cannot be. */
export function migrateConfiguration({ files, folder }: MigrationInput): string {
  let document = new Document({});
  const translations: Translation[] = [];
  let own: string | null = null;
  for (const file of files) {
    const yaml = readYaml(readText(file), file, null);
    const kind = documentKind(yaml, file);
    if (kind !== 'own') translations.push(translate(kind, yaml, file));
    else if (files.length === 1) throw fault(file, 'is a configuration of our own already');
    else if (own !== null) throw fault(file, `is of our own, like ${own}; give one of them`);
    else if (path.resolve(path.dirname(file)) === path.resolve(folder)) {
      document = yaml.document;
      own = file;
    } else throw fault(file, 'its paths are relative to its folder: write there, with --output');
  }
  const [translation] = translations;
  assert(translation !== undefined, "one of several files is llm-d's, because one at most is ours");
  // A file of ours that says nothing has no contents yet.
  if (!isMap(document.contents)) document.contents = document.createNode({});
  add(document, document.contents as YAMLMap, adapted(translation, folder));
  for (const { path: at, origins } of translation.placed()) {
    // A profile's own entries say enough about it.
    if (at.at(-1) !== 'name' && at.at(-1) !== 'weight') comment(document, at, origins);
  }
  const head = headLines(files, translation.warnings);
  const before = document.commentBefore ?? '';
  document.commentBefore = [...head, ...(before === '' ? [] : ['', before])].join('\n');
  return document.toString({ lineWidth: 0 });
}

function fault(file: string, text: string): ConfigurationError {
  return new ConfigurationError([{ source: file, line: null, column: null, path: '', text }]);
}

/** The translated values as they are to be written into a file of `folder`. */
function adapted(translation: Translation, folder: string): Readonly<Record<string, unknown>> {
  const value = structuredClone(translation.value);
  const { endpointsFile } = value;
  if (isMapping(endpointsFile) && typeof endpointsFile['path'] === 'string') {
    const from = path.dirname(translation.source);
    const found = path.resolve(from, endpointsFile['path']);
    const same = path.resolve(from) === path.resolve(folder);
    value['endpointsFile'] = { ...endpointsFile, path: same ? endpointsFile['path'] : found };
  }
  return escaped(value) as Readonly<Record<string, unknown>>;
}

/** `${…}` is text to llm-d and a variable to us. */
function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll(/\$\{\w+(?::-[^}]*)?\}/g, '$$$&');
  if (Array.isArray(value)) return value.map(escaped);
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, escaped(inner)]));
}

/** Adds what is not there yet; mappings that are there get the rest. */
function add(document: Document, map: YAMLMap, values: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(values)) {
    const there = map.get(key, true);
    if (isMapping(value) && isMap(there)) add(document, there, value);
    else map.add(document.createPair(key, value), true);
  }
}

/** Writes above the entry at `at` where it came from. */
function comment(document: Document, at: ConfigurationPath, origins: readonly Origin[]): void {
  const parent = at.length === 1 ? document.contents : document.getIn(at.slice(0, -1), true);
  const last = at.at(-1);
  const text = ` from ${origins.map(placeOf).join(' and ')}`;
  if (isSeq(parent) && typeof last === 'number') {
    const item = parent.items[last];
    if (isNode(item)) item.commentBefore = text;
  } else if (isMap(parent)) {
    const key = parent.items.find(({ key }) => isScalar(key) && key.value === last)?.key;
    if (isScalar(key)) key.commentBefore = text;
  }
}

function placeOf({ line, path }: Origin): string {
  if (path === '') return "llm-d's defaults";
  return line === null ? path : `${path} (line ${line})`;
}

function headLines(
  files: readonly string[],
  warnings: readonly ConfigurationProblem[],
): readonly string[] {
  const names = files.map((file) => path.basename(file)).join(' and ');
  const head = [` Written by \`warmpath config migrate\` from ${names}.`];
  if (warnings.length === 0) return head;
  return [...head, ' Of that has no effect, or another one:', ...warnings.flatMap(wrapped)];
}

function wrapped({ line, path: at, text }: ConfigurationProblem): readonly string[] {
  const place = line === null ? '' : `${at} (line ${line}): `;
  const lines: string[] = [];
  let current = ' -';
  for (const word of `${place}${text}`.split(' ')) {
    if (current.length + word.length + 1 > COMMENT_COLUMNS) {
      lines.push(current);
      current = '  ';
    }
    current += ` ${word}`;
  }
  return [...lines, current];
}
