import { POLICY_PROFILES, singleProfilePolicy } from '#config/policies.js';
import type { PolicySettings } from '#config/configuration.js';
import { seededRandom } from '#contracts/random.js';
import { VirtualFleet, type VirtualAnswer } from '#test/support/virtual-fleet/fleet.js';

const { precise, 'load-aware': loadAware } = POLICY_PROFILES;
const bounded = (parameters: Record<string, unknown>) => singleProfilePolicy({ ...precise, filters: [{ type: 'bounded-load-filter', parameters }] });
const session: PolicySettings = singleProfilePolicy({ ...loadAware, name: 's', filters: [{ type: 'session-affinity-filter', parameters: { strategy: 'session_id' } }] });
const V: Record<string, PolicySettings> = {
  precise: singleProfilePolicy(precise),
  'bounded .25/16': bounded({}),
  'bounded .5/16': bounded({ slack: 0.5 }),
  ...Object.fromEntries([0.02, 0.1, 0.25].flatMap((margin) => [0.3, 0.4, 0.5, 9].map((slack) => [`wait ${margin} b${slack}`, singleProfilePolicy({ ...precise, filters: [...(slack < 9 ? [{ type: 'bounded-load-filter', parameters: { slack } }] : []), { type: 'prefill-wait-filter', parameters: { margin } }] })]))),
  'load-aware': singleProfilePolicy(loadAware),
  session,
  ...(globalThis as never as { EXTRA?: Record<string, PolicySettings> }).EXTRA,
};
const only = process.argv[2]?.split(',').filter((x) => x !== '') ?? [];
const delay = Number(process.argv[3] ?? 0.2);
const count = Number(process.argv[4] ?? 1000);
for (const prefixes of [1, 10]) {
  console.log(`prefixes ${prefixes}, decide delay ${delay}, ${count} prompts`);
  for (const [name, policy] of Object.entries(V)) {
    if (only.length > 0 && !only.some((o) => name.includes(o))) continue;
    for (const by of name === 'session' ? ['prefix', 'request'] : ['request']) {
      const seed = Number(process.argv[5] ?? 1);
      const random = seededRandom(seed);
      const fleet = new VirtualFleet({ endpoints: 8, policy, random, decideDelayMs: delay });
      fleet.clock.advance(Number(process.argv[6] ?? 3000));
      const prompts = Array.from({ length: prefixes }, (_, p) => Array.from({ length: 7200 }, (_, i) => (p * 7919 + i * 31) % 50_000));
      const answers: VirtualAnswer[] = [];
      const prefixOf: number[] = [];
      const start = performance.now();
      for (let n = 0; n < count; n += 1) {
        const at = n;
        const p = Math.floor(random.next() * prefixes);
        fleet.clock.after((n * 50) / 1000, () => fleet.send({ tokenIds: prompts[p] ?? [], outputTokens: 64, headers: { 'x-session-id': by === 'prefix' ? `s${p}` : `s${at}` } }, (a) => { answers.push(a); prefixOf.push(p); }));
      }
      fleet.clock.advance(60); fleet.settle();
      const loads = new Array<number>(8).fill(0);
      let cold = 0;
      const pairs = new Set<string>();
      for (const [i, a] of answers.entries()) { loads[a.slot]! += 1; if (a.cachedTokens < 3600) cold += 1; pairs.add(`${a.slot} ${prefixOf[i]}`); }
      const ttft = answers.map((a) => a.firstTokenMs).sort((a, b) => a - b);
      const used = loads.filter((l) => l > 0).length;
      const q = (x: number) => (ttft[Math.ceil(x * ttft.length) - 1] ?? NaN).toFixed(0);
      console.log(`${name}${name === 'session' ? ' by ' + by : ''}`.padEnd(20), `used ${used} cold ${cold} pairs ${pairs.size} max/mean ${(Math.max(...loads) / (count / used)).toFixed(2)} ttft p50 ${q(0.5)} p90 ${q(0.9)} p99 ${q(0.99)} max ${q(1)}  ${loads.join(' ')}  (${(performance.now() - start).toFixed(0)} ms)`);
    }
  }
}
