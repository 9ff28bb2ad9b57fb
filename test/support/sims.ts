// Simulated engines for end-to-end tests: real HTTP and ZMQ, small caches, fast steps.

import { performance } from 'node:perf_hooks';
import type { EngineServer } from '#simulation/engine-server.js';
import { type EngineSimFleet, startEngineSims } from '#simulation/fleet.js';
import type { EngineSimOptions } from '#simulation/sim-options.js';
import type { CheckedEngine } from './prediction.js';

/** Starts engines that answer within milliseconds and whose caches fill within a test. */
export function startTestEngines(options: Partial<EngineSimOptions> = {}): Promise<EngineSimFleet> {
  return startEngineSims({
    clock: {
      nowMs: () => performance.now(),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs);
        return () => clearTimeout(timer);
      },
    },
    unixTimeMs: () => Date.now(),
    timeScale: 50,
    ...options,
  });
}

/** What a prediction check needs to know of an engine. */
export function checked(engine: EngineServer): CheckedEngine {
  const [rank] = engine.eventAddresses;
  return { name: engine.name, url: engine.url, replayAddress: rank?.replayAddress ?? '' };
}

/** Flags that put the router before the engines. */
export function endpointFlags(fleet: EngineSimFleet): readonly string[] {
  return fleet.engines.map((engine) => `--endpoint=${engine.url}`);
}
