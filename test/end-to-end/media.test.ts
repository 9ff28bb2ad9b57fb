// Requests with images: the same image goes where it was encoded before, different ones are spread,
// on both cores.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LoggedDecision } from '#contracts/decision.js';
import { MEDIA_KEYS_MAX } from '#contracts/limits.js';
import type { EngineSimFleet } from '#simulation/fleet.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';
import { startFastSims } from '#test/support/engine-sims.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { startRouterProcess } from '#test/support/processes.js';
import { untilProven } from '#test/support/status.js';

const REPLICAS = 3;
const IMAGES = 40;
/** Nothing but media decides; ties are drawn. */
const POLICY = `
scheduling:
  producers: [{type: mm-embeddings-cache-producer}]
  profiles:
    - name: default
      scorers: [{type: mm-embeddings-cache-scorer}]
`;

const files = new ConfigurationFiles();
let engines: EngineSimFleet;

before(async () => {
  engines = await startFastSims({ replicas: REPLICAS, modelId: 'sim' });
});

after(async () => {
  await engines.stop();
  files.remove();
});

/** Where a chat with these images went. */
async function ask(url: string, images: readonly string[], id = ''): Promise<string> {
  const parts = images.map((image) => ({ type: 'image_url', image_url: { url: image } }));
  const content = [{ type: 'text', text: 'What is on them?' }, ...parts];
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(id === '' ? {} : { 'x-request-id': id }) },
    body: JSON.stringify({ model: 'sim', max_tokens: 1, messages: [{ role: 'user', content }] }),
  });
  assert.equal(response.status, 200, await response.text());
  return response.headers.get('x-warmpath-endpoint') ?? '';
}

for (const core of ['native', 'portable'] as const) {
  test(`${core}: an image goes where it was encoded before`, {
    skip: core === 'native' && nativeSkip,
  }, async () => {
    const urls = engines.engines.map(({ url }) => `  - ${url}\n`).join('');
    const file = files.write('warmpath.yaml', `endpoints:\n${urls}${POLICY}`);
    const environment = { ...process.env, WARMPATH_CORE: core };
    const router = await startRouterProcess([`--config=${file}`], environment);
    try {
      await untilProven(router.adminUrl);
      const images = Array.from({ length: IMAGES }, (_, at) => `data:image/png;base64,AAA${at}`);
      const homes: string[] = [];
      for (const image of images) homes.push(await ask(router.url, [image]));
      assert.equal(new Set(homes).size, REPLICAS);
      for (const [at, image] of images.entries()) {
        assert.equal(await ask(router.url, [image]), homes[at]);
      }
      // Two of three images weigh more than one.
      const home = homes[0];
      const [other] = images.filter((_, at) => homes[at] !== home);
      const two = images.filter((_, at) => homes[at] === home).slice(0, 2);
      assert.ok(other !== undefined && two.length === 2);
      assert.equal(await ask(router.url, [other, ...two], 'three-images'), home);
      const answer = await fetch(`${router.adminUrl}/debug/decisions/three-images`);
      const { decision } = (await answer.json()) as LoggedDecision;
      assert.deepEqual(
        [decision.media.length, decision.noMatchReason],
        [3, 'policy-without-prefixes'],
      );
      const scores = decision.candidates.map(({ terms }) => terms[0]?.raw ?? -1);
      assert.deepEqual(
        scores.sort((a, b) => a - b),
        [0, 1 / 3, 2 / 3],
      );
      await tooMany(router);
    } finally {
      await router.end();
    }
  });
}

async function tooMany(router: { readonly url: string; readonly adminUrl: string }): Promise<void> {
  const images = Array.from({ length: MEDIA_KEYS_MAX + 2 }, (_, at) => `https://images/${at}`);
  await ask(router.url, images);
  const metrics = await (await fetch(`${router.adminUrl}/metrics`)).text();
  assert.match(metrics, /^warmpath_media_left_out_total 2$/m);
}
