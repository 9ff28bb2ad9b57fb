// Which endpoint a session was last sent to. Bounded: sessions are forgotten when they have not been
// used for their time to live, and the least recently used one when there are too many. Whoever
// binds pays for what has expired, so no timer is needed.

import { SESSION_ID_LENGTH_MAX, SESSIONS_MAX } from '#contracts/limits.js';
import type { CandidateSet, MovedOn, SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';

interface Binding {
  name: string;
  /** Where the endpoint was then; looked at first. */
  slot: number;
  usedAtMs: number;
}

export class SessionBindings {
  /** By session, the least recently bound first. */
  readonly #bySession = new Map<string, Binding>();
  readonly #ttlMs: number;

  /** A time to live of 0 keeps sessions until there are too many. */
  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs === 0 ? Number.POSITIVE_INFINITY : ttlMs;
  }

  /** Slot of the session's endpoint if that is a candidate, else −1. */
  find(session: string, context: SchedulingContext, candidates: CandidateSet): number {
    const binding = this.#bySession.get(session);
    if (binding === undefined || this.#expired(binding, context.nowMs)) return -1;
    const { slot, name } = binding;
    if (candidates.has(slot) && candidateState(context, slot).endpoint.name === name) return slot;
    return slotOf(name, context, candidates);
  }

  /**
   * Binds the session to the endpoint at `slot`, or keeps it there for another while. What it returns
   * moves it on, unless another of its requests has bound it elsewhere meanwhile: that one knows more.
   */
  bind(session: string, context: SchedulingContext, slot: number): MovedOn | undefined {
    if (session === '' || session.length > SESSION_ID_LENGTH_MAX) return undefined;
    let at = this.#bind(session, context, slot);
    return (next) => {
      if (this.#bySession.get(session)?.name !== at) return;
      at = this.#bind(session, context, next);
    };
  }

  get size(): number {
    return this.#bySession.size;
  }

  /** Returns the endpoint's name. */
  #bind(session: string, context: SchedulingContext, slot: number): string {
    const { name } = candidateState(context, slot).endpoint;
    const { nowMs } = context;
    const binding = this.#bySession.get(session) ?? { name, slot, usedAtMs: nowMs };
    binding.name = name;
    binding.slot = slot;
    binding.usedAtMs = nowMs;
    this.#bySession.delete(session);
    this.#bySession.set(session, binding);
    for (const [oldest, { usedAtMs }] of this.#bySession) {
      const kept = this.#bySession.size <= SESSIONS_MAX && nowMs - usedAtMs <= this.#ttlMs;
      if (kept) break;
      this.#bySession.delete(oldest);
    }
    return name;
  }

  #expired({ usedAtMs }: Binding, nowMs: number): boolean {
    return nowMs - usedAtMs > this.#ttlMs;
  }
}

/** Slot of the candidate called `name`, −1 when none is. */
function slotOf(name: string, context: SchedulingContext, candidates: CandidateSet): number {
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    if (candidateState(context, slot).endpoint.name === name) return slot;
  }
  return -1;
}
