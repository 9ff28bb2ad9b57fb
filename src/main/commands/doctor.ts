// `warmpath doctor`: for each engine address, is everything there that precise routing needs? Puts
// the real router before that engine alone and sends two probe prompts through it, so that what is
// checked is what will run. Changes nothing but a few cache blocks of the engine.

import { randomUUID } from 'node:crypto';
import type { Configuration } from '#config/configuration.js';
import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import { processClock } from '#workers/process-clock.js';
import { ComposedRouter } from '../compose.js';
import { type CommandLineFlags, readConfiguration } from '../configuration.js';
import { type ChosenCore, coreOrExplain } from '../core-choice.js';
import {
  type Check,
  checkEvents,
  checkModels,
  checkPrediction,
  checkProof,
  checkReachable,
} from './doctor-checks.js';
import { type DoctorStatus, readDoctorStatus, sendBareProbe, sendProbe } from './doctor-probe.js';

export interface DoctorOptions extends CommandLineFlags {
  readonly json?: boolean;
}

const WAIT_MS = 15_000;
const POLL_MS = 50;
/** Rounds of probes that look for data-parallel ranks nobody has asked yet. */
const RANK_ROUNDS_MAX = 4;

/** Prints the checks; 0 when none failed, 1 when one did, 2 for a bad configuration. */
export async function doctor(
  options: DoctorOptions,
  output: (line: string) => void,
): Promise<number> {
  const configuration = readConfiguration(options);
  const chosen = await coreOrExplain();
  if (configuration === null || chosen === null) return 2;
  if (configuration.endpoints.length === 0) {
    process.stderr.write('doctor needs at least one endpoint: --endpoint http://host:port\n');
    return 2;
  }
  const report: Record<string, readonly Check[]> = {};
  for (const url of new Set(configuration.endpoints.map((endpoint) => endpoint.url))) {
    const checks = await examine(configuration, chosen, url);
    report[url] = checks;
    if (options.json !== true) print(url, checks, output);
  }
  if (options.json === true) output(JSON.stringify(report));
  const failed = Object.values(report).some((checks) =>
    checks.some(({ verdict }) => verdict === 'FAIL'),
  );
  return failed ? 1 : 0;
}

function print(url: string, checks: readonly Check[], output: (line: string) => void): void {
  output(url);
  for (const { verdict, subject, finding, remedy } of checks) {
    output(`  ${verdict.padEnd(4)}  ${subject.padEnd(13)} ${finding}`);
    if (remedy !== '') output(`        ${''.padEnd(13)} → ${remedy}`);
  }
}

/** Runs the router before one address and collects what it finds. */
async function examine(
  configuration: Configuration,
  chosen: ChosenCore,
  url: string,
): Promise<readonly Check[]> {
  const examined = {
    ...configuration,
    endpoints: configuration.endpoints.filter((endpoint) => endpoint.url === url),
    endpointsFile: null,
    listen: { host: '127.0.0.1', port: 0 },
    admin: { host: '127.0.0.1', port: 0 },
    headers: { decision: true, endpointSubset: false },
    log: { level: 'error' },
    // A policy that does not go by prefixes could send the second probe to another rank.
    policy: singleProfilePolicy(POLICY_PROFILES.precise),
  } as const;
  const router = new ComposedRouter(examined, chosen);
  try {
    await router.start();
    return await runChecks(router);
  } catch (error) {
    const finding = error instanceof Error ? error.message : String(error);
    return [{ verdict: 'FAIL', subject: 'router', finding, remedy: '' }];
  } finally {
    await router.stop();
  }
}

async function runChecks(router: ComposedRouter): Promise<readonly Check[]> {
  const status = (): Promise<DoctorStatus> => readDoctorStatus(router.adminUrl);
  const first = await settled(status, ({ models }) => models.length > 0);
  const reachable = checkReachable(first);
  if (reachable.verdict === 'FAIL') return [reachable];
  const settledStatus = await settled(
    status,
    ({ models, endpoints }) =>
      models.every(({ proof }) => proof !== 'pending') &&
      endpoints.every(({ events }) => events === null || events.state === 'live'),
  );
  const model = settledStatus.models.find(({ adapter }) => adapter === '')?.id ?? '';
  const text = probeText();
  const cold = await sendProbe(router.url, model, text);
  await settled(status, arrivals(settledStatus, new Set([cold.endpoint])));
  const warm = await sendProbe(router.url, model, text);
  const asked = new Set([cold.endpoint, warm.endpoint]);
  for (let round = 0; round < RANK_ROUNDS_MAX; round += 1) {
    const ranks = settledStatus.endpoints.length;
    if (asked.size >= ranks) break;
    for (const endpoint of await probeTogether(router, model, ranks)) asked.add(endpoint);
  }
  const arrived = arrivals(settledStatus, asked);
  const last = await settled(status, (now) => arrived(now) && heard(now, asked));
  const answered = last.endpoints.find(({ endpoint }) => endpoint === warm.endpoint);
  return [
    reachable,
    ...checkModels(last),
    checkProof(last),
    ...checkEvents(last, asked),
    checkPrediction(cold, warm, answered?.engine ?? 'unknown'),
  ];
}

/** Sends one new prompt per rank at once, which spread by requests in flight; who answered. */
function probeTogether(
  router: ComposedRouter,
  model: string,
  ranks: number,
): Promise<readonly string[]> {
  const probes = Array.from({ length: ranks }, () => sendBareProbe(router.url, model, probeText()));
  return Promise.all(probes);
}

/** Polls until `done` holds or the wait is over; the checks then say what is missing. */
async function settled(
  status: () => Promise<DoctorStatus>,
  done: (status: DoctorStatus) => boolean,
): Promise<DoctorStatus> {
  const deadlineMs = processClock.nowMs() + WAIT_MS;
  let current = await status();
  while (!done(current) && processClock.nowMs() < deadlineMs) {
    await new Promise<void>((resolve) => processClock.after(POLL_MS, resolve));
    current = await status();
  }
  return current;
}

/**
 * Tells when the blocks of those who were asked have come as events: more than there were before,
 * and no more since the look before. Endpoints without events have nothing to come.
 */
function arrivals(
  before: DoctorStatus,
  asked: ReadonlySet<string>,
): (status: DoctorStatus) => boolean {
  const counts = ({ endpoints }: DoctorStatus): readonly (number | null)[] =>
    endpoints
      .filter(({ endpoint }) => asked.has(endpoint))
      .map(({ events }) => (events === null ? null : events.blocksStored));
  const had = counts(before);
  let seen: readonly (number | null)[] = [];
  return (status) => {
    const now = counts(status);
    const settledNow = now.every(
      (count, at) => count === null || (count > (had[at] ?? 0) && count === seen[at]),
    );
    seen = now;
    return settledNow;
  };
}

/** Whether everyone asked was heard live: a replay may tell of the blocks before the stream does. */
function heard({ endpoints }: DoctorStatus, asked: ReadonlySet<string>): boolean {
  return endpoints.every(
    ({ endpoint, events }) => events === null || !asked.has(endpoint) || events.framesReceived > 0,
  );
}

/** Text no cache has seen, some 600 tokens long: more than two blocks of any usual size. */
function probeText(): string {
  return Array.from({ length: 24 }, () => randomUUID()).join(' ');
}
