// The scheduling cycle: filters, scorers and picker of one profile over one fleet snapshot. Free
// of input and output, so it runs the same in the router and in simulated time. A cycle's arrays
// are reused: its result is valid until the next `schedule` on the same cycle.

import { assert } from '#contracts/assert.js';
import { ATTEMPTS_MAX } from '#contracts/limits.js';
import type { Placed, Profile } from '#contracts/plugin.js';
import type { Producer, SchedulingContext } from '#contracts/scheduling.js';
import { CandidateSet } from '#contracts/scheduling.js';
import type { FallbackCycle } from './fallbacks.js';
import { fallbackCycle, pickFallbacks, rateFallbacks } from './fallbacks.js';
import { applyFilters, excludeUnusable } from './filter.js';
import type { CycleHooks } from './hooks.js';
import { collectHooks } from './hooks.js';
import { pick, pickFewestInFlight } from './pick.js';
import type { ScoreBoard } from './score.js';
import { score, scoreBoard } from './score.js';

/** `picked`, or why not: nobody usable serves the model, or the filters left nobody. */
export type ScheduleOutcome = 'picked' | 'no-endpoints' | 'overloaded';

/** One profile with the arrays its cycles work in, and the result of the last one. */
export interface ScheduleCycle {
  readonly profile: Profile;
  readonly hooks: CycleHooks;
  readonly endpointCapacity: number;
  /** Healthy endpoints that serve the model. */
  readonly eligible: CandidateSet;
  /** Those of them the filters left. */
  readonly candidates: CandidateSet;
  readonly before: CandidateSet;
  readonly excludedBy: Uint8Array;
  readonly board: ScoreBoard;
  /** Null where every filter is final. */
  readonly fallbacks: FallbackCycle | null;
  /** Most endpoints that are tried. */
  readonly targetsMax: number;
  /** Chosen slots, best first; the first `pickedCount` count. */
  readonly picked: Uint32Array;
  /** By how many were picked: the places of `picked` that are left for fallbacks. */
  readonly rests: readonly Uint32Array[];
  pickedCount: number;
  /** What the policy threw, null when it worked; then scores mean nothing. */
  failure: unknown;
  /** Time spent, in the clock's milliseconds. */
  filterMs: number;
  scoreMs: number;
  pickMs: number;
}

/** Makes a cycle for a profile and a fleet of at most `endpointCapacity` slots. */
export function scheduleCycle(
  profile: Profile,
  endpointCapacity: number,
  producers: readonly Placed<Producer>[] = [],
): ScheduleCycle {
  const targetsMax = Math.min(ATTEMPTS_MAX, profile.picker.plugin.endpointsMax ?? ATTEMPTS_MAX);
  const picked = new Uint32Array(ATTEMPTS_MAX);
  return {
    profile,
    hooks: collectHooks(profile, producers),
    endpointCapacity,
    eligible: new CandidateSet(endpointCapacity),
    candidates: new CandidateSet(endpointCapacity),
    before: new CandidateSet(endpointCapacity),
    excludedBy: new Uint8Array(endpointCapacity),
    board: scoreBoard(profile, endpointCapacity),
    fallbacks: fallbackCycle(profile, endpointCapacity),
    targetsMax,
    picked,
    rests: Array.from({ length: ATTEMPTS_MAX + 1 }, (_, count) =>
      picked.subarray(count, Math.max(count, targetsMax)),
    ),
    pickedCount: 0,
    failure: null,
    filterMs: 0,
    scoreMs: 0,
    pickMs: 0,
  };
}

/** Runs one cycle among the endpoints of `serving`. Never throws for what a plugin does. */
export function schedule(
  cycle: ScheduleCycle,
  context: SchedulingContext,
  serving: CandidateSet,
  nowMs: () => number,
): ScheduleOutcome {
  assert(
    context.fleet.bySlot.length <= cycle.endpointCapacity,
    () => `${context.fleet.bySlot.length} slots in a cycle for ${cycle.endpointCapacity}`,
  );
  cycle.pickedCount = 0;
  cycle.failure = null;
  const { violations } = cycle.board;
  for (let scorer = 0; scorer < violations.length; scorer += 1) violations[scorer] = 0;
  forgetTimes(cycle);
  const begunAtMs = context.nowMs;
  excludeUnusable(context, serving, cycle.eligible, cycle.excludedBy);
  if (cycle.eligible.next(0) < 0) return 'no-endpoints';
  try {
    return runProfile(cycle, context, nowMs, begunAtMs);
  } catch (error) {
    return scheduleWithout(cycle, context, serving, error);
  }
}

/** Picks by fewest in flight: a policy that threw `error` must not lose requests. */
export function scheduleWithout(
  cycle: ScheduleCycle,
  context: SchedulingContext,
  serving: CandidateSet,
  error: unknown,
): ScheduleOutcome {
  cycle.failure = error ?? new Error('a plugin threw nothing');
  forgetPolicy(cycle);
  forgetTimes(cycle);
  excludeUnusable(context, serving, cycle.eligible, cycle.excludedBy);
  cycle.candidates.copyFrom(cycle.eligible);
  cycle.pickedCount = pickFewestInFlight(context, cycle.eligible, cycle.picked);
  return cycle.pickedCount === 0 ? 'no-endpoints' : 'picked';
}

/** Scores half made, or of the request before, must not be shown as this decision's. */
function forgetPolicy(cycle: ScheduleCycle): void {
  cycle.board.totals.fill(0);
  for (const raw of cycle.board.raw) raw.fill(0);
}

/** A stage that did not run took no time. */
function forgetTimes(cycle: ScheduleCycle): void {
  cycle.filterMs = 0;
  cycle.scoreMs = 0;
  cycle.pickMs = 0;
}

function runProfile(
  cycle: ScheduleCycle,
  context: SchedulingContext,
  nowMs: () => number,
  begunAtMs: number,
): ScheduleOutcome {
  const { profile, candidates, board } = cycle;
  candidates.copyFrom(cycle.eligible);
  applyFilters(profile, context, candidates, cycle.before, cycle.excludedBy);
  const filteredAtMs = nowMs();
  cycle.filterMs = filteredAtMs - begunAtMs;
  if (candidates.next(0) < 0) return 'overloaded';
  const hasFallbacks = rate(cycle, context);
  score(profile, context, candidates, board);
  const scoredAtMs = nowMs();
  cycle.scoreMs = scoredAtMs - filteredAtMs;
  cycle.pickedCount = pick(profile.picker.plugin, context, candidates, board.totals, cycle.picked);
  if (hasFallbacks) addFallbacks(cycle, context);
  for (let position = 0; position < cycle.pickedCount; position += 1) {
    assert(cycle.eligible.has(cycle.picked[position] ?? -1), 'a filter added an endpoint');
  }
  cycle.pickMs = nowMs() - scoredAtMs;
  return 'picked';
}

/** Before the candidates are rated, because plugins may keep what they rated last for `picked`. */
function rate(cycle: ScheduleCycle, context: SchedulingContext): boolean {
  const { fallbacks, profile, eligible, candidates, targetsMax: wanted } = cycle;
  if (fallbacks === null) return false;
  return rateFallbacks(fallbacks, profile, context, { eligible, candidates, wanted });
}

function addFallbacks(cycle: ScheduleCycle, context: SchedulingContext): void {
  const { fallbacks, profile } = cycle;
  const rest = cycle.rests[cycle.pickedCount];
  if (fallbacks === null || rest === undefined) return;
  cycle.pickedCount += pickFallbacks(fallbacks, profile, context, rest);
}
