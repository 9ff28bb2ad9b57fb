// One data-parallel rank of a simulated engine: model, driver and publisher together. The server
// starts them, picks one per request, and replaces them all when the engine restarts.

import { noneHash } from './block-hash.js';
import { EngineDriver } from './engine-driver.js';
import { EngineModel } from './engine-model.js';
import type { EngineTokenizer } from './engine-tokenizer.js';
import { EventPublisher } from './event-publisher.js';
import type { FaultPlan } from './faults.js';
import type { EngineSimSettings } from './sim-options.js';

export interface EngineRank {
  readonly rank: number;
  readonly model: EngineModel;
  readonly driver: EngineDriver;
  readonly publisher: EventPublisher;
}

/** Where a rank's event sockets are. */
export interface RankAddresses {
  readonly address: string;
  readonly replayAddress: string;
}

export interface RankContext {
  readonly settings: EngineSimSettings;
  readonly tokenizer: EngineTokenizer;
  readonly faults: FaultPlan;
  readonly topic: string;
}

/** Opens the sockets of one rank and puts an empty engine behind them. */
export async function startRank(
  rank: number,
  addresses: RankAddresses,
  context: RankContext,
): Promise<EngineRank> {
  const { settings, tokenizer, faults, topic } = context;
  const { clock, unixTimeMs, encoding, hashForm, timeScale } = settings;
  const newest = encoding === 'map';
  const publisher = new EventPublisher({
    address: addresses.address,
    mode: settings.eventConnect === null ? 'bind' : 'dial',
    replayAddress: addresses.replayAddress,
    topic,
    dataParallelRank: rank,
    encoding,
    hashForm,
    replayTopicFrame: newest,
    clock,
    unixTimeMs,
    faults,
  });
  const model = new EngineModel({
    blockSize: settings.blockSize,
    noneHash: noneHash(settings.hashSeed),
    extraKeyForm: newest ? 'tagged' : 'plain',
    gpuBlocks: settings.gpuBlocks,
    batchedTokensMax: settings.batchedTokensMax,
    runningMax: settings.runningMax,
    lorasMax: settings.lorasMax,
    coefficients: settings.coefficients,
    seed: settings.seed,
    outputVocabulary: tokenizer.outputVocabulary,
  });
  const publish = publisher.publish.bind(publisher);
  const driver = new EngineDriver({ model, clock, timeScale, publish });
  try {
    await publisher.start();
  } catch (error) {
    publisher.close();
    throw error;
  }
  return { rank, model, driver, publisher };
}

/** Ends all requests and closes the sockets. */
export function stopRank(rank: EngineRank): void {
  rank.driver.stop();
  rank.publisher.close();
}

/** The rank with the least to do, waiting requests counting four times, as vLLM's balancer does. */
export function leastLoadedRank(ranks: readonly EngineRank[]): EngineRank | null {
  let best: EngineRank | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const rank of ranks) {
    const { waiting } = rank.model.stats();
    const score = rank.model.requests + 3 * waiting;
    if (score < least) {
      least = score;
      best = rank;
    }
  }
  return best;
}
