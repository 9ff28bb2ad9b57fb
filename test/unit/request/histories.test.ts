import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryPlan, HistoryWork, RoutingHistory } from '#contracts/routing-history.js';
import { Histories } from '#request/histories.js';

const PLAN: HistoryPlan = {
  endpoint: 'a:1',
  capacityBlocks: 100,
  blockSize: 16,
  alignmentBlocks: 1,
};
const HANDLE = { slot: 7, generation: 1 };

interface Rig {
  readonly histories: Histories;
  /** What the core's part was told. */
  readonly told: string[];
  /** What it answers next; `done` once used up. */
  readonly work: HistoryWork[];
  readonly deferred: (() => void)[];
}

function rig(): Rig {
  const told: string[] = [];
  const work: HistoryWork[] = [];
  const deferred: (() => void)[] = [];
  const noted = (call: string): HistoryWork => {
    told.push(call);
    return work.shift() ?? 'done';
  };
  const history: RoutingHistory = {
    open: (slot, { capacityBlocks }) => told.push(`open ${slot} ${capacityBlocks}`),
    close: (slot) => told.push(`close ${slot}`),
    begin: ({ slot }, endpoint, tokens) => noted(`begin ${slot} ${endpoint} ${tokens}`),
    end: ({ slot }, { computed, cached }) => noted(`end ${slot} ${computed} ${cached}`),
    withdraw: ({ slot }) => noted(`withdraw ${slot}`),
    advance: () => noted('advance'),
    usage: () => null,
  };
  const histories = new Histories({
    history,
    defer: (callback) => deferred.push(callback),
    onStuck: () => told.push('recover'),
  });
  return { histories, told, work, deferred };
}

test('histories follow their plans; one whose plan is the same goes on', () => {
  const { histories, told } = rig();
  histories.update(
    new Map([
      [1, PLAN],
      [2, PLAN],
    ]),
  );
  histories.update(
    new Map([
      [1, { ...PLAN }],
      [2, { ...PLAN, capacityBlocks: 50 }],
    ]),
  );
  histories.update(new Map([[1, { ...PLAN, endpoint: 'b:1' }]]));
  assert.deepEqual(told.splice(0), [
    'open 1 100',
    'open 2 100',
    'close 2',
    'open 2 50',
    'close 1',
    'close 2',
    'open 1 100',
  ]);
  histories.restarted(1);
  histories.restarted(2);
  assert.deepEqual(told, ['open 1 100']);
});

test('only endpoints with a history are told; another block size means nothing to it', () => {
  const { histories, told } = rig();
  histories.update(new Map([[1, PLAN]]));
  told.length = 0;
  assert.equal(histories.begin(HANDLE, 2, { promptTokens: 90, blockSize: 16 }), false);
  assert.equal(histories.begin(HANDLE, 1, { promptTokens: 90, blockSize: 16 }), true);
  assert.equal(histories.begin(HANDLE, 1, { promptTokens: 90, blockSize: 32 }), true);
  histories.end(HANDLE, 1, { computed: 100, cached: 48, hasUsage: true });
  histories.withdraw(HANDLE);
  assert.deepEqual(told, ['begin 7 1 90', 'begin 7 1 0', 'end 7 100 48', 'withdraw 7']);
});

test('an engine that reports cached tokens found none where it reports none', () => {
  const { histories, told } = rig();
  histories.update(new Map([[1, PLAN]]));
  told.length = 0;
  const end = (cached: number, hasUsage: boolean): void =>
    histories.end(HANDLE, 1, { computed: 100, cached, hasUsage });
  end(-1, true);
  end(32, true);
  end(-1, true);
  end(-1, false);
  histories.update(new Map());
  histories.update(new Map([[1, PLAN]]));
  end(-1, true);
  const ends = told.filter((call) => call.startsWith('end'));
  assert.deepEqual(ends, [
    'end 7 100 -1',
    'end 7 100 32',
    'end 7 100 0',
    'end 7 100 -1',
    'end 7 100 -1',
  ]);
});

test('slices follow one for each turn, however many requests ask for them', () => {
  const { histories, told, work, deferred } = rig();
  histories.update(new Map([[1, PLAN]]));
  told.length = 0;
  work.push('more', 'more', 'more', 'done');
  histories.begin(HANDLE, 1, { promptTokens: 90, blockSize: 16 });
  histories.begin(HANDLE, 1, { promptTokens: 90, blockSize: 16 });
  for (let turns = 0; turns < 5; turns += 1) {
    assert.ok(deferred.length <= 1);
    deferred.shift()?.();
  }
  assert.deepEqual(told, ['begin 7 1 90', 'begin 7 1 90', 'advance', 'advance']);
});

test('a stuck index is recovered', () => {
  const { histories, told, work } = rig();
  histories.update(new Map([[1, PLAN]]));
  work.push('stuck');
  histories.withdraw(HANDLE);
  assert.deepEqual(told.slice(1), ['withdraw 7', 'recover']);
});
