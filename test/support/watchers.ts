// Every EngineWatcher there is, for tests that hold all of them to the same behaviour.

import type { EndpointSecurity } from '#contracts/endpoint.js';
import type { ClosableEngineWatcher, EngineWatch } from '#contracts/transport.js';
import { createEngineWatcher } from '#core/native/engine-watcher.js';
import { METRIC_LINES } from '#fleet/metrics-text.js';
import { HttpEngineClient } from '#main/engine-client.js';
import { nativeAddon, nativeSkip } from '#test/support/native-addon.js';
import { NO_SECURITY } from './fake-engine.js';

export interface WatcherUnderTest {
  readonly name: string;
  readonly make: () => ClosableEngineWatcher;
  /** Why it cannot be tested here, or false. */
  readonly skip: string | false;
}

export const WATCHERS: readonly WatcherUnderTest[] = [
  { name: 'portable', make: () => new HttpEngineClient(), skip: false },
  {
    name: 'native',
    make: () => createEngineWatcher(nativeAddon(), METRIC_LINES),
    skip: nativeSkip,
  },
];

/** Watches an engine without a key, and counts the connections it has closed. */
export class CountingWatch {
  readonly watch: EngineWatch;
  lost = 0;

  constructor(
    watcher: ClosableEngineWatcher,
    url: string,
    security: EndpointSecurity = NO_SECURITY,
  ) {
    this.watch = watcher.watch(url, security, () => {
      this.lost += 1;
    });
  }
}
