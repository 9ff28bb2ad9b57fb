// Runs a policy: its producers, then the profile handler, then the cycle of the chosen profile.
// Free of input and output, like the cycles themselves.

import { assert } from '#contracts/assert.js';
import type { Policy } from '#contracts/plugin.js';
import type {
  CandidateSet,
  Producer,
  ProfileHandler,
  RequestSignals,
  SchedulingContext,
} from '#contracts/scheduling.js';
import { requestSignals } from '#contracts/scheduling.js';
import type { ScheduleCycle, ScheduleOutcome } from './schedule.js';
import { schedule, scheduleCycle, scheduleWithout } from './schedule.js';

/** `no-profile`: the request names a profile that the policy does not have. */
export type PolicyOutcome = ScheduleOutcome | 'no-profile';

type Produces = Required<Pick<Producer, 'produce'>>;

/** A policy with the cycles of its profiles. */
export interface PolicyCycle {
  /** By name. */
  readonly cycles: ReadonlyMap<string, ScheduleCycle>;
  readonly producers: readonly Produces[];
  /** Null while there is nothing to choose. */
  readonly handler: ProfileHandler | null;
  readonly first: ScheduleCycle;
  /** What contexts carry; one object for all requests, because they are decided one by one. */
  readonly signals: RequestSignals;
  /** Cycle of the last decision. */
  current: ScheduleCycle;
}

/** Sets a policy up for a fleet of at most `endpointCapacity` slots. */
export function policyCycle(policy: Policy, endpointCapacity: number): PolicyCycle {
  const { profiles, producers, handler } = policy;
  const cycles = new Map(
    profiles.map((profile) => [profile.name, scheduleCycle(profile, endpointCapacity, producers)]),
  );
  assert(cycles.size === profiles.length, 'names of profiles are unique');
  const [first] = cycles.values();
  assert(first !== undefined, 'a policy has a profile');
  return {
    cycles,
    producers: producers
      .map(({ plugin }) => plugin)
      .filter((plugin): plugin is Producer & Produces => plugin.produce !== undefined),
    handler: cycles.size > 1 ? handler.plugin : null,
    first,
    signals: requestSignals(),
    current: first,
  };
}

/** Signals for the next context: those of the request before are gone. */
export function clearSignals({ signals }: PolicyCycle): RequestSignals {
  signals.sessionId = '';
  signals.agentIdentity = '';
  signals.outputTokens = 0;
  return signals;
}

/** Decides among the endpoints of `serving`; `policy.current` has the result. Never throws. */
export function scheduleByPolicy(
  policy: PolicyCycle,
  context: SchedulingContext,
  serving: CandidateSet,
  nowMs: () => number,
): PolicyOutcome {
  policy.current = policy.first;
  try {
    for (const producer of policy.producers) producer.produce(context);
    if (policy.handler !== null) {
      const chosen = policy.cycles.get(policy.handler.choose(context));
      if (chosen === undefined) return 'no-profile';
      policy.current = chosen;
    }
  } catch (error) {
    return scheduleWithout(policy.current, context, serving, error);
  }
  return schedule(policy.current, context, serving, nowMs);
}
