// Every DataPlane there is, for tests that hold all of them to the same behaviour.

import { nativeSkip } from '#test/support/native-addon.js';
import { makeNativePlane, nativePlaneMaker } from '#test/support/native-plane.js';
import type { MakePlane } from '#test/support/plane-rig.js';
import { makePortablePlane } from '#test/support/portable-plane.js';

export interface PlaneUnderTest {
  readonly name: string;
  readonly make: MakePlane;
  /** Why it cannot be tested here, or false. */
  readonly skip: string | false;
}

export const PLANES: readonly PlaneUnderTest[] = [
  { name: 'portable', make: makePortablePlane, skip: false },
  { name: 'native', make: makeNativePlane, skip: nativeSkip },
];

/** The native plane again, with the other way of accepting connections. */
export const LEAST_LOADED_PLANE: PlaneUnderTest = {
  name: 'native, least loaded',
  make: nativePlaneMaker({ threads: 3, accept: 'least-loaded' }),
  skip: nativeSkip,
};
