// One scheduling cycle (filters, scorers, picker of the precise policy) over fleets of three sizes:
// what every request costs on the main thread after encoding, and what it allocates. Every tenth
// endpoint holds some of the prompt; loads differ.

import { buildProfile } from '#config/build-policy.js';
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

const FLEETS = [25, 100, 256] as const;
const TOTAL_BLOCKS = 450;
/** Cycles in one run, so that the clock's microsecond does not show. */
const CYCLES = 100;

printMachine();
const policies = ['precise', 'load-aware'] as const;
const rows = policies.map((policy) => {
  const tasks = FLEETS.map((endpoints) => cycles(policy, endpoints));
  const results = measure(tasks, 1000);
  return [
    policy,
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

function cycles(policy: (typeof policies)[number], endpoints: number): Task {
  const random = seededRandom(7);
  const draw = (most: number): number => Math.floor(random.next() * most);
  const fleet = fleetSnapshot(
    Array.from({ length: endpoints }, () => ({
      waiting: draw(8),
      running: draw(64),
      kvCacheUsage: random.next(),
      inFlight: draw(64),
    })),
  );
  const usable = Array.from({ length: endpoints }, (_, slot) =>
    slot % 10 === 0 ? draw(TOTAL_BLOCKS) : 0,
  );
  const context = schedulingContext(fleet, {
    promptTokens: TOTAL_BLOCKS * 16,
    totalBlocks: TOTAL_BLOCKS,
    match: promptMatch(usable),
  });
  const serving = new CandidateSet(endpoints);
  for (let slot = 0; slot < endpoints; slot += 1) serving.add(slot);
  const cycle = scheduleCycle(
    buildProfile(POLICY_PROFILES[policy], pluginHost(endpoints)),
    endpoints,
  );
  const nowMs = (): number => performance.now();
  return {
    name: `${policy}, ${endpoints}`,
    units: CYCLES,
    run: () => {
      for (let i = 0; i < CYCLES; i += 1) {
        if (schedule(cycle, context, serving, nowMs) !== 'picked') throw new Error('nobody picked');
      }
    },
  };
}
