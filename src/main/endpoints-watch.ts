// Follows the file that lists endpoints: a change of it changes the fleet. Looking at the file now and
// then finds every kind of change, renames and swapped links of mounted volumes included.

import { unwatchFile, watchFile } from 'node:fs';
import type { Configuration, EndpointSettings } from '#config/configuration.js';
import { ConfigurationError } from '#config/explain.js';
import { rereadEndpoints } from '#config/load.js';
import type { Logger } from '#contracts/logger.js';

const LOOK_INTERVAL_MS = 1000;

export interface EndpointsWatchOptions {
  readonly configuration: Configuration;
  readonly logger: Logger;
  /** Called with all endpoints after every change that can be read. */
  readonly onEndpoints: (endpoints: readonly EndpointSettings[]) => void;
}

/** Watches from `start` to `stop`, when the configuration says so. */
export class EndpointsWatch {
  readonly #options: EndpointsWatchOptions;
  readonly #file: string | null;
  readonly #changed = (): void => this.#reread();

  constructor(options: EndpointsWatchOptions) {
    const { endpointsFile } = options.configuration;
    this.#options = options;
    this.#file = endpointsFile?.watch === true ? endpointsFile.path : null;
  }

  start(): void {
    if (this.#file === null) return;
    watchFile(this.#file, { interval: LOOK_INTERVAL_MS, persistent: false }, this.#changed);
  }

  stop(): void {
    if (this.#file !== null) unwatchFile(this.#file, this.#changed);
  }

  /** A file that cannot be read leaves the fleet as it is: half a list would drop endpoints. */
  #reread(): void {
    const { configuration, logger, onEndpoints } = this.#options;
    try {
      const endpoints = rereadEndpoints(configuration);
      logger.info({ file: this.#file, endpoints: endpoints.length }, 'endpoints file read again');
      onEndpoints(endpoints);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      logger.error({ file: this.#file, error }, 'endpoints file cannot be used; the fleet stays');
    }
  }
}
