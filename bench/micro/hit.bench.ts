// What a prompt whose token ids are known costs until its endpoint is chosen: hash, match and score,
// 8k and 128k tokens over 64 endpoints, as one figure. Hash and match are the native core's own
// benchmark in an index of ten million residencies (`--entries`), which cargo builds; the score is a
// whole cycle of the precise policy, filters and picker included.

import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { POLICY_PROFILES } from '#config/policies.js';
import { repositoryRoot } from '#test/support/paths.js';
import { cycles } from '../support/cycles.js';
import { measure, printMachine, printTable } from '../support/measure.js';

const ENDPOINTS = 64;
/** As the native benchmark names them. */
const PROMPTS = [
  { tokens: '8k tokens', blocks: '500' },
  { tokens: '128k tokens', blocks: '8192' },
] as const;

const { values } = parseArgs({
  options: { entries: { type: 'string', default: '10000000' } },
  strict: false,
});
printMachine();
const [precise] = measure([cycles(POLICY_PROFILES.precise, ENDPOINTS)], 1000);
const score = (precise?.unitNs ?? Number.NaN) / 1000;
const printed = nativeFigures(String(values.entries));
console.log(`\nCPU µs, medians; ${ENDPOINTS} endpoints, ${String(values.entries)} residencies`);
printTable(
  ['prompt', 'hash', 'match', 'score', 'sum'],
  PROMPTS.map(({ tokens, blocks }) => {
    const [hash, match] = [figure('hash', blocks), figure('match', blocks)];
    return [tokens, hash, match, score, hash + match + score];
  }),
);

function nativeFigures(entries: string): string {
  const words = 'run --release --locked -p warmpath-bench-index --'.split(' ');
  const { status, stdout } = spawnSync('cargo', [...words, entries, 'matches'], {
    cwd: path.join(repositoryRoot, 'native'),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status === 0) return stdout;
  console.log('hash and match are skipped: cargo could not run warmpath-bench-index');
  return '';
}

/** Median of one line, `match of 500 (8k tokens) blocks, changing prompts: 4.1 µs median, …`. */
function figure(part: 'hash' | 'match', blocks: string): number {
  const line = new RegExp(`^${part} of ${blocks} .*: ([\\d.]+) µs median`, 'm').exec(printed);
  return Number(line?.[1] ?? Number.NaN);
}
