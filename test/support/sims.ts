// What end-to-end tests tell router and checks about simulated engines.

import type { EngineServer } from '#simulation/engine-server.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import type { CheckedEngine } from './prediction.js';

/** What a prediction check needs to know of an engine. */
export function checked(engine: EngineServer): CheckedEngine {
  const [rank] = engine.eventAddresses;
  return { name: engine.name, url: engine.url, replayAddress: rank?.replayAddress ?? '' };
}

/** Flags that put the router before the engines. */
export function endpointFlags(fleet: EngineSimFleet): readonly string[] {
  return fleet.engines.map((engine) => `--endpoint=${engine.url}`);
}
