// Chats through the precise policy: tokenised, hashed, matched against an index of real blocks,
// scored, forwarded. 1 KB never seen; about 32 KB seen before, with five tools, sharing four fifths
// with one seen before, never seen. Beside it nginx, which looks at nothing, the cache-aware policies
// of others, which compare characters, and vLLM's kv_aware, which asks an engine to tokenise.

import { type BodyShape, corpusBodies, startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { sglangRouter, vllmRouter } from './peers.js';
import { nginx } from './plain-proxies.js';
import { startResidents } from './residents.js';
import { runRounds, withContenders } from './rounds.js';
import { predictedShare, warmpathRouters } from './routers.js';
import { printRequests, printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';
const ENGINES = 4;
/** Few, because a portable core takes 50 ms of CPU for one unseen chat. */
const CONNECTIONS = 8;
/** Bodies of each kind that the engines hold. */
const POOL = 24;

const SMALL: BodyShape = { model: MODEL, 'body-bytes': 1024, variety: 'unseen' };
const LONG: BodyShape = {
  model: MODEL,
  'body-bytes': 32_768,
  messages: 30,
  pool: POOL,
  variety: 'seen',
};
const TOOLS: BodyShape = { ...LONG, tools: 5 };
const CASES: readonly { readonly name: string; readonly shape: BodyShape }[] = [
  { name: '1 KB unseen', shape: SMALL },
  { name: '32 KB seen before', shape: LONG },
  { name: '32 KB seen before, with 5 tools', shape: TOOLS },
  { name: '32 KB, 80 % shared', shape: { ...LONG, variety: 'shared' } },
  { name: '32 KB unseen', shape: { ...LONG, variety: 'unseen' } },
];

printSetting();
const held = [LONG, TOOLS].flatMap((shape) => corpusBodies(shape, POOL));
const residents = await startResidents(ENGINES, MODEL, held);
console.log(
  `${held.length} chats held by ${ENGINES} engines: ` +
    `${(residents.tokens / held.length).toFixed(0)} tokens each, ${residents.blocks} blocks`,
);
const engines = await startEngines({ engines: ENGINES, model: MODEL });
const kinds = [
  nginx,
  ...warmpathRouters({ policy: 'precise' }),
  sglangRouter('cache_aware'),
  vllmRouter('cache_aware'),
  vllmRouter('kv_aware'),
];
const { eventSockets, blocks } = residents;
const field = { model: MODEL, eventSockets, residentBlocks: blocks };
await withContenders(engines, kinds, field, async ({ contenders }) => {
  for (const { name, shape } of CASES) {
    if (!name.includes(loadOptions().cases)) continue;
    console.log(`\n${name}, ${CONNECTIONS} connections`);
    const all = await runRounds(contenders, { ...shape, connections: CONNECTIONS });
    printRequests(all);
    for (const { contender, reports } of all) {
      if (contender.adminUrl === null) continue;
      const requests = reports.reduce((sum, report) => sum + report.requests, 0);
      const share = await predictedShare(contender.adminUrl, requests);
      console.log(`  ${contender.name} predicts ${share} of the prompt tokens as held`);
    }
  }
});
residents.stop();
