// A 1 KB chat through each contender, policies that look at load only: what forwarding costs. The
// bodies come from a pool, the answers are 1 KB of JSON, 32 connections in a closed loop.

import { startEngines } from './generator.js';
import { loadOptions } from './options.js';
import { sglangRouter, vllmRouter } from './peers.js';
import { haproxy, nginx } from './plain-proxies.js';
import { runRounds, withContenders } from './rounds.js';
import { threadedRouters, warmpathRouters } from './routers.js';
import { printRequests, printSetting } from './tables.js';

const MODEL = 'Qwen/Qwen2.5-7B-Instruct';

printSetting();
const engines = await startEngines({ engines: 4, model: MODEL });
const kinds = [
  nginx,
  haproxy,
  ...warmpathRouters({ policy: 'load-aware' }),
  ...threadedRouters({ policy: 'load-aware' }, loadOptions().threads),
  vllmRouter('round_robin'),
  sglangRouter('random'),
];
await withContenders(engines, kinds, { model: MODEL }, async ({ contenders }) => {
  console.log('\n1 KB chat, load-only policy, 32 connections');
  const shape = { model: MODEL, connections: 32, 'body-bytes': 1024, variety: 'seen' } as const;
  printRequests(await runRounds(contenders, shape));
});
