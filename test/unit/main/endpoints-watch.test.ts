// The endpoints file at run time: a change is read, one that cannot be read changes nothing.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { EndpointSettings } from '#config/configuration.js';
import { EndpointsWatch } from '#main/endpoints-watch.js';
import { ConfigurationFiles } from '#test/support/configuration-files.js';
import { eventually } from '#test/support/eventually.js';

const files = new ConfigurationFiles();
after(() => files.remove());

/** A list of as many endpoints: its length tells versions of the file apart. */
function list(count: number): string {
  const entries = Array.from(
    { length: count },
    (_, index) => `- {name: e${index}, address: 10.0.0.${index + 1}, port: 8000}\n`,
  );
  return `endpoints:\n${entries.join('')}`;
}

test('endpoints come and go with the file; a broken file leaves them', async () => {
  files.write('endpoints.yaml', list(1));
  files.write(
    'warmpath.yaml',
    'endpoints: [http://own:1]\nendpointsFile: {path: endpoints.yaml, watch: true}\n',
  );
  const { configuration } = files.load(['warmpath.yaml']);
  let endpoints: readonly EndpointSettings[] = configuration.endpoints;
  const errors: unknown[] = [];
  const quiet = (): void => {};
  const logger = {
    debug: quiet,
    info: quiet,
    warn: quiet,
    error: (fields: object) => errors.push(fields),
  };
  const watch = new EndpointsWatch({
    configuration,
    logger,
    onEndpoints: (found) => {
      endpoints = found;
    },
  });
  watch.start();
  try {
    assert.deepEqual(
      endpoints.map(({ url }) => url),
      ['http://own:1', 'http://10.0.0.1:8000'],
    );
    // A first look must have been taken before a change can be seen: change it until it is.
    let count = 2;
    await eventually('the longer list is read', () => {
      if (endpoints.length > 2) return true;
      count = count === 2 ? 3 : 2;
      files.write('endpoints.yaml', list(count));
      return false;
    });
    files.write('endpoints.yaml', 'endpoints: [{name: a}]\n');
    await eventually('the broken list is told', () => errors.length > 0);
    assert.ok(endpoints.length > 2);
    files.write('endpoints.yaml', 'endpoints: []\n');
    await eventually('the empty list is read', () => endpoints.length === 1);
    assert.equal(endpoints[0]?.url, 'http://own:1');
  } finally {
    watch.stop();
  }
});

test('without `watch` nothing is looked at', () => {
  files.write('endpoints.yaml', list(1));
  files.write('still.yaml', 'endpointsFile: {path: endpoints.yaml}\n');
  const { configuration } = files.load(['still.yaml']);
  const refuse = (): never => assert.fail('the file was looked at');
  const logger = { debug: refuse, info: refuse, warn: refuse, error: refuse };
  const watch = new EndpointsWatch({ configuration, logger, onEndpoints: refuse });
  watch.start();
  watch.stop();
});
