// The portable data plane as the suites want it.

import { createDataPlane } from '#core/portable/data-plane/data-plane.js';
import { createRequestMemory, openRequestStore } from '#core/portable/request-store.js';
import type { MakePlane } from '#test/support/plane-rig.js';

export const makePortablePlane: MakePlane = ({ clock, timeouts }) => {
  const store = openRequestStore(createRequestMemory(64));
  const silent = () => {};
  const plane = createDataPlane({
    store,
    clock,
    logger: { debug: silent, info: silent, warn: silent, error: silent },
    host: '127.0.0.1',
    port: 0,
    timeouts,
  });
  return { plane, store };
};
