// Parameters that name a header: taken when requests can bring it to a plugin, refused with the way out
// when the router drops it on the way.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { OWN_HEADERS, RESERVED_PREFIXES } from '#contracts/header-names.js';
import { readHead } from '#core/portable/data-plane/head.js';
import { headerName } from '#plugins/header-name.js';
import { ConfigurationFiles, endpointPickerConfig } from '#test/support/configuration-files.js';

const files = new ConfigurationFiles();
after(() => files.remove());
const parameter = headerName('A header.');

test('a name is taken exactly when a request brings the header to plugins', () => {
  const names = [
    ...OWN_HEADERS,
    ...RESERVED_PREFIXES,
    ...RESERVED_PREFIXES.map((prefix) => `${prefix}more`),
    ...['x-gateway-destination-endpoint-subset', 'x-llm-d-anything', 'x-session-id', 'session-id'],
    ...[
      'session_id',
      'x_session_id',
      'x-conversation_id',
      'cookie',
      'authorization',
      'EPP-Profile',
    ],
  ];
  let refused = 0;
  for (const name of names) {
    const { headers } = readHead([name, 'value'], '1.1');
    const { success } = parameter.safeParse(name);
    assert.equal(success, name.toLowerCase() in headers, name);
    if (!success) refused += 1;
  }
  // All but `host`, twice the prefixes, two with an underscore.
  assert.equal(refused, OWN_HEADERS.length - 1 + 2 * RESERVED_PREFIXES.length + 2);
});

test('the message says what is wrong, where, and what to do', () => {
  files.write(
    'warmpath.yaml',
    'endpoints: [http://10.0.0.1:8000]\n' +
      'scheduling:\n' +
      '  producers:\n' +
      '    - {type: agent-identity, parameters: {additionalSessionHeaders: [x-a, X_Conversation]}}\n' +
      '    - {type: session-id-producer, parameters: {headerName: x-request-id}}\n' +
      '  profile: {}\n',
  );
  assert.deepEqual(files.mistakes(['warmpath.yaml']), [
    'warmpath.yaml:4:75: scheduling.producers[0].parameters.additionalSessionHeaders[1]: expected a header without `_`: such headers are dropped, because some servers read `_` as `-`; let clients send it with `-`, got "X_Conversation"',
    'warmpath.yaml:5:60: scheduling.producers[1].parameters.headerName: expected a header that plugins see: this one is between the client and the router alone; use a name of your own, got "x-request-id"',
  ]);
  files.write(
    'epp.yaml',
    endpointPickerConfig(
      'plugins:',
      '- type: session-affinity-filter',
      '  parameters: {encodedEndpointHeaderConfig: {header: x-warmpath-session}}',
    ),
  );
  assert.deepEqual(files.mistakes(['epp.yaml'], { endpoints: ['http://10.0.0.1:8000'] }), [
    'epp.yaml:5:54: plugins[0].parameters.encodedEndpointHeaderConfig.header: expected a header that clients may send: by this one routers steer, and it is dropped; use a name of your own, got "x-warmpath-session"',
  ]);
});
