import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint } from '#contracts/endpoint.js';
import { poolBlockSizes } from '#fleet/block-sizes.js';
import { endpoint } from '#test/support/plane-rig.js';

const EVENTS = {
  address: 'tcp://10.0.0.1:5557',
  mode: 'dial',
  replayAddress: null,
  topic: null,
} as const;

interface Case {
  readonly engines: readonly Partial<Endpoint>[];
  readonly byEvents?: readonly (readonly [number, number])[];
  readonly configured?: number;
  readonly keepsHistories?: boolean;
}

function sizeOf({ engines, byEvents = [], configured, keepsHistories = true }: Case): unknown {
  const endpoints = engines.map((changes, slot) => endpoint(slot, 'http://10.0.0.1:80', changes));
  const known = { byEvents: new Map(byEvents), configured: () => configured ?? null };
  return poolBlockSizes(new Map([['pool', endpoints]]), { ...known, keepsHistories }).get('pool');
}

test('publishers tell the block size, their own events before /metrics', () => {
  const engines = [{ events: EVENTS, blockSize: 64 }, { blockSize: 24 }];
  assert.equal(sizeOf({ engines }), 64);
  assert.equal(sizeOf({ engines, byEvents: [[0, 32]] }), 32);
  assert.equal(sizeOf({ engines, configured: 16 }), 16);
  // It is waited for; guessing would make all of them replay.
  assert.equal(sizeOf({ engines: [{ events: EVENTS }, { blockSize: 24 }] }), undefined);
});

test('a pool without publishers goes by its engines, or by the usual size', () => {
  assert.equal(sizeOf({ engines: [{ blockSize: 64 }, { blockSize: 48 }] }), 16);
  assert.equal(sizeOf({ engines: [{ blockSize: 32 }, { blockSize: null }] }), 32);
  assert.equal(sizeOf({ engines: [{ blockSize: null }] }), 16);
  assert.equal(sizeOf({ engines: [{ blockSize: 32 }], keepsHistories: false }), undefined);
});
