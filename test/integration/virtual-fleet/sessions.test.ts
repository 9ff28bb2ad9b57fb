// Sessions stay where they are while that can serve them, and move once when it cannot: both
// strategies, every header in which clients name a session, and a fleet in which an endpoint is
// saturated, one drains and comes back, one dies and comes back. What an answer had not begun for goes
// on to others, so that the death costs no client an error, and stays where it went.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicySettings } from '#config/configuration.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import { SESSION_HEADERS } from '#contracts/header-names.js';
import { seededRandom } from '#contracts/random.js';
import { type VirtualAnswer, VirtualFleet } from '#test/support/virtual-fleet/fleet.js';
import { type SessionTurn, startSessions } from '#test/support/virtual-fleet/sessions.js';
import { inOrder } from '#test/support/virtual-fleet/traffic.js';

const ENDPOINTS = 8;
const SESSIONS = 600;
const TURNS = 20;
/** Waiting requests above which an endpoint is saturated. */
const WAITING_MAX = 16;
/** Saturated, drained and killed, in this order. */
const [SATURATED, DRAINED, KILLED] = [0, 1, 2];
/** Until the router's probes have noticed a death. */
const UNNOTICED_MS = 300;

function policyBy(parameters: Record<string, unknown>): PolicySettings {
  const conditions = [{ metric: 'waiting-queue', maxValue: WAITING_MAX }];
  const settings = singleProfilePolicy({
    ...POLICY_PROFILES['load-aware'],
    // What is in flight is known at once: by scraped figures all that move within a second would go
    // to one endpoint, and saturate that.
    scorers: [{ type: 'active-request-scorer', weight: 1, parameters: {} }],
    filters: [
      { type: 'utilization-filter', parameters: { conditions, fallbackOnEmpty: true } },
      { type: 'session-affinity-filter', parameters },
    ],
  });
  return { ...settings, producers: [{ type: 'agent-identity', parameters: {} }] };
}

type HeadersOf = (session: number, last: VirtualAnswer | null) => Readonly<Record<string, string>>;

const STRATEGIES: readonly (readonly [string, PolicySettings, HeadersOf])[] = [
  [
    'the client carries its endpoint',
    policyBy({ strategy: 'encoded_endpoint_header' }),
    (_session, last) => {
      const token = last?.headers['x-session-token'];
      return token === undefined ? {} : { 'x-session-token': token };
    },
  ],
  [
    'the router remembers ids',
    policyBy({
      strategy: 'session_id',
      sessionIdConfig: { sources: [{ header: 'x-session-id' }, { attribute: 'agent-identity' }] },
    }),
    (session) => ({ [headerOf(session)]: `session-${session}` }),
  ],
];

/** Every header has as many sessions. */
function headerOf(session: number): string {
  return SESSION_HEADERS[session % SESSION_HEADERS.length] ?? '';
}

for (const [name, policy, headersOf] of STRATEGIES) {
  test(`${SESSIONS * TURNS} requests of sessions: ${name}`, () => {
    const turns = run(policy, headersOf);
    assert.equal(turns.length, SESSIONS * TURNS);
    for (const header of SESSION_HEADERS) {
      checkKept(
        turns.filter(({ session }) => headerOf(session) === header),
        header,
      );
    }
    checkMoves(turns);
    checkDeath(turns);
  });
}

/** 99.9 % of what could stay has stayed. */
function checkKept(turns: readonly SessionTurn[], header: string): void {
  const staying = turns.filter(({ homeUsable, status }) => homeUsable && status === 200);
  assert.ok(staying.length > 2000, `${staying.length} by ${header}`);
  const kept = staying.filter(({ home, slot }) => home === slot).length;
  assert.ok(kept >= 0.999 * staying.length, `${kept} of ${staying.length} by ${header}`);
}

/** Whoever could not stay has moved, once: the next request goes where this one went. */
function checkMoves(turns: readonly SessionTurn[]): void {
  const moved = turns.filter(
    ({ home, slot, status }) => status === 200 && home >= 0 && slot !== home,
  );
  for (const from of [SATURATED, DRAINED, KILLED]) {
    assert.ok(moved.filter(({ home }) => home === from).length > 20, `moves from ${from}`);
  }
  const forced = turns.filter(
    ({ home, homeUsable, status }) => home >= 0 && !homeUsable && status === 200,
  );
  assert.ok(forced.every(({ home, slot }) => home !== slot));
  // Within a moment of an event the router may know before the test does.
  assert.ok(moved.length - forced.length <= 0.001 * turns.length, `${moved.length}`);
}

/** A death that nobody has noticed yet costs only the answers that had begun. */
function checkDeath(turns: readonly SessionTurn[]): void {
  const failed = turns.filter(({ status }) => status !== 200);
  assert.ok(
    failed.every(({ slot, begun }) => slot === KILLED && begun),
    JSON.stringify(failed.find(({ begun }) => !begun)),
  );
  assert.ok(failed.length < 10, `${failed.length} answers were cut`);
  const saved = turns.filter(({ homeUnnoticed }) => homeUnnoticed);
  assert.ok(saved.length >= 3, `${saved.length} asked a dead endpoint`);
  for (const turn of saved) {
    assert.equal(turn.status, 200);
    const after = turns.slice(turns.indexOf(turn) + 1);
    const next = after.find(({ session }) => session === turn.session);
    assert.ok(next === undefined || !next.homeUsable || next.slot === turn.slot, 'it stays there');
  }
}

function run(policy: PolicySettings, headersOf: HeadersOf): readonly SessionTurn[] {
  const random = seededRandom(1);
  const fleet = new VirtualFleet({ endpoints: ENDPOINTS, policy, random });
  const { clock, engines } = fleet;
  const usable = (slot: number): boolean => {
    const { healthy, draining, reported } = engines.state(slot);
    const takes = healthy && engines.isAlive(slot);
    return takes && !draining && reported.waitingRequests <= WAITING_MAX;
  };
  const unnoticed = (slot: number): boolean =>
    engines.state(slot).healthy && !engines.isAlive(slot);
  const traffic = { sessions: SESSIONS, turns: TURNS, headersOf, usable, unnoticed };
  const turns = startSessions({ fleet, random, ...traffic });
  // Others, without a session and with nothing in common.
  inOrder(clock, 800, 100, (number) => {
    const tokenIds = Array.from({ length: 512 }, (_, at) => 60_000 + number * 512 + at);
    fleet.send({ tokenIds, outputTokens: 32 }, () => {});
  });
  clock.after(10_000, () => saturate(fleet));
  clock.after(20_000, () => drain(fleet, true));
  clock.after(25_000, () => drain(fleet, false));
  clock.after(30_000, () => kill(fleet));
  clock.after(38_000, () => revive(fleet));
  while (turns.length < SESSIONS * TURNS) clock.advance(1000);
  return turns;
}

/** Work from elsewhere, of which the router only sees the queue. */
function saturate({ engines }: VirtualFleet): void {
  for (let number = 0; number < 60; number += 1) {
    const promptTokenIds = Array.from({ length: 4000 }, (_, at) => 500_000 + number * 4000 + at);
    const identity = { lora: null, cacheSalt: null };
    const request = { id: `elsewhere-${number}`, promptTokenIds, outputTokens: 4, identity };
    engines.submit(SATURATED, request, () => {});
  }
}

function drain({ engines }: VirtualFleet, draining: boolean): void {
  engines.state(DRAINED).draining = draining;
}

function kill({ engines, clock }: VirtualFleet): void {
  engines.kill(KILLED);
  clock.after(UNNOTICED_MS, () => {
    engines.state(KILLED).healthy = false;
  });
}

function revive({ engines }: VirtualFleet): void {
  engines.restart(KILLED);
  engines.state(KILLED).healthy = true;
}
