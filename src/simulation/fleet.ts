// Starts simulated engines in this process: what `warmpath engine-sim`, the embedded demo fleet
// and end-to-end tests use. All engines share one tokenizer; each has its own cache and sockets.

import { EngineServer } from './engine-server.js';
import { defaultTokenizerDirectory, EngineTokenizer } from './engine-tokenizer.js';
import { type EngineSimOptions, resolveSettings } from './sim-options.js';

/** By directory: loading takes most of a second and a hundred megabytes. */
const tokenizers = new Map<string, EngineTokenizer>();

export interface EngineSimFleet {
  readonly engines: readonly EngineServer[];
  /** Closes every engine's sockets; resolves when they are closed. */
  stop(): Promise<void>;
}

/**
 * Starts `options.replicas` engines and resolves once all listen. Rejects, with nothing left open,
 * when an option is wrong, the tokenizer cannot be read or an address is taken.
 */
export async function startEngineSims(options: EngineSimOptions): Promise<EngineSimFleet> {
  const settings = resolveSettings(options, defaultTokenizerDirectory());
  const tokenizer = loadTokenizer(
    settings.tokenizerDirectory,
    () => new Date(settings.unixTimeMs()),
  );
  const engines = Array.from(
    { length: settings.replicas },
    (_, position) => new EngineServer({ settings, tokenizer, position }),
  );
  const stop = async (): Promise<void> => {
    await Promise.all(engines.map((engine) => engine.kill()));
  };
  try {
    for (const engine of engines) await engine.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { engines, stop };
}

function loadTokenizer(directory: string, today: () => Date): EngineTokenizer {
  const loaded = tokenizers.get(directory) ?? new EngineTokenizer(directory, today);
  tokenizers.set(directory, loaded);
  return loaded;
}
