// Runs contenders against each other: all start, each is warmed up with the load of the case, then rounds alternate between
// them (A B C A B C …), so that a busy moment of the machine falls on all alike. Medians count; the
// least is printed beside them.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { median } from '../support/measure.js';
import type { Contender, ContenderKind, Field } from './contender.js';
import { type Engines, generateLoad, type LoadReport, type LoadShape } from './generator.js';
import { loadOptions } from './options.js';
import { installPeers } from './peers.js';

/** Rounds of one contender in one case. */
export interface Rounds {
  readonly contender: Contender;
  readonly reports: readonly LoadReport[];
}

const BASES: readonly string[] = ['nginx', 'direct'];

export interface Stage {
  readonly contenders: readonly Contender[];
  readonly field: Field;
}

/** Starts contenders, runs `body`, ends everything. The engines end too. */
export async function withContenders(
  engines: Engines,
  kinds: readonly ContenderKind[],
  more: Pick<Field, 'model'> & Partial<Field>,
  body: (stage: Stage) => Promise<void>,
): Promise<void> {
  const { only, installPeers: install } = loadOptions();
  if (install) installPeers();
  const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-bench-'));
  const field: Field = { engines, folder, eventSockets: [], residentBlocks: 0, ...more };
  // nginx and no proxy are what others are compared with, so they always run.
  const wanted = ({ name }: ContenderKind): boolean =>
    only.length === 0 || BASES.includes(name) || only.some((part) => name.includes(part));
  const started = await Promise.all(kinds.filter(wanted).map((kind) => startOrSay(kind, field)));
  const contenders = started.filter((contender) => contender !== null);
  try {
    await body({ contenders, field });
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
    await engines.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startOrSay(kind: ContenderKind, field: Field): Promise<Contender | null> {
  try {
    return await kind.start(field);
  } catch (error) {
    console.log(`  ${kind.name} is skipped: ${sentence(error)}`);
    return null;
  }
}

function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n').slice(-1)[0]?.slice(0, 300) ?? '';
}

/** One case: every contender is warmed up with the very load, then rounds alternate. */
export async function runRounds(
  contenders: readonly Contender[],
  shape: Omit<LoadShape, 'milliseconds'>,
): Promise<readonly Rounds[]> {
  const { rounds, roundMs } = loadOptions();
  for (const contender of contenders) {
    await generateLoad(contender.port, [], { ...shape, milliseconds: contender.warmUpMs });
  }
  const all = contenders.map((contender) => ({ contender, reports: [] as LoadReport[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const { contender, reports } of all) {
      const load = { ...shape, milliseconds: roundMs };
      reports.push(await generateLoad(contender.port, contender.pids, load));
    }
  }
  return all;
}

/** One load on one contender, measured. */
export function runOnce(contender: Contender, shape: LoadShape): Promise<LoadReport> {
  return generateLoad(contender.port, contender.pids, shape);
}

/** Median and least of a figure over the rounds. */
export function over(
  { reports }: Rounds,
  figure: (report: LoadReport) => number,
): { readonly median: number; readonly least: number } {
  // A machine that is not ours may give a process nothing for a whole round: `failuresOf` says so.
  const values = reports.map(figure).filter(Number.isFinite);
  return { median: median(values), least: Math.min(...values) };
}

/** CPU µs per request of the contender. */
export function cpuPerRequest(report: LoadReport): number {
  return report.cpuNs / report.requests / 1000;
}

/** CPU µs per chunk of the contender. */
export function cpuPerChunk(report: LoadReport): number {
  return report.cpuNs / report.chunks / 1000;
}

/** Answers that were not 200, and exchanges that broke. */
export function failuresOf({ reports }: Rounds): string {
  const counts = new Map<string, number>();
  for (const { statuses, failures } of reports) {
    for (const [reason, count] of [...Object.entries(statuses), ...Object.entries(failures)]) {
      if (reason !== '200') counts.set(reason, (counts.get(reason) ?? 0) + count);
    }
  }
  const empty = reports.filter(({ requests, chunks }) => requests + chunks === 0).length;
  if (empty > 0) counts.set('rounds without an answer', empty);
  return counts.size === 0 ? '0' : [...counts].map(([why, count]) => `${count} ${why}`).join(', ');
}

/** One figure of a contender. */
export interface Figure {
  readonly name: string;
  readonly value: number;
}

/** How many times the figure of the contender whose name contains `base` this is. */
export function times(own: Figure, all: readonly Figure[], base: 'nginx' | 'portable'): string {
  const other = all.find(({ name }) => name.includes(base));
  return other === undefined ? '-' : (own.value / other.value).toFixed(2);
}

/** How many times nginx's figure this is. */
export function ratioTo(all: readonly Rounds[], figure: (report: LoadReport) => number) {
  const base = all.find(({ contender }) => contender.name === 'nginx');
  const own = base === undefined ? Number.NaN : over(base, figure).median;
  return (rounds: Rounds): string =>
    Number.isNaN(own) ? '-' : (over(rounds, figure).median / own).toFixed(2);
}
