// Which endpoints serve which model, read off a fleet snapshot once per snapshot. The pipeline
// asks by the name a client wrote; only names that endpoints serve ever become a pool or a label.

import type { FleetSnapshot, ServedModel } from '#contracts/endpoint.js';
import { RouterError } from '#contracts/errors.js';
import { CandidateSet } from '#contracts/scheduling.js';
import { shorten } from './admit.js';

export interface ResolvedModel {
  /** Id as served; empty when the request named none. */
  readonly id: string;
  /** Base model's id. */
  readonly pool: string;
  /** Adapter name, empty for the base model. */
  readonly adapter: string;
  readonly serving: CandidateSet;
}

export interface ModelDirectory {
  readonly snapshot: FleetSnapshot;
  readonly models: ReadonlyMap<string, ResolvedModel>;
  /** Everything of the only pool, null when there are several or none. */
  readonly onlyPool: ResolvedModel | null;
}

const NAMES_LISTED_MAX = 10;

/** Builds the directory of one snapshot. */
export function modelDirectory(snapshot: FleetSnapshot): ModelDirectory {
  const models = new Map<string, ResolvedModel>();
  const pools = new Map<string, CandidateSet>();
  for (const [slot, state] of snapshot.bySlot.entries()) {
    if (state === null) continue;
    for (const { id, parent } of state.endpoint.models) {
      const pool = poolOf(state.endpoint.models, parent ?? id);
      const model = models.get(id) ?? {
        id,
        pool,
        adapter: parent === null ? '' : id,
        serving: new CandidateSet(snapshot.bySlot.length),
      };
      model.serving.add(slot);
      models.set(id, model);
      const members = pools.get(pool) ?? new CandidateSet(snapshot.bySlot.length);
      members.add(slot);
      pools.set(pool, members);
    }
  }
  const [only] = pools;
  const onlyPool =
    only === undefined || pools.size > 1
      ? null
      : { id: '', pool: only[0], adapter: '', serving: only[1] };
  return { snapshot, models, onlyPool };
}

/** Base models that one engine lists under one root are aliases: the first one names the pool. */
function poolOf(listed: readonly ServedModel[], base: string): string {
  const root = listed.find((model) => model.id === base)?.root ?? null;
  if (root === null) return base;
  return listed.find((model) => model.parent === null && model.root === root)?.id ?? base;
}

/** Finds who serves `model`; an error tells the client what it could have asked for. */
export function resolveModel(
  directory: ModelDirectory,
  model: string,
): ResolvedModel | RouterError {
  const { models, onlyPool } = directory;
  if (models.size === 0) {
    return new RouterError('no_endpoints', 'no endpoint has told yet which models it serves');
  }
  const found = model === '' ? onlyPool : models.get(model);
  if (found !== undefined && found !== null) return found;
  const served = listNames([...models.keys()]);
  if (model === '') {
    const text = `several models are served here, so the body must name one: ${served}`;
    return new RouterError('invalid_body', text, { param: 'model' });
  }
  const text = `the model \`${shorten(model)}\` is not served here; served: ${served}`;
  return new RouterError('model_not_found', text, { param: 'model' });
}

function listNames(names: readonly string[]): string {
  const listed = names.slice(0, NAMES_LISTED_MAX).map((name) => `\`${name}\``);
  const more = names.length - listed.length;
  return more > 0 ? `${listed.join(', ')} and ${more} more` : listed.join(', ');
}
