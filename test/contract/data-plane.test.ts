// Runs the DataPlane suites for every implementation there is.

import { makePortablePlane } from '#test/support/portable-plane.js';
import { clientSuite } from './data-plane-clients.suite.js';
import { faultSuite } from './data-plane-faults.suite.js';
import { relaySuite } from './data-plane-relay.suite.js';

relaySuite('portable', makePortablePlane);
faultSuite('portable', makePortablePlane);
clientSuite('portable', makePortablePlane);
