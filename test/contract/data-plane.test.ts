// Runs the DataPlane suites for every implementation there is.

import { makePortablePlane } from '#test/support/portable-plane.js';
import { relaySuite } from './data-plane-relay.suite.js';

relaySuite('portable', makePortablePlane);
