// Every export with arguments it must refuse: numbers of objects that are not open, memory that is
// none, text that is no JSON. What closes an object is silent about one that is not open.

import assert from 'node:assert/strict';
import type { Addon } from '#core/native/addon.js';
import type { GrowthCases } from './measure.js';

const TURNS = 3_000;
const NOT_OPEN = 1_000_000;
const [STORE, BYTES, WORDS, NUMBERS] = [
  NOT_OPEN,
  new Uint8Array(64),
  new Uint32Array(16),
  new Float64Array(16),
];
const wake = (): void => {};

type Refused = { readonly [Name in keyof Addon]: Parameters<Addon[Name]> | 'cannot be refused' };

const REFUSED: Refused = {
  version: 'cannot be refused',
  indexWriterOpen: [BYTES, 0, 0],
  indexOpenEndpoint: [NOT_OPEN, 0],
  indexDropEndpoint: [NOT_OPEN, 0],
  indexDropSlot: [NOT_OPEN, 0],
  indexSetGroupWindow: [NOT_OPEN, 0, 1, 1],
  indexSetHitAlignment: [NOT_OPEN, 0, 1],
  indexAdd: [NOT_OPEN, 0, 0, 0, 1, 2],
  indexRemove: [NOT_OPEN, 0, 0, 0, 1, 2],
  indexSweep: [NOT_OPEN, 1],
  indexWriterClose: [NOT_OPEN],
  indexReaderOpen: [BYTES],
  indexMatch: [NOT_OPEN, WORDS, 8, 8, WORDS, WORDS, WORDS],
  indexReaderClose: [NOT_OPEN],
  indexOwnerOpen: [BYTES],
  indexStats: [NOT_OPEN],
  indexSuspend: [NOT_OPEN],
  indexRecover: [NOT_OPEN],
  indexOwnerClose: [NOT_OPEN],
  speculativeOpen: [BYTES],
  speculativeAdd: [NOT_OPEN, 0, WORDS, 8, 1],
  speculativeWithdraw: [NOT_OPEN, 0, WORDS, 8],
  speculativeMatch: [NOT_OPEN, WORDS, 8, WORDS, WORDS, 1],
  speculativeClose: [NOT_OPEN],
  eventsCreate: [BYTES, 0, 1, 2, WORDS],
  eventsOpen: [NOT_OPEN, 0, 'pool', 16],
  eventsApply: [NOT_OPEN, 0, BYTES],
  eventsDetail: [NOT_OPEN],
  eventsReset: [NOT_OPEN, 0],
  eventsClose: [NOT_OPEN, 0],
  eventsSweep: [NOT_OPEN, 1],
  eventsUsage: [NOT_OPEN],
  eventsDestroy: [NOT_OPEN],
  historyCreate: [STORE, BYTES, 0],
  historyOpen: [NOT_OPEN, 0, 8, 16, 1],
  historyClose: [NOT_OPEN, 0],
  historyBegin: [NOT_OPEN, 0, 1, 0, 16],
  historyEnd: [NOT_OPEN, 0, 1, 16, -1],
  historyWithdraw: [NOT_OPEN, 0, 1],
  historyAdvance: [NOT_OPEN],
  historyUsage: [NOT_OPEN, 0],
  historyDestroy: [NOT_OPEN],
  storeCreate: 'cannot be refused',
  storeOpen: [STORE, 100],
  storeAppend: [STORE, 0, 1, BYTES],
  storeReplace: [STORE, 0, 1, 0, 0, BYTES],
  storeBody: [STORE, 0, 1],
  storeRelease: [STORE, 0, 1],
  storeUsage: [STORE],
  storeClose: [STORE],
  promptCreate: [STORE, BYTES, BYTES, 1n, 1, wake],
  promptSetModels: [NOT_OPEN, '[]', 1],
  promptSubmit: [NOT_OPEN, WORDS, 0, 1],
  promptEngineBody: [NOT_OPEN, 0, 1],
  promptSpeculate: [NOT_OPEN, 0, 1, 0, 0],
  promptRenewExpected: [NOT_OPEN, 0, 1],
  promptWithdraw: [NOT_OPEN, 0, 1, 0, 0],
  promptAnswer: [NOT_OPEN, 0, 1, 0, WORDS, 1],
  promptTokenize: [NOT_OPEN, 0, 0, BYTES, 1],
  promptTakeTokens: [NOT_OPEN, 1],
  promptDrain: [NOT_OPEN],
  promptProblems: [NOT_OPEN],
  promptStats: [NOT_OPEN],
  promptStop: [NOT_OPEN],
  promptClose: [NOT_OPEN],
  watcherCreate: ['{ no JSON', wake, NUMBERS],
  watcherOpen: [NOT_OPEN, '{ no JSON'],
  watcherAsk: [NOT_OPEN, 0, 0, '/', 1, 1],
  watcherSend: [NOT_OPEN],
  watcherTake: [NOT_OPEN],
  watcherText: [NOT_OPEN],
  watcherCloseEngine: [NOT_OPEN, 0],
  watcherClose: [NOT_OPEN],
  planeAttachEncoder: [NOT_OPEN, NOT_OPEN],
  planeCreate: [STORE, '{ no JSON', wake, NUMBERS, WORDS],
  planeStart: [NOT_OPEN],
  planeSetEndpoints: [NOT_OPEN, '[ no JSON'],
  planeSetUsable: [NOT_OPEN, 0, true],
  planeTake: [NOT_OPEN],
  planeDelivered: [NOT_OPEN],
  planeHead: [NOT_OPEN, 0, 1],
  planeForward: [NOT_OPEN, 0, 1, ''],
  planeReject: [NOT_OPEN, 0, 1, 0, '{}'],
  planeRespond: [NOT_OPEN, 0, 1, 200, 'a name without a value', BYTES],
  planeTroubles: [NOT_OPEN],
  planeInFlight: [NOT_OPEN],
  planeIsIdle: [NOT_OPEN],
  planeStats: [NOT_OPEN],
  planeSetTime: [NOT_OPEN, 1],
  planeDrain: [NOT_OPEN, 0],
  planeStop: [NOT_OPEN],
  planeClose: [NOT_OPEN],
};

const CLOSES = /(?:Close|Destroy)$/;
/** They close a slot of an object that must be open. */
const CLOSES_SLOT: readonly string[] = ['eventsClose', 'historyClose'];

export function refusedCases(addon: Addon): GrowthCases {
  const refused = Object.entries(REFUSED).flatMap(([name, given]) => {
    if (given === 'cannot be refused') return [];
    const call = addon[name as keyof Addon] as (...given: readonly unknown[]) => unknown;
    const isSilent = CLOSES.test(name) && !CLOSES_SLOT.includes(name);
    return [{ name, isSilent, call: () => call(...given) }];
  });
  return {
    cases: [
      {
        name: 'everything refused',
        turns: TURNS,
        call: () => {
          for (const { name, isSilent, call } of refused) {
            if (isSilent) call();
            else assert.throws(call, Error, name);
          }
        },
      },
    ],
    close: () => {},
  };
}
