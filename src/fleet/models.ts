// What the fleet serves: the merged /v1/models list, and the directory from model id to pool,
// adapter and endpoints. Pure functions over the endpoints; a model keeps its index for good,
// because encode records name models by index.

import type { Endpoint, ServedModel } from '#contracts/endpoint.js';
import { BLOCK_SIZE_MAX, FLEET_MODELS_MAX } from '#contracts/limits.js';

/** One servable model. Its position in the directory is its index. */
export interface FleetModel {
  readonly index: number;
  readonly id: string;
  /** Base model's id: one pool, one key space. */
  readonly pool: string;
  /** Adapter name in the keys, empty for the base model. */
  readonly adapter: string;
  /** Shortest context of the endpoints serving it, in tokens; null when none tells. */
  readonly maxModelLen: number | null;
  /** Where the engines loaded the base model from, most frequent first. */
  readonly roots: readonly string[];
  /** Endpoints serving it, by slot; empty once nobody does (its index stays taken). */
  readonly slots: readonly number[];
}

/** A directory, and ids that mean different things on different endpoints. */
export interface ModelDirectory {
  readonly models: readonly FleetModel[];
  /** One sentence per conflict; the reading that came first is kept. */
  readonly conflicts: readonly string[];
}

/** Pool of every base model id of the fleet. */
export type PoolNames = ReadonlyMap<string, string>;

/**
 * Names the pools. Base models that one engine lists under the same root are aliases of one model
 * and share a pool, also with engines that list only some of the aliases; it is called after the
 * first alias of the lowest slot. Different roots (a proxy in front of several engines) stay apart.
 */
export function poolNames(endpoints: readonly Endpoint[]): PoolNames {
  const names = new Map<string, string>();
  for (const endpoint of endpoints) {
    const bases = endpoint.models.filter((model) => model.parent === null);
    for (const base of bases) {
      const first = bases.find((other) => other.root === base.root) ?? base;
      merge(names, names.get(first.id) ?? first.id, names.get(base.id) ?? base.id);
    }
  }
  return names;
}

/** Makes two groups of aliases one, called `name`. */
function merge(names: Map<string, string>, name: string, other: string): void {
  names.set(name, name);
  names.set(other, name);
  for (const [id, pool] of names) if (pool === other) names.set(id, name);
}

/** Pool that an endpoint's cache belongs to: its first base model's. null when it lists none. */
export function poolOf(endpoint: Endpoint, names: PoolNames): string | null {
  const first = endpoint.models.find((model) => model.parent === null) ?? endpoint.models[0];
  return first === undefined ? null : poolOfModel(first, names);
}

/** Pool of one served model: its parent's for an adapter. */
function poolOfModel(model: ServedModel, names: PoolNames): string {
  const base = model.parent ?? model.id;
  return names.get(base) ?? base;
}

/** Brings the directory up to date with the endpoints. */
export function updateModels(
  previous: readonly FleetModel[],
  endpoints: readonly Endpoint[],
): ModelDirectory {
  const conflicts: string[] = [];
  const found = collect(endpoints, conflicts);
  const models: FleetModel[] = previous.map((model) => {
    const entry = found.get(model.id);
    found.delete(model.id);
    if (entry === undefined) return model.slots.length === 0 ? model : { ...model, slots: [] };
    return describe(model.index, entry);
  });
  for (const entry of found.values()) {
    const index = nextIndex(models);
    if (index === null) {
      conflicts.push(`Model ${entry.id} is not served: ${FLEET_MODELS_MAX} models are the limit.`);
    } else models[index] = describe(index, entry);
  }
  return { models, conflicts };
}

/** The body of the fleet's `GET /v1/models`: every id once, adapters after their parents. */
export function mergedModelList(endpoints: readonly Endpoint[]): string {
  const merged = new Map<string, Record<string, unknown>>();
  const models = endpoints.flatMap((endpoint) => endpoint.models);
  // An engine that has loaded an adapter knows more of it than one that could.
  const known = models.filter(({ loaded }) => loaded);
  for (const model of [...known, ...models.filter(({ loaded }) => !loaded)]) {
    const entry = merged.get(model.id);
    if (entry === undefined) {
      merged.set(model.id, { ...model.raw, id: model.id, parent: model.parent });
    } else {
      const length = shorter(entry['max_model_len'], model.maxModelLen);
      if (length !== null) entry['max_model_len'] = length;
    }
  }
  const data = [...merged.values()].sort(
    (a, b) => Number(a['parent'] !== null) - Number(b['parent'] !== null),
  );
  return JSON.stringify({ object: 'list', data });
}

/**
 * Block size in tokens that a pool's keys are computed at: the configured one, else the greatest
 * common divisor of the publishers' sizes, but not below 16: smaller blocks would multiply the
 * index for a gain of at most 15 tokens per prompt. So sizes below 16 count as 16, and sizes whose
 * divisor is below 16 (24 and 32, say) also give 16. Sizes beyond what an index takes count as its
 * largest. null while no size is known.
 */
export function canonicalBlockSize(
  sizes: readonly number[],
  configured: number | null,
): number | null {
  if (configured !== null) return configured;
  if (sizes.length === 0) return null;
  const divisor = sizes
    .map((size) => Math.min(Math.max(size, BLOCK_SIZE_MIN), BLOCK_SIZE_MAX))
    .reduce((a, b) => greatestCommonDivisor(a, b));
  return Math.max(divisor, BLOCK_SIZE_MIN);
}

const BLOCK_SIZE_MIN = 16;

interface Entry {
  readonly id: string;
  readonly pool: string;
  readonly adapter: string;
  maxModelLen: number | null;
  readonly roots: Map<string, number>;
  readonly slots: number[];
}

function collect(endpoints: readonly Endpoint[], conflicts: string[]): Map<string, Entry> {
  const found = new Map<string, Entry>();
  const names = poolNames(endpoints);
  for (const endpoint of endpoints) {
    for (const model of endpoint.models) {
      const pool = poolOfModel(model, names);
      const adapter = model.parent === null ? '' : model.id;
      let entry = found.get(model.id);
      if (entry === undefined) {
        entry = { id: model.id, pool, adapter, maxModelLen: null, roots: new Map(), slots: [] };
        found.set(model.id, entry);
      } else if (entry.pool !== pool || entry.adapter !== adapter) {
        conflicts.push(
          `Model ${model.id} is ${kindOf(entry)} elsewhere but ${kindOf({ pool, adapter })} at ` +
            `${endpoint.name}: it is not routed there.`,
        );
        continue;
      }
      entry.maxModelLen = shorter(entry.maxModelLen, model.maxModelLen);
      entry.slots.push(endpoint.slot);
      countRoot(entry.roots, baseRoot(endpoint, model));
    }
  }
  return found;
}

function kindOf(entry: { readonly pool: string; readonly adapter: string }): string {
  return entry.adapter === ''
    ? `a base model of pool ${entry.pool}`
    : `an adapter of ${entry.pool}`;
}

/** The tokenizer is the base model's: an adapter's own root is only its weights. */
function baseRoot(endpoint: Endpoint, model: ServedModel): string | null {
  if (model.parent === null) return model.root;
  return endpoint.models.find((other) => other.id === model.parent)?.root ?? null;
}

function countRoot(roots: Map<string, number>, root: string | null): void {
  if (root !== null) roots.set(root, (roots.get(root) ?? 0) + 1);
}

function describe(index: number, entry: Entry): FleetModel {
  const roots = [...entry.roots].sort((a, b) => b[1] - a[1]).map(([root]) => root);
  const { id, pool, adapter, maxModelLen, slots } = entry;
  return { index, id, pool, adapter, maxModelLen, roots, slots };
}

/** A new index, or that of a model nobody serves any more when all are taken. */
function nextIndex(models: readonly FleetModel[]): number | null {
  if (models.length < FLEET_MODELS_MAX) return models.length;
  const unused = models.findIndex((model) => model.slots.length === 0);
  return unused < 0 ? null : unused;
}

function shorter(known: unknown, other: number | null): number | null {
  if (typeof known !== 'number') return other;
  return other === null ? known : Math.min(known, other);
}

/** Of two whole numbers from 1. */
export function greatestCommonDivisor(a: number, b: number): number {
  let [larger, smaller] = [a, b];
  while (smaller > 0) [larger, smaller] = [smaller, larger % smaller];
  return larger;
}
