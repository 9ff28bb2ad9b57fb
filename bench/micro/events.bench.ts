// What the event path does with frames, on one processor core: decoding alone (the portable code), and
// decoding, keying and writing into the index by each core. Sockets are not in it (load/events). Each run applies whole streams from an empty
// publisher, as a replay does.

import { createBlockIndex } from '#core/index-memory.js';
import { decodeEventBatch } from '#core/portable/events/decode.js';
import { decodeMsgpack } from '#wire/msgpack.js';
import { BENCH_CORES, type BenchCore } from '../support/cores.js';
import { ENGINE_BLOCK, goldenStreams, mixedStream } from '../support/engine-stream.js';
import { measure, printMachine, printTable, type Task } from '../support/measure.js';

const GOLDEN = ['b16-sha256cbor', 'duplicates-b16', 'hybrid-b16'] as const;
const KEYING = { pool: 'bench', blockSize: ENGINE_BLOCK };

interface Workload {
  readonly name: string;
  /** One list of frames per publisher. */
  readonly streams: readonly (readonly Uint8Array[])[];
}

const workloads: readonly Workload[] = [
  ...GOLDEN.map((name) => ({
    name: `golden ${name}`,
    streams: goldenStreams(`vllm-0.33.0-stream-${name}.jsonl`),
  })),
  { name: 'mixed batches', streams: [1, 2].map((seed) => mixedStream(2000, seed).frames) },
];

printMachine();
for (const { name, streams } of workloads) {
  const { events, blocks, hashes } = contents(streams);
  const frames = streams.flat();
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  console.log(
    `\n${name}: ${frames.length} frames of ${(bytes / frames.length).toFixed(0)} B, ` +
      `${(events / frames.length).toFixed(1)} events and ${(blocks / frames.length).toFixed(1)} stored blocks each`,
  );
  const results = measure(stages(streams), 1500);
  const portable = results.find(({ name: stage }) => stage.endsWith(': portable'));
  printTable(
    ['stage', 'events/CPU-s', 'stored blocks/CPU-s', 'hashes/CPU-s', 'ns/block', 'portable : it'],
    results.map(({ name: stage, runUs }) => [
      stage,
      perSecond(events, runUs),
      perSecond(blocks, runUs),
      perSecond(hashes, runUs),
      (runUs * 1000) / blocks,
      (portable?.runUs ?? Number.NaN) / runUs,
    ]),
  );
}

function stages(streams: readonly (readonly Uint8Array[])[]): readonly Task[] {
  const frames = streams.flat();
  return [
    {
      name: 'scan and msgpack',
      run: () => {
        for (const frame of frames) if (!decodeMsgpack(frame).ok) throw new Error('malformed');
      },
    },
    {
      name: 'decode to events',
      run: () => {
        for (const frame of frames) if (!decodeEventBatch(frame).ok) throw new Error('malformed');
      },
    },
    ...BENCH_CORES.map((core) => applying(core, streams)),
  ];
}

function applying(core: BenchCore, streams: readonly (readonly Uint8Array[])[]): Task {
  const index = createBlockIndex({ blockCapacity: 400_000, endpointCapacity: 64 });
  const { applier } = core.openApplier(index, 0);
  return {
    name: `decode, key, write: ${core.name}`,
    before: () => {
      for (const slot of streams.keys()) applier.open(slot, KEYING);
    },
    run: () => {
      for (const [slot, own] of streams.entries()) {
        for (const frame of own) {
          if (applier.apply(slot, frame).status !== 'applied') throw new Error('not applied');
        }
      }
    },
    after: () => {
      for (const slot of streams.keys()) applier.close(slot);
      while (!applier.sweep(4096));
    },
  };
}

/** Events in all streams, blocks they store, and hashes they store or remove. */
function contents(streams: readonly (readonly Uint8Array[])[]): {
  readonly events: number;
  readonly blocks: number;
  readonly hashes: number;
} {
  let events = 0;
  let blocks = 0;
  let hashes = 0;
  for (const frame of streams.flat()) {
    const decoded = decodeEventBatch(frame);
    if (!decoded.ok) throw new Error(decoded.reason);
    for (const event of decoded.batch.events) {
      events += 1;
      if (event.type === 'AllBlocksCleared') continue;
      hashes += event.blockHashes.length;
      if (event.type === 'BlockStored') blocks += event.blockHashes.length;
    }
  }
  return { events, blocks, hashes };
}

function perSecond(count: number, microseconds: number): string {
  const thousands = (count / microseconds) * 1000;
  return `${thousands.toFixed(0)} k`;
}
