// What end-to-end tests tell router and checks about simulated engines.

import type { EngineServer } from '#simulation/engine-server.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import type { CheckedEngine } from './prediction.js';

/** What a prediction check needs to know of an engine. */
export function checked(engine: EngineServer): CheckedEngine {
  const [rank] = engine.eventAddresses;
  return { name: engine.name, url: engine.url, replayAddress: rank?.replayAddress ?? '' };
}

/** Blocks that all engines evicted, to those they stored: 0.5 when half of them have gone again. */
export function turnover(fleet: EngineSimFleet): number {
  let stored = 0;
  let evicted = 0;
  for (const engine of fleet.engines) {
    const { blocksStored, blocksEvicted } = engine.stats();
    stored += blocksStored;
    evicted += blocksEvicted;
  }
  return stored === 0 ? 0 : evicted / stored;
}

/** Flags that put the router before the engines. */
export function endpointFlags(fleet: EngineSimFleet): readonly string[] {
  return fleet.engines.map((engine) => `--endpoint=${engine.url}`);
}
