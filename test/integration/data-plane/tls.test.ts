// Engines behind HTTPS: reached with their private CA, refused without it.

import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import { test } from 'node:test';
import { eventually } from '#test/support/eventually.js';
import { endpoint, PlaneRig } from '#test/support/plane-rig.js';
import { PLANES } from '#test/support/planes.js';
import { post, RawClient } from '#test/support/raw-client.js';
import { TEST_CERTIFICATE, TEST_KEY } from '#test/support/test-certificate.js';

for (const { name, make, skip } of PLANES) {
  test(`${name}: a private CA is trusted where it is configured, and only there`, {
    skip,
  }, async () => {
    const server = createServer({ cert: TEST_CERTIFICATE, key: TEST_KEY }, (request, response) => {
      response.end(`hello ${request.headers.authorization}`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const url = `https://127.0.0.1:${address.port}`;
    const rig = await PlaneRig.start(make, []);
    rig.setEndpoints([
      endpoint(0, url),
      endpoint(1, url, { security: { apiKey: 'key', caPem: TEST_CERTIFICATE } }),
    ]);
    const client = new RawClient(rig.port).send(post('{}'));
    await eventually('an answer', () => client.text.includes('hello Bearer key'));
    await rig.finished(1);
    assert.deepEqual(rig.story, ['0 unreachable -> 1', '1 answers 200', 'completed']);
    client.socket.destroy();
    await rig.stop();
    server.closeAllConnections();
    server.close();
  });
}
