// The house rules of CONTRIBUTING.md that no linter knows, as ordinary tests over the sources.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '#test/support/paths.js';

/** What each folder of src may import besides itself; `*` is everything. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  contracts: [],
  wire: ['contracts'],
  plugins: ['contracts'],
  config: ['contracts', 'plugins/catalogue', 'plugins/refused'],
  // What both cores use: files directly in src/core.
  core: ['contracts'],
  'core/portable': ['contracts', 'wire', 'core/*.js'],
  'core/native': ['contracts', 'core/*.js'],
  request: ['contracts'],
  fleet: ['contracts'],
  observability: ['contracts'],
  events: ['contracts', 'wire'],
  // Of the core only rendering: a second account of how vLLM renders could only be wrong.
  simulation: [
    'contracts',
    'wire',
    'request',
    'events',
    'fleet',
    'plugins/catalogue',
    'core/portable/prompt',
    'core/*.js',
  ],
  workers: [
    'contracts',
    'wire',
    'plugins',
    'core',
    'request',
    'fleet',
    'observability',
    'events',
    'simulation',
  ],
  main: ['*'],
};

/** Each third-party package is imported by one folder, behind our own interface. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  zeromq: ['wire'],
  '@msgpack/msgpack': ['wire'],
  piscina: ['core/portable'],
  tokenizers: ['core/portable', 'simulation'],
  '@huggingface/jinja': ['core/portable'],
  '@node-rs/xxhash': ['core', 'core/portable'],
  undici: ['core', 'core/portable', 'main'],
  'prom-client': ['observability'],
  pino: ['observability', 'main'],
  zod: ['config', 'plugins'],
  yaml: ['config'],
  commander: ['main'],
};

const FILE_LINES_MAX = 400;
const PLUGIN_LINES_MAX = 150;
const FUNCTION_LINES_MAX = 70;

interface Source {
  readonly file: string;
  readonly folder: string;
  readonly text: string;
  readonly lines: readonly string[];
}

const sources = readSources();

test('every source file is short and begins with a sentence on what it is for', () => {
  for (const { file, folder, lines } of sources) {
    const most = folder === 'plugins' ? PLUGIN_LINES_MAX : FILE_LINES_MAX;
    assert.ok(lines.length <= most + 1, `${file} has ${lines.length} lines, more than ${most}`);
    assert.match(lines[0] ?? '', /^\/\/ \S/, `${file} lacks its header sentence`);
  }
});

test('every function fits on a screen', () => {
  for (const { file, lines } of sources) {
    for (const [start, length] of functionLengths(lines)) {
      assert.ok(
        length <= FUNCTION_LINES_MAX,
        `${file}:${start + 1} is ${length} lines long, more than ${FUNCTION_LINES_MAX}`,
      );
    }
  }
});

test('folders import only what their layer allows', () => {
  for (const { file, folder, text } of sources) {
    const allowed = LAYERS[folder];
    assert.ok(allowed !== undefined, `${file}: folder ${folder} is not in the layer table`);
    for (const target of importsOf(text)) {
      if (target.startsWith('#')) {
        const name = target.slice(1);
        const fine =
          allowed.includes('*') ||
          name.startsWith(`${folder}/`) ||
          allowed.some((a) => name.startsWith(a)) ||
          (allowed.includes('core/*.js') && /^core\/[\w-]+\.js$/.test(name));
        assert.ok(fine, `${file} may not import ${target}`);
        assert.ok(!name.startsWith(`${folder}/`), `${file}: import ${target} relatively`);
      } else if (target.startsWith('.')) {
        const resolved = path.join(path.dirname(file), target);
        assert.equal(folderOf(resolved), folder, `${file}: import ${target} by its # name`);
      } else if (!target.startsWith('node:')) {
        const owners = PACKAGES[packageName(target)];
        assert.ok(owners !== undefined, `${file}: package ${target} is in no layer`);
        assert.ok(
          owners.includes(folder),
          `${file} may not import ${target}; ${owners.join(', ')} may`,
        );
      }
    }
  }
});

test('time, randomness and environment come in as arguments', () => {
  const banned =
    /\b(Date\.now|new Date\(\)|Math\.random|setTimeout|setInterval|process\.env|performance\.now)\b/;
  for (const { file, folder, lines } of sources) {
    if (folder === 'main' || folder === 'workers') continue;
    for (const [index, line] of lines.entries()) {
      if (/^\s*(\/\/|\*|\/\*)/.test(line)) continue;
      assert.ok(!banned.test(line), `${file}:${index + 1} reads ${banned.exec(line)?.[0] ?? ''}`);
    }
  }
});

test('nothing unfinished, no switched-off types, no paths of one machine', () => {
  const words = [
    'TO' + 'DO',
    'FIX' + 'ME',
    'X' + 'XX',
    '@ts-' + 'ignore',
    '@ts-' + 'nocheck',
    'biome-' + 'ignore',
  ];
  for (const { file, text } of [...sources, ...readFolder('test'), ...readFolder('bench')]) {
    for (const word of words) assert.ok(!text.includes(word), `${file} contains ${word}`);
  }
});

function readSources(): readonly Source[] {
  return readFolder('src');
}

function readFolder(top: string): readonly Source[] {
  let names: string[];
  try {
    names = readdirSync(path.join(repositoryRoot, top), { recursive: true }).map(String);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => {
      const file = path.join(top, name);
      const text = readFileSync(path.join(repositoryRoot, file), 'utf8');
      return { file, folder: folderOf(file), text, lines: text.split('\n') };
    });
}

/** `src/core/portable/index/match.ts` → `core/portable`; files and other folders by their first. */
function folderOf(file: string): string {
  const [, first = '', second = ''] = file.split(path.sep);
  return first === 'core' && !/\.[jt]s$/.test(second) ? `core/${second}` : first;
}

function importsOf(text: string): readonly string[] {
  const found = text.matchAll(
    /(?:^|\n)(?:import|export)\s[^'"]*?from '([^']+)'|import\('([^']+)'\)/g,
  );
  return [...found].map((match) => match[1] ?? match[2] ?? '');
}

function packageName(target: string): string {
  const parts = target.split('/');
  return target.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
}

/** Functions and methods by indentation: formatted code closes each on its own column. */
function functionLengths(lines: readonly string[]): readonly (readonly [number, number])[] {
  const opening =
    /^( *)(?:(?:export )?(?:async )?function\b|(?:static )?(?:async )?(?:get |set )?[#\w]+\((?:.*\{)?$)/;
  const found: [number, number][] = [];
  for (const [start, line] of lines.entries()) {
    const match = opening.exec(line);
    if (match === null) continue;
    if (/^\s*(if|for|while|switch|return|catch|else)\b/.test(line)) continue;
    const closing = `${match[1] ?? ''}}`;
    const length = lines.slice(start).indexOf(closing);
    if (length > 0) found.push([start, length + 1]);
  }
  return found;
}
