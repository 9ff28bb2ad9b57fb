// The embedded fleet: four simulated engines in this process, for a first look without a GPU.

import type { Configuration } from '#config/configuration.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { processClock } from '#workers/process-clock.js';

const ENGINES = 4;

/** Starts the simulated engines on free loopback ports. */
export async function startDemoFleet(): Promise<EngineSimFleet> {
  // Routers of real engines do not wait for the simulator to load.
  const { startEngineSims } = await import('#simulation/fleet.js');
  return startEngineSims({
    clock: processClock,
    unixTimeMs: () => Date.now(),
    replicas: ENGINES,
  });
}

/** The same configuration with the simulated engines as its endpoints. */
export function withDemoFleet(configuration: Configuration, fleet: EngineSimFleet): Configuration {
  return {
    ...configuration,
    endpoints: fleet.engines.map(({ url }) => ({
      url,
      labels: {},
      security: { apiKey: null, caPem: null },
      events: null,
      assumedEvents: null,
      id: null,
      cacheTokens: null,
    })),
  };
}
