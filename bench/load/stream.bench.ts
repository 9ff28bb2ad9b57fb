// Streams of server-sent events through each contender: CPU per chunk and the time a chunk takes
// from the engine's write to the client's read. First a pace at which every chunk travels alone,
// then one at which a late proxy may send several at once, last short streams for the first chunk.

import { setChunkInterval, startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { sglangRouter, vllmRouter } from './peers.js';
import { haproxy, nginx } from './plain-proxies.js';
import { runRounds, withContenders } from './rounds.js';
import { warmpathRouters } from './routers.js';
import { printChunks, printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const CASES = [
  { name: '400 streams at 20 chunks/s', streams: 400, intervalUs: 50_000, tokens: 60 },
  { name: '400 streams at 100 chunks/s', streams: 400, intervalUs: 10_000, tokens: 300 },
  { name: '16 streams of 20 chunks, 2 ms apart', streams: 16, intervalUs: 2000, tokens: 20 },
] as const;

printSetting();
const engines = await startEngines({ engines: 4, model: MODEL });
const kinds = [
  nginx,
  haproxy,
  ...warmpathRouters({ policy: 'load-aware' }),
  vllmRouter('round_robin'),
  sglangRouter('random'),
];
await withContenders(engines, kinds, { model: MODEL }, async ({ contenders }) => {
  for (const { name, streams, intervalUs, tokens } of CASES) {
    if (!name.includes(loadOptions().cases)) continue;
    await setChunkInterval(engines, intervalUs);
    console.log(`\n${name}`);
    const shape = {
      model: MODEL,
      mode: 'streams',
      connections: streams,
      'warm-up-ms': 1200,
      stream: 1,
      tokens,
      variety: 'seen',
    } as const;
    printChunks(await runRounds(contenders, shape));
  }
});
