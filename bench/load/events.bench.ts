// KV events into a running router through real ZeroMQ sockets: CPU of the router's process per
// stored block, everything in it (receiving, ordering, decoding, keying, writing, and the polling of
// its status by this benchmark). The publisher never runs further ahead than the router's queues.

import { setTimeout as pause } from 'node:timers/promises';
import { PublishingEngine } from '#test/support/publishing-engine.js';
import { encodeEventBatch } from '#wire/msgpack-encode.js';
import { mixedStream } from '../support/engine-stream.js';
import { median, printTable } from '../support/measure.js';
import type { Contender } from './contender.js';
import { startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { processUsage } from './processes.js';
import { type Figure, times, withContenders } from './rounds.js';
import { warmpathRouters } from './routers.js';
import { printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const ENGINES = 2;
/** Frames of one publisher in one round. */
const FRAMES = 8000;
/** Frames that may be on their way; the router's queue per publisher takes 10,000. */
const AHEAD = 2000;
const POLL_MS = 20;
const CLEARED = encodeEventBatch({
  timestamp: 1_700_000_000,
  events: [['AllBlocksCleared']],
  dataParallelRank: 0,
});

printSetting();
const streams = Array.from({ length: ENGINES }, (_, at) => mixedStream(FRAMES, at + 1));
/** Blocks per CPU-second of each core. */
const perCore: Figure[] = [];
for (const kind of warmpathRouters({ policy: 'precise' })) {
  const publishers = await Promise.all(
    streams.map(async () => {
      const publisher = new PublishingEngine({ bufferFrames: FRAMES * 100 });
      await publisher.start();
      return publisher;
    }),
  );
  const eventSockets = publishers.map(({ source }) => ({
    events: source.address,
    replay: source.replayAddress ?? '',
  }));
  const engines = await startEngines({ engines: ENGINES, model: MODEL });
  const field = { model: MODEL, eventSockets };
  await withContenders(engines, [kind], field, async ({ contenders }) => {
    for (const contender of contenders) await measureEvents(contender, publishers);
  });
  for (const publisher of publishers) publisher.stop();
}
console.log('\nmedians');
printTable(
  ['contender', 'k blocks per CPU-second', '× portable'],
  perCore.map((own) => [own.name, own.value, times(own, perCore, 'portable')]),
);

async function measureEvents(
  contender: Contender,
  publishers: readonly PublishingEngine[],
): Promise<void> {
  const rows: (readonly number[])[] = [];
  // The first round compiles the code and is not counted.
  for (let round = 0; round <= loadOptions().rounds; round += 1) {
    const before = processUsage(contender.pids);
    const startedMs = performance.now();
    const sent = round * (FRAMES + 1);
    await Promise.all(publishers.map((publisher, at) => publish(contender, publisher, at, sent)));
    const seconds = (performance.now() - startedMs) / 1000;
    const cpuSeconds = (processUsage(contender.pids) - before) / 1e9;
    if (round === 0) continue;
    const blocks = streams.reduce((sum, stream) => sum + stream.blocks, 0);
    rows.push([round, blocks / cpuSeconds / 1000, blocks / seconds / 1000, seconds]);
  }
  console.log(`\n${contender.name}: ${ENGINES} publishers, ${FRAMES} frames each per round`);
  printTable(['round', 'k blocks per CPU-second', 'k blocks/s', 'seconds'], rows);
  const value = median(rows.map(([, perCpuSecond = Number.NaN]) => perCpuSecond));
  perCore.push({ name: contender.name, value });
}

/** Sends one stream and waits until the router has applied all of it. */
async function publish(
  contender: Contender,
  publisher: PublishingEngine,
  at: number,
  sentBefore: number,
): Promise<void> {
  // Each round begins with an empty cache: the same hashes come again.
  const frames = [CLEARED, ...(streams[at]?.frames ?? [])];
  let applied = sentBefore;
  for (const [sent, frame] of frames.entries()) {
    while (sentBefore + sent - applied > AHEAD) applied = await appliedFrames(contender, at);
    await publisher.publishRaw(frame);
  }
  while (applied < sentBefore + frames.length) applied = await appliedFrames(contender, at);
}

async function appliedFrames({ adminUrl }: Contender, at: number): Promise<number> {
  await pause(POLL_MS);
  const status = (await (await fetch(`${adminUrl}/status`)).json()) as {
    readonly endpoints: readonly { readonly events: { readonly lastSeq: number } | null }[];
  };
  return (status.endpoints[at]?.events?.lastSeq ?? -1) + 1;
}
