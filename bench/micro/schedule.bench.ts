// One scheduling cycle (filters, scorers, picker) over fleets of four sizes: what every request
// costs on the main thread after encoding, and what it allocates; of two policies that are built in,
// and of one with every stable scorer of llm-d. Every tenth endpoint holds some of the prompt; loads,
// adapters and ranges of prompt lengths differ.

import type { ProfileSettings } from '#config/configuration.js';
import { POLICY_PROFILES } from '#config/policies.js';
import { CYCLES, cycles } from '../support/cycles.js';
import { measure, median, printMachine, printTable, type Task } from '../support/measure.js';

const FLEETS = [25, 64, 100, 256] as const;

const EVERY_SCORER: ProfileSettings = {
  ...POLICY_PROFILES.precise,
  name: 'every stable scorer',
  scorers: [
    'prefix-cache-scorer',
    'no-hit-lru-scorer',
    'kv-cache-utilization-scorer',
    'queue-scorer',
    'running-requests-size-scorer',
    'load-aware-scorer',
    'active-request-scorer',
    'token-load-scorer',
    'lora-affinity-scorer',
    'context-length-aware',
    'mm-embeddings-cache-scorer',
  ].map((type) => ({ type, weight: 1, parameters: {} })),
};

printMachine();
const profiles = [POLICY_PROFILES.precise, POLICY_PROFILES['load-aware'], EVERY_SCORER];
const rows = profiles.map((profile) => {
  const tasks = FLEETS.map((endpoints) => cycles(profile, endpoints));
  const results = measure(tasks, 1000);
  return [
    profile.name,
    ...results.map(({ unitNs }) => unitNs / 1000),
    ...tasks.slice(-1).map((task) => bytesPerCycle(task)),
  ];
});
console.log('CPU µs per scheduling cycle, by endpoints in the fleet');
printTable(['policy', ...FLEETS.map(String), `bytes allocated, ${FLEETS.at(-1)}`], rows);

/** What a compiled cycle leaves for the collector; a collection in between is an outlier. */
function bytesPerCycle(task: Task): number {
  const samples: number[] = [];
  for (let sample = 0; sample < 15; sample += 1) {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 10; i += 1) task.run();
    samples.push((process.memoryUsage().heapUsed - before) / (10 * CYCLES));
  }
  return median(samples);
}
