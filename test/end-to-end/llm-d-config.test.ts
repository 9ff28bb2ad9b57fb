// The command line with configurations of llm-d: the router schedules as they say, endpoints come and
// go with the file that `file-discovery` names, and `config migrate` writes what can be started.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { eventually } from '#test/support/eventually.js';
import { repositoryRoot, sharedFile } from '#test/support/paths.js';
import { startProcess, startRouterProcess } from '#test/support/processes.js';

const files = new ConfigurationFiles();
let engines: EngineSimFleet;

before(async () => {
  engines = await startFastSims({ replicas: 2 });
});

after(async () => {
  await engines.stop();
  files.remove();
});

function list(count: number): string {
  const entries = engines.engines.slice(0, count).map(({ url }, index) => {
    const { hostname, port } = new URL(url);
    return `- {name: engine-${index}, address: ${hostname}, port: "${port}"}\n`;
  });
  return `endpoints:\n${entries.join('')}`;
}

const PROFILE = [
  'plugins:',
  '- {name: found, type: file-discovery, parameters: {path: endpoints.yaml, watchFile: true}}',
  '- {type: active-request-scorer}',
  '- {type: prefix-cache-scorer}',
  'schedulingProfiles:',
  '- name: mine',
  '  plugins: [{pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: active-request-scorer}]',
  'dataLayer: {discovery: {pluginRef: found}}',
];

function command(...args: readonly string[]): ReturnType<typeof startProcess> {
  return startProcess(process.execPath, [
    path.join(repositoryRoot, 'scripts/warmpath.js'),
    ...args,
  ]);
}

async function servedBy(url: string): Promise<{ endpoint: string; score: string }> {
  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: engines.engines[0]?.modelId, prompt: 'hello', max_tokens: 1 }),
  });
  await answer.text();
  assert.equal(answer.status, 200);
  return {
    endpoint: answer.headers.get('x-warmpath-endpoint') ?? '',
    score: answer.headers.get('x-warmpath-score') ?? '',
  };
}

test('its profile schedules, and endpoints come and go with the file', async () => {
  files.write('endpoints.yaml', list(1));
  const epp = files.write('epp.yaml', endpointPickerConfig(...PROFILE));
  // The policy decides, however late that is on a busy machine.
  const patient = files.write('patient.yaml', 'timeouts: {decide: 1m}\n');
  const router = await startRouterProcess([`--config=${epp}`, `--config=${patient}`]);
  try {
    const first = await servedBy(router.url);
    assert.equal(first.endpoint, new URL(engines.engines[0]?.url ?? '').host);
    assert.match(first.score, /prefix-cache-scorer=\S+\*2 active-request-scorer=\S+\*1$/);
    writeFileSync(path.join(files.folder, 'endpoints.yaml'), list(2));
    const second = new URL(engines.engines[1]?.url ?? '').host;
    await eventually('the second engine serves too', async () => {
      return (await servedBy(router.url)).endpoint === second;
    });
    const only = list(2).split('\n').toSpliced(1, 1).join('\n');
    writeFileSync(path.join(files.folder, 'endpoints.yaml'), only);
    await eventually('the first engine is gone', async () => {
      const status = (await (await fetch(`${router.adminUrl}/status`)).json()) as object;
      return !JSON.stringify(status).includes(new URL(engines.engines[0]?.url ?? '').host);
    });
    assert.equal((await servedBy(router.url)).endpoint, second);
  } finally {
    await router.end();
  }
});

test('what `config migrate` writes starts the same router', async () => {
  files.write('endpoints.yaml', list(2));
  const epp = files.write('epp.yaml', endpointPickerConfig(...PROFILE));
  const output = path.join(files.folder, 'migrated.yaml');
  assert.equal(await command('config', 'migrate', epp, `--output=${output}`).exited, 0);
  const again = command('config', 'migrate', epp, `--output=${output}`);
  assert.equal(await again.exited, 2);
  assert.deepEqual(again.lines, [`cannot write ${output}: it exists already`]);
  const printed = command('config', 'migrate', epp);
  assert.equal(await printed.exited, 0);
  const listed = path.join(files.folder, 'endpoints.yaml');
  assert.equal(
    printed.lines.join('\n'),
    readFileSync(output, 'utf8').trimEnd().replace('path: endpoints.yaml', `path: ${listed}`),
  );
  const router = await startRouterProcess([`--config=${output}`]);
  try {
    assert.match((await servedBy(router.url)).score, /active-request-scorer/);
  } finally {
    await router.end();
  }
});

test('what cannot be used ends with exit code 2 and its place', async () => {
  const epp = files.write('bad.yaml', endpointPickerConfig('plugins: [{type: queue-score}]'));
  for (const args of [
    ['validate', '--config', epp],
    ['config', 'migrate', epp],
  ]) {
    const ran = command(...args);
    assert.equal(await ran.exited, 2);
    assert.deepEqual(ran.lines, [
      `${epp}:3:18: plugins[0].type: unknown plugin type \`queue-score\`; did you mean \`queue-scorer\`?`,
    ]);
  }
});

/** Scorers that a decision must name, by file of llm-d's repository. */
const ROUTED: Readonly<Record<string, readonly string[]>> = {
  'epp-config.yaml': ['prefix-cache-scorer'],
  'epp-estimate-prefix-cache-config.yaml': ['prefix-cache-scorer', 'load-aware-scorer'],
  'epp-mm-embeddings-cache-config.yaml': [
    'prefix-cache-scorer',
    'mm-embeddings-cache-scorer',
    'queue-scorer',
  ],
  'epp-precise-prefix-cache-config.yaml': [
    'prefix-cache-scorer',
    'kv-cache-utilization-scorer',
    'queue-scorer',
  ],
  'sim-epp-config.yaml': ['prefix-cache-scorer'],
  'sim-epp-no-hit-lru.yaml': ['prefix-cache-scorer', 'no-hit-lru-scorer'],
};
const REFUSED: Readonly<Record<string, RegExp>> = {
  'epp-burst-prefix-cache-config.yaml': /`burst-prefix-cache-producer` is not supported: /,
  'pd-epp-config.yaml': /`disagg-profile-handler` is not supported: it belongs to disaggregated/,
};

for (const [name, scorers] of Object.entries(ROUTED)) {
  test(`llm-d's ${name} routes`, async (context) => {
    const file = sharedFile(`llm-d-configs/${name}`);
    if (file === null) return context.skip('the shared files are not beside this checkout');
    const own = files.write(
      'warmpath.yaml',
      `endpoints:\n${engines.engines.map(({ url }) => `  - ${url}\n`).join('')}`,
    );
    const router = await startRouterProcess(['--config', file, '--config', own]);
    try {
      const { score } = await servedBy(router.url);
      const named = score
        .split(' ')
        .slice(1)
        .map((term) => term.split('=')[0]);
      assert.deepEqual(named, scorers);
    } finally {
      await router.end();
    }
  });
}

for (const [name, reason] of Object.entries(REFUSED)) {
  test(`llm-d's ${name} does not start, and says why`, async (context) => {
    const file = sharedFile(`llm-d-configs/${name}`);
    if (file === null) return context.skip('the shared files are not beside this checkout');
    const endpoint = `--endpoint=${engines.engines[0]?.url}`;
    const ran = command('serve', `--config=${file}`, endpoint, '--listen=127.0.0.1:0');
    assert.equal(await ran.exited, 2);
    assert.match(ran.lines.join('\n'), reason);
  });
}
