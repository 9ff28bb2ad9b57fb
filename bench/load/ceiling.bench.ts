// What load generator and mock engine can do by themselves, without anything between them: the
// bound under which every other scenario must stay.

import { direct } from './contender.js';
import { setChunkInterval, startEngines } from './generator.js';
import { runRounds, withContenders } from './rounds.js';
import { printChunks, printRequests, printSetting } from './tables.js';

const MODEL = 'bench';

printSetting();
const engines = await startEngines({ engines: 4, model: MODEL });
await withContenders(engines, [direct], { model: MODEL }, async ({ contenders }) => {
  for (const [name, bytes, messages, variety] of [
    ['1 KB from a pool', 1024, 2, 'seen'],
    ['1 KB unseen', 1024, 2, 'unseen'],
    ['32 KB from a pool', 32_768, 30, 'seen'],
    ['32 KB unseen', 32_768, 30, 'unseen'],
  ] as const) {
    console.log(`\n${name}, 32 connections`);
    const shape = { connections: 32, 'body-bytes': bytes, messages, variety };
    printRequests(await runRounds(contenders, shape));
  }
  await setChunkInterval(engines, 10_000);
  console.log('\n1,000 streams at 100 chunks/s offered');
  const streams = { mode: 'streams', connections: 1000, 'warm-up-ms': 1200 } as const;
  printChunks(await runRounds(contenders, { ...streams, stream: 1, tokens: 1000 }));
});
