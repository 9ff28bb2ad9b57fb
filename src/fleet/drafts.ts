// The endpoints of an address: one that stands for it until its engine has answered, then one for
// every data-parallel rank.

import { type LoadableAdapters, withLoadable } from './adapters.js';
import { type ConfiguredAddress, endpointName, withRank } from './addresses.js';
import type { DiscoveredEngine } from './discover.js';
import type { EndpointDraft } from './registry.js';

/** Stands for an address until the engine has answered, so that /status can show it. */
export function placeholder(address: ConfiguredAddress): EndpointDraft {
  return {
    name: endpointName(address.url, null),
    id: address.id,
    url: address.url,
    dpRank: null,
    engine: 'unknown',
    labels: address.labels,
    security: address.security,
    models: [],
    blockSize: null,
    gpuBlocks: null,
    cacheTokens: address.cacheTokens,
    events: null,
  };
}

/** What operators know of engines beside their addresses. */
export interface Configured {
  /** Adapters that engines load by name. */
  readonly adapters: LoadableAdapters;
  /** Tokens that an engine with the model can hold for reuse, null to take its own word. */
  readonly configuredCacheTokens: (model: string) => number | null;
}

/** What an engine has told, with what is configured over it and the adapters it can load besides. */
export function draftsOf(
  address: ConfiguredAddress,
  engine: DiscoveredEngine,
  { adapters, configuredCacheTokens }: Configured,
): readonly EndpointDraft[] {
  const models = withLoadable(engine.models, address.labels, adapters);
  const sizes = engine.models.map(({ id }) => configuredCacheTokens(id));
  const cacheTokens = address.cacheTokens ?? sizes.find((tokens) => tokens !== null) ?? null;
  return engine.ranks.map((rank) => ({
    ...placeholder(address),
    name: endpointName(address.url, rank.dpRank),
    id: address.id === null ? null : withRank(address.id, rank.dpRank),
    dpRank: rank.dpRank,
    engine: engine.engine,
    models,
    blockSize: rank.blockSize,
    gpuBlocks: rank.gpuBlocks,
    cacheTokens: cacheTokens ?? rank.cacheTokens,
    events: rank.events,
  }));
}
