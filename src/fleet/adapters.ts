// LoRA adapters that engines load when a request names them. vLLM lists an adapter in /v1/models
// only once it is loaded, and loads one by name only where a resolver plugin finds it, so which
// engines can is the operator's word. Used by the fleet manager for every discovered engine.

import type { ServedModel } from '#contracts/endpoint.js';

/** One adapter as configured. */
export interface LoadableAdapter {
  /** Id of the base model, as engines list it. */
  readonly parent: string;
  /** Engines with all of these labels can load it. */
  readonly labels: Readonly<Record<string, string>>;
}

/** By adapter id. */
export type LoadableAdapters = Readonly<Record<string, LoadableAdapter>>;

/** The models that an engine lists, and the adapters it can load beside them. */
export function withLoadable(
  listed: readonly ServedModel[],
  labels: Readonly<Record<string, string>>,
  adapters: LoadableAdapters,
): readonly ServedModel[] {
  const loadable = Object.entries(adapters).flatMap(([id, adapter]) => {
    const base = listed.find((model) => model.id === adapter.parent && model.parent === null);
    const fits = Object.entries(adapter.labels).every(([name, value]) => labels[name] === value);
    const isListed = listed.some((model) => model.id === id);
    return base === undefined || !fits || isListed ? [] : [loadableModel(id, base)];
  });
  return loadable.length === 0 ? listed : [...listed, ...loadable];
}

/** Whether requests run with an adapter that the engine was not known to have loaded. */
export function runsUnlisted(
  models: readonly ServedModel[],
  running: ReadonlySet<string>,
): boolean {
  return running.size > 0 && models.some(({ id, loaded }) => !loaded && running.has(id));
}

/** An adapter takes the context of its base model; its own files are only known to the engine. */
function loadableModel(id: string, base: ServedModel): ServedModel {
  const { maxModelLen, raw } = base;
  return {
    id,
    parent: base.id,
    root: null,
    maxModelLen,
    loaded: false,
    raw: { ...raw, root: null },
  };
}
