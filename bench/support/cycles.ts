// Scheduling cycles (filters, scorers, picker) to be measured: every tenth endpoint holds some of the
// prompt; loads, adapters and ranges of prompt lengths differ.

import { buildProfile } from '#config/build-policy.js';
import type { ProfileSettings } from '#config/configuration.js';
import { seededRandom } from '#contracts/random.js';
import { CandidateSet } from '#contracts/scheduling.js';
import { schedule, scheduleCycle } from '#request/schedule.js';
import {
  fleetSnapshot,
  pluginHost,
  promptMatch,
  schedulingContext,
} from '#test/support/scheduling.js';
import type { Task } from './measure.js';

const TOTAL_BLOCKS = 450;
/** Cycles in one run, so that the clock's microsecond does not show. */
export const CYCLES = 100;

/** Cycles of a profile over a fleet of so many endpoints; a unit is one cycle. */
export function cycles(profile: ProfileSettings, endpoints: number): Task {
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
