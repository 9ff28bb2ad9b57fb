// The endpoints of an address: one that stands for it until its engine has answered, then one for
// every data-parallel rank.

import { type LoadableAdapters, withLoadable } from './adapters.js';
import { type ConfiguredAddress, endpointName } from './addresses.js';
import type { DiscoveredEngine } from './discover.js';
import type { EndpointDraft } from './registry.js';

/** Stands for an address until the engine has answered, so that /status can show it. */
export function placeholder(address: ConfiguredAddress): EndpointDraft {
  return {
    name: endpointName(address.url, null),
    url: address.url,
    dpRank: null,
    engine: 'unknown',
    labels: address.labels,
    security: address.security,
    models: [],
    blockSize: null,
    gpuBlocks: null,
    cacheTokens: null,
    events: null,
  };
}

/** What an engine has told, with the adapters it can load besides. */
export function draftsOf(
  address: ConfiguredAddress,
  engine: DiscoveredEngine,
  adapters: LoadableAdapters,
): readonly EndpointDraft[] {
  const models = withLoadable(engine.models, address.labels, adapters);
  return engine.ranks.map((rank) => ({
    ...placeholder(address),
    name: endpointName(address.url, rank.dpRank),
    dpRank: rank.dpRank,
    engine: engine.engine,
    models,
    blockSize: rank.blockSize,
    gpuBlocks: rank.gpuBlocks,
    cacheTokens: rank.cacheTokens,
    events: rank.events,
  }));
}
