// A herd: many long prompts that share few prefixes reach an idle fleet within 50 ms, before any
// engine has computed or told anything. What came of it, by engine and by time to first token.

import type { PolicySettings } from '#config/configuration.js';
import { seededRandom } from '#contracts/random.js';
import { type VirtualAnswer, VirtualFleet } from '#test/support/virtual-fleet/fleet.js';
import { inOrder, quantile } from '#test/support/virtual-fleet/traffic.js';

const PROMPTS = 1000;
const PROMPT_TOKENS = 7200;
const WITHIN_MS = 50;

export interface HerdOptions {
  readonly policy: PolicySettings;
  readonly endpoints: number;
  readonly prefixes: number;
  /** Id of a prompt's session. */
  readonly sessionOf: (prefix: number, number: number) => string;
  readonly seed: number;
}

export interface HerdResult {
  /** Requests by endpoint. */
  readonly loads: readonly number[];
  readonly used: number;
  /** The most loaded over the mean of those used. */
  readonly overMean: number;
  /** Requests whose engine reused less than half of the prompt. */
  readonly coldPrefills: number;
  /** Pairs of a prefix and an endpoint that served it. */
  readonly places: number;
  /** Milliseconds. */
  readonly firstTokenP50: number;
  readonly firstTokenP90: number;
}

/** Runs one herd from an idle fleet to its last answer. Throws when a request fails. */
export function runHerd({ policy, endpoints, prefixes, sessionOf, seed }: HerdOptions): HerdResult {
  // Of its own: policies that draw more or less often get the same prompts.
  const random = seededRandom(seed);
  const fleet = new VirtualFleet({ endpoints, policy, random: seededRandom(seed + 1000) });
  // Everyone has been scraped by now.
  fleet.clock.advance(3000);
  const prompts = Array.from({ length: prefixes }, (_, prefix) => promptOf(prefix));
  const answers: { readonly prefix: number; readonly answer: VirtualAnswer }[] = [];
  inOrder(fleet.clock, PROMPTS, WITHIN_MS / PROMPTS, (number) => {
    const prefix = Math.floor(random.next() * prefixes);
    const headers = { 'x-session-id': sessionOf(prefix, number) };
    const request = { tokenIds: prompts[prefix] ?? [], outputTokens: 64, headers };
    fleet.send(request, (answer) => answers.push({ prefix, answer }));
  });
  fleet.clock.advance(WITHIN_MS);
  fleet.settle();
  return resultOf(answers, endpoints);
}

function resultOf(
  answers: readonly { readonly prefix: number; readonly answer: VirtualAnswer }[],
  endpoints: number,
): HerdResult {
  const loads = new Array<number>(endpoints).fill(0);
  const places = new Set<string>();
  let coldPrefills = 0;
  for (const { prefix, answer } of answers) {
    if (answer.status !== 200) throw new Error(`a request was answered ${answer.status}`);
    loads[answer.slot] = (loads[answer.slot] ?? 0) + 1;
    places.add(`${prefix} ${answer.slot}`);
    if (answer.cachedTokens < PROMPT_TOKENS / 2) coldPrefills += 1;
  }
  if (answers.length !== PROMPTS) throw new Error(`${answers.length} answers`);
  const firstTokens = answers.map(({ answer }) => answer.firstTokenMs);
  const used = loads.filter((load) => load > 0).length;
  return {
    loads,
    used,
    overMean: (Math.max(...loads) * used) / PROMPTS,
    coldPrefills,
    places: places.size,
    firstTokenP50: quantile(firstTokens, 0.5),
    firstTokenP90: quantile(firstTokens, 0.9),
  };
}

/** Prompts of different prefixes share no block. */
function promptOf(prefix: number): readonly number[] {
  return Array.from({ length: PROMPT_TOKENS }, (_, at) => (prefix * 7919 + at * 31) % 50_000);
}
