// Sessions of many turns in virtual time, each a conversation that grows, with other load around them.
// For every request it is known where its session was and whether it could have stayed there.

import type { Random } from '#contracts/random.js';
import type { VirtualAnswer, VirtualFleet } from '#test/support/virtual-fleet/fleet.js';

/** One request of a session. */
export interface SessionTurn {
  readonly session: number;
  /** Endpoint that answered the session last, −1 for a new session. */
  readonly home: number;
  /** Whether that was healthy, not draining and not saturated when the request was sent. */
  readonly homeUsable: boolean;
  /** Whether it was dead then, and the router did not know. */
  readonly homeUnnoticed: boolean;
  readonly status: number;
  readonly slot: number;
  /** Whether a first token came. */
  readonly begun: boolean;
}

export interface SessionTraffic {
  readonly fleet: VirtualFleet;
  readonly random: Random;
  readonly sessions: number;
  readonly turns: number;
  /** Headers of a session's next request; `last` is the answer before. */
  readonly headersOf: (
    session: number,
    last: VirtualAnswer | null,
  ) => Readonly<Record<string, string>>;
  /** Whether the endpoint could take a request now. */
  readonly usable: (slot: number) => boolean;
  /** Whether it is dead and nobody knows. */
  readonly unnoticed: (slot: number) => boolean;
}

/** Turns come that long after the answer before. */
const THINK_MS = { least: 2000, most: 6000 } as const;
const FIRST_TOKENS = 256;
const TURN_TOKENS = 48;

/** Starts all sessions; the list grows while the clock runs. */
export function startSessions(traffic: SessionTraffic): readonly SessionTurn[] {
  const seen: SessionTurn[] = [];
  const { fleet, random } = traffic;
  for (let session = 0; session < traffic.sessions; session += 1) {
    const startMs = random.next() * THINK_MS.most;
    fleet.clock.after(startMs, () => turn(traffic, session, 1, null, seen));
  }
  return seen;
}

function turn(
  traffic: SessionTraffic,
  session: number,
  number: number,
  last: VirtualAnswer | null,
  seen: SessionTurn[],
): void {
  if (number > traffic.turns) return;
  const { fleet, random, usable, unnoticed, headersOf } = traffic;
  const home = last?.slot ?? -1;
  const homeUsable = home >= 0 && usable(home);
  const homeUnnoticed = home >= 0 && unnoticed(home);
  const length = FIRST_TOKENS + number * TURN_TOKENS;
  const tokenIds = Array.from({ length }, (_, at) => (session * 131 + at * 17) % 50_000);
  const request = { tokenIds, outputTokens: 8, headers: headersOf(session, last) };
  fleet.send(request, (answer) => {
    const { status, slot } = answer;
    const begun = !Number.isNaN(answer.firstTokenMs);
    seen.push({ session, home, homeUsable, homeUnnoticed, status, slot, begun });
    const thinkMs = THINK_MS.least + random.next() * (THINK_MS.most - THINK_MS.least);
    // A client whose request failed asks again; the session is still where it was.
    const next = status === 200 ? answer : last;
    fleet.clock.after(thinkMs, () => turn(traffic, session, number + 1, next, seen));
  });
}
