// The cores that micro benchmarks compare, by the faces of the contracts. What all cores share (the
// layout of index and records, scheduling) is not here. A core that is not there is a missing line
// of this table, and so a missing row of the figures.

import type { BlockIndexReader, BlockIndexWriter } from '#contracts/block-index.js';
import type { Clock } from '#contracts/clock.js';
import type { EventApplier, ModelDescriptor, SharedMemory } from '#contracts/core.js';
import { seededRandom } from '#contracts/random.js';
import type { RequestHandle } from '#contracts/request.js';
import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { PromptService } from '#core/portable/prompt/prompt-service.js';
import { openRequestStore } from '#core/portable/request-store.js';

/** Seed of all request keys in benchmarks. */
export const HASH_SECRET = 1n;

/** An applier, and how much its own maps hold; null where that is JavaScript's heap. */
export interface BenchApplier {
  readonly applier: EventApplier;
  readonly bytesHeld: () => number | null;
}

/** Turns bodies of chat completions into records. */
export interface BenchEncoder {
  /** Stores and encodes one body; the record is in the request memory until `release`. */
  encode(body: Buffer): Promise<RequestHandle>;
  release(handle: RequestHandle): void;
}

export interface BenchCore {
  readonly name: 'native' | 'portable';
  openIndexWriter(index: SharedArrayBuffer, writerId: number): BlockIndexWriter;
  openIndexReader(index: SharedArrayBuffer): BlockIndexReader;
  openApplier(index: SharedArrayBuffer, writerId: number): BenchApplier;
  /** `nowMs` is the clock of the stage times, where a core takes one. */
  openEncoder(memory: SharedMemory, model: ModelDescriptor, nowMs: () => number): BenchEncoder;
}

const portable: BenchCore = {
  name: 'portable',
  openIndexWriter,
  openIndexReader,
  openApplier: (index, writerId) => ({
    applier: createEventApplier(openIndexWriter(index, writerId), HASH_SECRET),
    bytesHeld: () => null,
  }),
  openEncoder: portableEncoder,
};

export const BENCH_CORES: readonly BenchCore[] = [portable];

function portableEncoder(
  memory: SharedMemory,
  model: ModelDescriptor,
  nowMs: () => number,
): BenchEncoder {
  const clock: Clock = { nowMs, after: () => () => {} };
  const store = openRequestStore(memory.requests);
  const service = new PromptService({
    data: { memory, hashSecret: HASH_SECRET },
    clock,
    random: seededRandom(1),
    today: () => new Date(0),
  });
  return {
    encode: async (body) => {
      const handle = store.open(body.length);
      if (handle === null || store.append(handle, body) !== 'done') throw new Error('no room');
      const { problems } = await service.run({
        type: 'encode',
        modelsVersion: 1,
        models: [model],
        route: 'chat-completions',
        handles: Uint32Array.of(handle.slot, handle.generation),
      });
      if (problems.length > 0) throw new Error(problems.join('; '));
      return handle;
    },
    release: (handle) => store.release(handle),
  };
}
