// A file of llm-d's being read as our own YAML: the values so far, where each came from, and what is to
// be told about the rest. Paths of the file and paths of ours are kept apart by their names.

import type { ConfigurationPath, ConfigurationProblem, Origin } from '../explain.js';
import { pathText } from '../explain.js';
import type { ConfigurationPart } from '../parts.js';
import type { Remains } from '../remains.js';
import type { YamlFile } from '../yaml-file.js';

/** Collects the translation of one file. */
export class Translation {
  readonly problems: ConfigurationProblem[] = [];
  readonly warnings: ConfigurationProblem[] = [];
  readonly value: Record<string, unknown> = {};
  readonly source: string;
  readonly #yaml: YamlFile;
  /** Paths of ours, in the order in which they were put. */
  readonly #placed: ConfigurationPath[] = [];
  /** Path of ours as JSON → path of the file. */
  readonly #origins = new Map<string, ConfigurationPath>();
  /** Where what is read stands in the file. */
  #places: Pick<Remains<unknown>, 'written' | 'fault'> = {
    written: (path) => path,
    fault: (finding) => finding,
  };

  constructor(yaml: YamlFile, source: string) {
    this.#yaml = yaml;
    this.source = source;
  }

  /** Sets our `path` to what the file says at `from`; mappings and lists on the way are made. */
  put(path: ConfigurationPath, value: unknown, from: ConfigurationPath): void {
    let node: object = this.value;
    for (const [index, key] of path.entries()) {
      if (index === path.length - 1) Reflect.set(node, key, value);
      else {
        const inner: unknown = Reflect.get(node, key);
        if (typeof inner === 'object' && inner !== null) node = inner;
        else {
          const made = typeof path[index + 1] === 'number' ? [] : {};
          Reflect.set(node, key, made);
          node = made;
        }
      }
    }
    this.#origins.set(JSON.stringify(path), from);
    this.#placed.push(path);
  }

  /** Says that `from` in the file is behind our `path`, which is already there. */
  trace(path: ConfigurationPath, from: ConfigurationPath): void {
    this.#origins.set(JSON.stringify(path), from);
  }

  /** Tells what a schema refuses; from now on paths are those of what is left. */
  begin(remains: Pick<Remains<unknown>, 'findings' | 'written' | 'fault'>): void {
    for (const { path, at, text } of remains.findings) this.fault(path, at, text);
    this.#places = remains;
  }

  /** A place of what is read, as it is called in the file. */
  writtenAs(path: ConfigurationPath): string {
    return pathText(this.#places.written(path));
  }

  /** Something of the file cannot be used. */
  fault(from: ConfigurationPath, at: 'key' | 'value', text: string): void {
    const found = this.#places.fault({ path: from, at, text });
    if (found !== null) this.problems.push({ ...this.#origin(found.path, at), text });
  }

  /** Something of the file has no effect, or another one. */
  warn(from: ConfigurationPath, text: string): void {
    this.warnings.push({ ...this.#origin(from, 'key'), text });
  }

  /** Something is to be said about the file as a whole. */
  warnWhole(text: string): void {
    this.warnings.push({ source: this.source, line: null, column: null, path: '', text });
  }

  /** Where our `path` was written, in words of the file: the part of it that is known to come over. */
  origin(path: ConfigurationPath, at: 'key' | 'value'): Origin {
    for (let length = path.length; length > 0; length -= 1) {
      const from = this.#origins.get(JSON.stringify(path.slice(0, length)));
      if (from !== undefined) return this.#origin([...from, ...path.slice(length)], at);
    }
    // A mapping that was made on the way stands where the first thing in it does.
    const inner = this.#placed.find((placed) => path.every((key, index) => placed[index] === key));
    const from = inner === undefined ? undefined : this.#origins.get(JSON.stringify(inner));
    return this.#origin(path.length === 0 ? [] : (from ?? []), at);
  }

  /** Every value that was put, with all places it was made from, the decisive one first. */
  placed(): readonly { readonly path: ConfigurationPath; readonly origins: readonly Origin[] }[] {
    return this.#placed.map((path) => {
      const type = this.#origins.get(JSON.stringify([...path, 'type']));
      const first = this.origin(path, 'value');
      if (type === undefined) return { path, origins: [first] };
      const listed = this.#origin(type.slice(0, -1), 'value');
      return { path, origins: listed.path === first.path ? [first] : [first, listed] };
    });
  }

  /** The file as a part of the configuration. */
  part(): ConfigurationPart {
    return {
      kind: 'llm-d',
      source: this.source,
      value: this.value,
      origin: (path, at) => this.origin(path, at),
    };
  }

  #origin(from: ConfigurationPath, at: 'key' | 'value'): Origin {
    return { source: this.source, ...this.#yaml.place(from, at), path: pathText(from) };
  }
}
