// The native data plane as the suites want it. Virtual time is passed on whenever it moves.

import { createDataPlane } from '#core/native/data-plane/data-plane.js';
import type { DataPlaneOptions } from '#core/native/data-plane/settings.js';
import { createRequestStore } from '#core/native/request-store.js';
import { nativeAddon } from '#test/support/native-addon.js';
import type { MakePlane } from '#test/support/plane-rig.js';
import { VirtualClock } from '#test/support/time.js';

/** Makes planes with the given threads and way of accepting connections. */
export function nativePlaneMaker(shape: Pick<DataPlaneOptions, 'threads' | 'accept'>): MakePlane {
  return ({ clock, timeouts }) => {
    const addon = nativeAddon();
    const store = createRequestStore(addon);
    const silent = () => {};
    const manualClock = clock instanceof VirtualClock;
    const plane = createDataPlane(addon, {
      store,
      clock,
      logger: { debug: silent, info: silent, warn: silent, error: silent },
      host: '127.0.0.1',
      port: 0,
      timeouts,
      manualClock,
      ...shape,
    });
    if (manualClock) clock.onAdvance = (nowMs) => plane.setTime(nowMs);
    return { plane, store };
  };
}

export const makeNativePlane: MakePlane = nativePlaneMaker({ threads: 2, accept: 'shared' });
