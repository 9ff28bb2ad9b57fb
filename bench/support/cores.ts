// The cores that micro benchmarks compare, by the faces of the contracts. What all cores share (the
// layout of index and records, scheduling) is not here. A core that is not there is a missing line
// of this table, and so a missing row of the figures.

import type { BlockIndexReader, BlockIndexWriter } from '#contracts/block-index.js';
import type { Clock } from '#contracts/clock.js';
import type { EventApplier, ModelDescriptor, SharedMemory } from '#contracts/core.js';
import type { Logger } from '#contracts/logger.js';
import { seededRandom } from '#contracts/random.js';
import type { EncodedPrompt, RequestHandle } from '#contracts/request.js';
import { type Addon, loadAddon } from '#core/native/addon.js';
import { createEventApplier as createNativeApplier } from '#core/native/events/applier.js';
import { openIndexReader as openNativeReader } from '#core/native/index/reader.js';
import { openIndexWriter as openNativeWriter } from '#core/native/index/writer.js';
import { createPromptEncoder } from '#core/native/prompt-encoder.js';
import { createRequestStore } from '#core/native/request-store.js';
import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { PromptService } from '#core/portable/prompt/prompt-service.js';
import { RecordTable } from '#core/portable/prompt/record.js';
import { openRequestStore } from '#core/portable/request-store.js';
import { processClock } from '#workers/process-clock.js';

/** Seed of all request keys in benchmarks. */
export const HASH_SECRET = 1n;

const SILENT: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** An applier, and how much its own maps hold; null where that is JavaScript's heap. */
export interface BenchApplier {
  readonly applier: EventApplier;
  readonly bytesHeld: () => number | null;
}

/** Turns bodies of chat completions into records. */
export interface BenchEncoder {
  /** Stores and encodes one body; the record is in the request memory until `release`. */
  encode(body: Buffer): Promise<RequestHandle>;
  read(handle: RequestHandle): EncodedPrompt;
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

export const BENCH_CORES: readonly BenchCore[] = [...nativeCores(), portable];

/** The native core, or nothing, and said, where there is no addon. */
function nativeCores(): readonly BenchCore[] {
  const loaded = loadAddon();
  if (!loaded.ok) {
    console.log(`native is skipped: ${loaded.reason}`);
    return [];
  }
  const { addon } = loaded;
  return [
    {
      name: 'native',
      openIndexWriter: (index, writerId) => openNativeWriter(addon, index, writerId),
      openIndexReader: (index) => openNativeReader(addon, index),
      openApplier: (index, writerId) => {
        const options = { index, writerId, hashSecret: HASH_SECRET };
        const applier = createNativeApplier(addon, options);
        return { applier, bytesHeld: () => applier.usage().bytes };
      },
      openEncoder: (memory, model) => nativeEncoder(addon, memory, model),
    },
  ];
}

/** One prompt thread; stages are timed by the native clock. */
function nativeEncoder(addon: Addon, memory: SharedMemory, model: ModelDescriptor): BenchEncoder {
  const store = createRequestStore(addon);
  const options = { addon, store, memory, hashSecret: HASH_SECRET, threads: 1 };
  const encoder = createPromptEncoder({ ...options, clock: processClock, logger: SILENT });
  const ready = encoder.start().then(() => encoder.setModels([model]));
  return {
    encode: async (body) => {
      await ready;
      const handle = store.open(body.length);
      if (handle === null || store.append(handle, body) !== 'done') throw new Error('no room');
      await encoder.encode(Uint32Array.of(handle.slot, handle.generation), 'chat-completions');
      return handle;
    },
    read: (handle) => encoder.read(handle),
    release: (handle) => store.release(handle),
  };
}

function portableEncoder(
  memory: SharedMemory,
  model: ModelDescriptor,
  nowMs: () => number,
): BenchEncoder {
  const clock: Clock = { nowMs, after: () => () => {} };
  const store = openRequestStore(memory.requests);
  const records = new RecordTable(memory.requests);
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
    read: (handle) => records.read(handle),
    release: (handle) => store.release(handle),
  };
}
