// The first minutes of a user: `serve` without endpoints, the curl lines it prints, the workflow of
// llm-d's quickstart with our address, a clean end.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { eventually } from '#test/support/eventually.js';
import { startRouterProcess } from '#test/support/processes.js';
import { readStatus } from '#test/support/status.js';

let router: Awaited<ReturnType<typeof startRouterProcess>>;

before(async () => {
  // Nothing else is waited for: who reads the lines may paste them at once.
  router = await startRouterProcess([]);
});

after(async () => {
  await router.end();
});

test('the printed curl lines show a miss, a hit, and why', async () => {
  await router.waitForLine(/debug\/decisions\/second/);
  const [cold = '', again = '', explain = ''] = router.lines.filter((line) =>
    line.startsWith('curl '),
  );
  const first = shell(cold);
  assert.match(first, /HTTP\/1\.1 200/);
  assert.match(first, /x-warmpath-matched-tokens: 0\/\d+/);
  const chosen = /x-warmpath-endpoint: (\S+)/.exec(first)?.[1];
  await untilEventsApplied();
  const second = shell(again);
  const matched = /x-warmpath-matched-tokens: (\d+)\/(\d+)/.exec(second);
  assert.ok(Number(matched?.[1]) > 0, second);
  assert.equal(/x-warmpath-endpoint: (\S+)/.exec(second)?.[1], chosen);
  assert.equal(
    JSON.parse(second.slice(second.indexOf('{'))).usage.prompt_tokens_details.cached_tokens,
    Number(matched?.[1]),
  );
  const explained = JSON.parse(shell(explain));
  assert.equal(explained.decision.chosen, chosen);
  assert.equal(explained.decision.predictedCachedTokens, Number(matched?.[1]));
  assert.equal(explained.decision.candidates.length, 4);
});

test("llm-d's quickstart works with our address", async () => {
  const models = JSON.parse(shell(`curl -s ${router.url}/v1/models`));
  const model = models.data[0].id;
  const prompt = 'Explain in simple words how a router can know what a server has cached. '.repeat(
    20,
  );
  const complete = (requestId: string): { usage: { prompt_tokens: number } } =>
    JSON.parse(
      shell(
        `curl -s ${router.url}/v1/completions -H 'content-type: application/json' ` +
          `-H 'x-request-id: ${requestId}' -d '${JSON.stringify({ model, prompt, max_tokens: 5 })}'`,
      ),
    );
  const logged = async (requestId: string): Promise<Record<string, unknown>> =>
    JSON.parse(
      await router.waitForLine(new RegExp(`"x-request-id":"${requestId}".*Got pod scores`)),
    );
  assert.ok(complete('llm-d-1').usage.prompt_tokens > 200);
  await untilEventsApplied();
  complete('llm-d-2');
  const first = await logged('llm-d-1');
  const second = await logged('llm-d-2');
  assert.equal(first['scores'], null);
  assert.equal(first['model'], model);
  const blocks = Object.values(second['scores'] as Record<string, number>);
  assert.ok(
    blocks.some((count) => count > 10),
    JSON.stringify(second),
  );
});

test('an unknown command, flag and a bad endpoint say what to do', () => {
  const unknown = spawnSync(process.execPath, ['scripts/warmpath.js', 'serve', '--endpint=x'], {
    encoding: 'utf8',
  });
  assert.equal(unknown.status, 2);
  assert.match(unknown.stderr, /--endpoint/);
  const mistyped = spawnSync(process.execPath, ['scripts/warmpath.js', 'docter'], {
    encoding: 'utf8',
  });
  assert.equal(mistyped.status, 2);
  assert.match(mistyped.stderr, /unknown command `docter`; did you mean `doctor`\?/);
  const bad = spawnSync(
    process.execPath,
    ['scripts/warmpath.js', 'validate', '--endpoint=ftp://x'],
    { encoding: 'utf8' },
  );
  assert.equal(bad.status, 2);
  assert.match(bad.stderr, /ftp/);
});

test('SIGTERM ends it with code 0', async () => {
  assert.equal(await router.end(), 0, router.lines.slice(-5).join('\n'));
});

/** The demo fleet publishes within milliseconds: waits until sequence numbers stop moving. */
async function untilEventsApplied(): Promise<void> {
  let last = -1;
  await eventually('sequence numbers stand still', async () => {
    const { endpoints } = await readStatus(router.adminUrl);
    const applied = endpoints.reduce((sum, { events }) => sum + (events?.lastSeq ?? -1), 0);
    const still = applied === last && applied > -endpoints.length;
    last = applied;
    return still;
  });
}

function shell(command: string): string {
  const result = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
  assert.equal(result.status, 0, `${command}: ${result.stderr}`);
  return result.stdout;
}
