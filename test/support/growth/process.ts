// A process that calls every export of the addon over and over and prints, as one line of JSON, what
// each loop left behind and how often each export was called. `WARMPATH_GROWTH_FACTOR` multiplies
// the turns; `WARMPATH_GROWTH_LEAK` keeps memory on purpose, so that the test can see it found.

import assert from 'node:assert/strict';
import type { Addon } from '#core/native/addon.js';
import { nativeAddon } from '#test/support/native-addon.js';
import { eventCases } from './event-cases.js';
import { historyCases } from './history-cases.js';
import { indexCases } from './index-cases.js';
import { type Growth, type GrowthCase, type GrowthCases, measureGrowth } from './measure.js';
import { planeCases } from './plane-cases.js';
import { promptCases } from './prompt-cases.js';
import { refusedCases } from './refused-cases.js';
import { speculativeCases } from './speculative-cases.js';
import { storeCases } from './store-cases.js';
import { watcherCases } from './watcher-cases.js';

/** What the process prints. */
export interface GrowthReport {
  readonly exports: readonly string[];
  /** Calls of each export in all rounds. */
  readonly calls: Readonly<Record<string, number>>;
  readonly growths: readonly Growth[];
}

const CONTROL: GrowthCase = {
  name: 'control: what is kept on purpose',
  turns: 200,
  call: () => {
    kept.push(Buffer.alloc(64 * 1024, 1));
  },
};
const kept: Buffer[] = [];

assert(globalThis.gc !== undefined, 'run with --expose-gc');
const factor = Number(process.env['WARMPATH_GROWTH_FACTOR'] ?? 1);
const exported = nativeAddon();
const calls = new Map<string, number>();
const addon = counting(exported);
const groups: readonly ((addon: Addon) => GrowthCases | Promise<GrowthCases>)[] = [
  refusedCases,
  storeCases,
  indexCases,
  speculativeCases,
  eventCases,
  historyCases,
  promptCases,
  planeCases,
  watcherCases,
];
const growths: Growth[] = [];
// What is waited for natively keeps no process alive.
const alive = setInterval(() => {}, 1000);
if (process.env['WARMPATH_GROWTH_LEAK'] !== undefined) {
  growths.push(await measureGrowth(CONTROL));
} else {
  for (const group of groups) {
    const { cases, close } = await group(addon);
    for (const one of cases) {
      growths.push(await measureGrowth({ ...one, turns: one.turns * factor }));
    }
    await close();
  }
}
clearInterval(alive);
const report: GrowthReport = {
  exports: Object.keys(exported),
  calls: Object.fromEntries(calls),
  growths,
};
process.stdout.write(`${JSON.stringify(report)}\n`);

/** The addon, with calls counted by export. */
function counting(exported: Addon): Addon {
  const counted: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(exported)) {
    assert(typeof value === 'function', `${name} is a function`);
    counted[name] = (...given: readonly unknown[]): unknown => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      return Reflect.apply(value, undefined, given);
    };
  }
  return counted as unknown as Addon;
}
