// `warmpath engine-sim`: what is said about flags that cannot work, and a run from start to signal.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EngineSimOptions, engineSim } from '#main/commands/engine-sim.js';

async function refused(options: EngineSimOptions): Promise<string> {
  const lines: string[] = [];
  assert.equal(await engineSim(options, (line) => lines.push(line)), 2);
  return lines.join('\n');
}

test('flags that cannot work are named and end with exit code 2', async () => {
  assert.match(await refused({ replicas: 'two' }), /--replicas must be a number/);
  assert.match(await refused({ encoding: 'json' }), /--encoding must be map or array/);
  assert.match(await refused({ faults: '{' }), /--faults is not JSON/);
  assert.match(await refused({ faults: '{"drop":{}}' }), /unknown fault "drop"/);
  assert.match(await refused({ blockSize: '0' }), /blockSize must be a whole number/);
  assert.match(await refused({ gpuBlocks: '10', maxModelLen: '4096' }), /does not fit/);
});

test('addresses are printed; a signal closes everything', async () => {
  const lines: string[] = [];
  let announce = (): void => {};
  const started = new Promise<void>((resolve) => {
    announce = resolve;
  });
  const exitCode = engineSim({ replicas: '2', dataParallelSize: '2', model: 'tiny' }, (line) => {
    lines.push(line);
    if (lines.length === 6) announce();
  });
  await started;
  const url = /^(http:\S+) {2}model tiny$/.exec(lines[0] ?? '')?.[1] ?? '';
  assert.equal((await fetch(`${url}/health`)).status, 200);
  assert.match(lines[2] ?? '', /rank 1 {2}events tcp:\S+ {2}replay tcp:\S+/);
  process.emit('SIGTERM');
  assert.equal(await exitCode, 0);
  await assert.rejects(fetch(`${url}/health`));
});
