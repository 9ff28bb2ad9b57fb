// One scheduling cycle (filters, scorers, picker) over fleets of four sizes: what every request
// costs on the main thread after encoding, and what it allocates; of two policies that are built in,
// and of one with every stable scorer of llm-d. Every tenth endpoint holds some of the prompt; loads,
// adapters and ranges of prompt lengths differ.

import { buildProfile } from '#config/build-policy.js';
import type { ProfileSettings } from '#config/configuration.js';
import { POLICY_PROFILES } from '#config/policies.js';
import { seededRandom } from '#contracts/random.js';
import { CandidateSet } from '#contracts/scheduling.js';
import { schedule, scheduleCycle } from '#request/schedule.js';
import {
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';
import { measure, median, printMachine, printTable, type Task } from '../support/measure.js';

const FLEETS = [25, 64, 100, 256] as const;
const TOTAL_BLOCKS = 450;
/** Cycles in one run, so that the clock's microsecond does not show. */
const CYCLES = 100;

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

function cycles(profile: ProfileSettings, endpoints: number): Task {
  const random = seededRandom(7);
  const draw = (most: number): number => Math.floor(random.next() * most);
  const fleet = fleetSnapshot(
    Array.from({ length: endpoints }, () => ({
      waiting: draw(8),
      running: draw(64),
      kvCacheUsage: random.next(),
      inFlight: draw(64),
      inFlightTokens: draw(1_000_000),
      maxAdapters: 4,
      runningAdapters: ['sql', 'chat', 'code'].slice(draw(4)),
      labels: { 'llm-d.ai/context-length-range': `0-${1000 + draw(20_000)}` },
    })),
  );
  const usable = Array.from({ length: endpoints }, (_, slot) =>
    slot % 10 === 0 ? draw(TOTAL_BLOCKS) : 0,
  );
  const context = schedulingContext(fleet, {
    promptTokens: TOTAL_BLOCKS * 16,
    totalBlocks: TOTAL_BLOCKS,
    match: promptMatch(usable),
    adapter: 'sql',
    media: ['image-1', 'image-2'],
  });
  const serving = new CandidateSet(endpoints);
  for (let slot = 0; slot < endpoints; slot += 1) serving.add(slot);
  const cycle = scheduleCycle(buildProfile(profile, pluginHost(endpoints)), endpoints);
  const nowMs = (): number => performance.now();
  return {
    name: `${profile.name}, ${endpoints}`,
    units: CYCLES,
    run: () => {
      for (let i = 0; i < CYCLES; i += 1) {
        if (schedule(cycle, context, serving, nowMs) !== 'picked') throw new Error('nobody picked');
      }
    },
  };
}
