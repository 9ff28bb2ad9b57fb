// Runs the DataPlane suites for every implementation there is.

import { nativeSkip } from '#test/support/native-addon.js';
import { makeNativePlane, nativePlaneMaker } from '#test/support/native-plane.js';
import { makePortablePlane } from '#test/support/portable-plane.js';
import { clientSuite } from './data-plane-clients.suite.js';
import { faultSuite } from './data-plane-faults.suite.js';
import { relaySuite } from './data-plane-relay.suite.js';

const planes = [
  ['portable', makePortablePlane, false],
  ['native', makeNativePlane, nativeSkip],
  ['native, least loaded', nativePlaneMaker({ threads: 3, accept: 'least-loaded' }), nativeSkip],
] as const;

for (const [name, make, skip] of planes) {
  relaySuite(name, make, skip);
  faultSuite(name, make, skip);
  clientSuite(name, make, skip);
}
