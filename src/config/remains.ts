// What is left of a value once everything a schema refuses has been taken out, so that one fault does
// not hide the others: the rest is read as if the faulty parts were not there, and its faults are told
// where they stand in what was written.

import type { z } from 'zod';
import type { ConfigurationPath, Finding } from './explain.js';
import { findingsOf } from './explain.js';
import { keysOf } from './schema-keys.js';

/** A value without its faulty parts, read by its schema. */
export interface Remains<Data> {
  /** What the schema refuses in the value, in words. */
  readonly findings: readonly Finding[];
  /** Null when nothing is left that could be read. */
  readonly data: Data | null;
  /** What was taken out of lists, as it was written. */
  readonly dropped: readonly Dropped[];
  /** Where a path of what is left stands in what was written. */
  written(path: ConfigurationPath): ConfigurationPath;
  /**
   * A fault of what is left, where it was written; null where it may only follow from one that is told:
   * something was taken out there or below, or where it rests on.
   */
  fault(finding: Finding): Finding | null;
}

/** An entry of a list that could not be used. */
export interface Dropped {
  readonly path: ConfigurationPath;
  readonly value: unknown;
}

/** Taking something out brings the next fault to light, as a mapping without what it needs. */
const ROUNDS_MAX = 16;
const HOLE: unique symbol = Symbol('taken out');

/** Reads `value`; what the schema refuses is told once and then taken out. */
export function readRemains<Data>(schema: z.ZodType<Data>, value: unknown): Remains<Data> {
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    return { findings: [], data: parsed.data, dropped: [], ...WHOLE };
  }
  const keys = (at: ConfigurationPath): readonly string[] => keysOf(schema, at);
  const findings = findingsOf(parsed.error.issues, value, keys);
  const rest = new Rest(value);
  const told = [...findings];
  let found = findings;
  for (let round = 0; round < ROUNDS_MAX && rest.takeOut(found); round += 1) {
    const next = schema.safeParse(rest.value);
    if (next.success) return remainsOf(rest, told, next.data);
    found = findingsOf(next.error.issues, rest.value, keys);
    for (const finding of found) {
      const placed = rest.fault(finding);
      if (placed !== null) told.push(placed);
    }
  }
  return { findings: told, data: null, dropped: [], ...NOTHING };
}

type Places = Pick<Remains<unknown>, 'written' | 'fault'>;
const WHOLE: Places = { written: (path) => path, fault: (finding) => finding };
const NOTHING: Places = { written: (path) => path, fault: () => null };

function remainsOf<Data>(rest: Rest, findings: readonly Finding[], data: Data): Remains<Data> {
  return {
    findings,
    data,
    dropped: rest.dropped,
    written: (path) => rest.written(path),
    fault: (finding) => rest.fault(finding),
  };
}

/** Where something was taken out, and where it was probably meant to be. */
interface Taken {
  readonly path: ConfigurationPath;
  readonly meant: ConfigurationPath | undefined;
}

/** A copy of a value that parts are taken out of. */
class Rest {
  readonly value: unknown;
  readonly dropped: Dropped[] = [];
  /** List → where each of its entries was at first. */
  readonly #positions = new WeakMap<readonly unknown[], readonly number[]>();
  readonly #taken: Taken[] = [];
  readonly #whole: unknown;

  constructor(value: unknown) {
    this.#whole = value;
    this.value = structuredClone(value);
  }

  /** Takes out what was found wrong; false when the whole would have to go. */
  takeOut(found: readonly Finding[]): boolean {
    const whole = found.some(({ path, meant }) => !this.#takeOut(path, meant));
    close(this.value, this.#positions);
    return !whole && found.length > 0;
  }

  fault(finding: Finding): Finding | null {
    const path = this.written(finding.path);
    if (this.#taken.some(({ path: taken }) => begins(taken, path))) return null;
    const ground = [finding.path, ...(finding.restsOn ?? [])];
    return ground.some((read) => this.#isDoubtful(read)) ? null : { ...finding, path };
  }

  /** Whether what is read at `path` is not what was meant there, for all that is known. */
  #isDoubtful(path: ConfigurationPath): boolean {
    const written = this.written(path);
    const absent = nodeAt(this.value, path) === undefined;
    const list = written.slice(0, -1);
    return this.#taken.some(({ path: taken, meant }) => {
      if (begins(written, taken)) return true;
      if (!absent) return false;
      if (meant !== undefined) return begins(written, meant);
      // What a list lacks may be any of the entries that went.
      return (
        taken.length === written.length && typeof taken.at(-1) === 'number' && begins(taken, list)
      );
    });
  }

  /** What is missing, or part of something that is no mapping, goes with what it belongs to. */
  #takeOut(path: ConfigurationPath, meant?: ConfigurationPath): boolean {
    const key = path.at(-1);
    if (key === undefined) return false;
    const parent = nodeAt(this.value, path.slice(0, -1));
    if (typeof parent !== 'object' || parent === null || !Object.hasOwn(parent, key)) {
      return this.#takeOut(path.slice(0, -1));
    }
    const written = this.written(path);
    if (!Array.isArray(parent)) Reflect.deleteProperty(parent, key);
    else if (parent[Number(key)] !== HOLE) {
      this.dropped.push({ path: written, value: nodeAt(this.#whole, written) });
      // The others keep their places until all paths of the round are done.
      parent[Number(key)] = HOLE;
    }
    this.#taken.push({ path: written, meant: meant && this.written(meant) });
    return true;
  }

  written(path: ConfigurationPath): ConfigurationPath {
    let node: unknown = this.value;
    return path.map((key) => {
      const positions = Array.isArray(node) ? this.#positions.get(node) : undefined;
      node = nodeAt(node, [key]);
      return typeof key === 'number' ? (positions?.[key] ?? key) : key;
    });
  }
}

/** Whether `path` is `beginning` or goes on from there. */
function begins(path: ConfigurationPath, beginning: ConfigurationPath): boolean {
  return beginning.every((key, at) => path[at] === key);
}

/** Removes the holes of all lists and remembers where the rest was. */
function close(node: unknown, positions: WeakMap<readonly unknown[], readonly number[]>): void {
  if (typeof node !== 'object' || node === null) return;
  if (Array.isArray(node) && node.includes(HOLE)) {
    const before = positions.get(node) ?? node.map((_entry, at) => at);
    positions.set(
      node,
      before.filter((_position, at) => node[at] !== HOLE),
    );
    node.splice(0, node.length, ...node.filter((entry) => entry !== HOLE));
  }
  for (const inner of Object.values(node)) close(inner, positions);
}

function nodeAt(value: unknown, path: ConfigurationPath): unknown {
  let node = value;
  for (const key of path) {
    if (typeof node !== 'object' || node === null || !Object.hasOwn(node, key)) return undefined;
    node = Reflect.get(node, key);
  }
  return node;
}
