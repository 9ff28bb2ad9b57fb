// Runs the DataPlane suites for every implementation there is.

import { LEAST_LOADED_PLANE, PLANES } from '#test/support/planes.js';
import { clientSuite } from './data-plane-clients.suite.js';
import { faultSuite } from './data-plane-faults.suite.js';
import { headSuite, relaySuite } from './data-plane-relay.suite.js';

for (const { name, make, skip } of [...PLANES, LEAST_LOADED_PLANE]) {
  relaySuite(name, make, skip);
  headSuite(name, make, skip);
  faultSuite(name, make, skip);
  clientSuite(name, make, skip);
}
