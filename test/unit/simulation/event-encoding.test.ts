// Payloads equal to those of vLLM's own encoder, byte for byte, in both encodings.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type EventEncoding, encodeBatch, type WireEvent } from '#simulation/event-encoding.js';
import { goldenFile } from '#test/support/paths.js';

interface GoldenCase {
  readonly name: string;
  readonly payload_hex: string;
  readonly expect: { readonly ts: number; readonly events: unknown; data_parallel_rank: number };
}

const RELEASES: readonly (readonly [string, EventEncoding])[] = [
  ['vllm-0.33.0-event-batches.json', 'map'],
  ['vllm-0.23.0-event-batches.json', 'array'],
];

for (const [file, encoding] of RELEASES) {
  test(`every batch of ${file} is encoded to the same bytes`, () => {
    const golden = JSON.parse(readFileSync(goldenFile(file), 'utf8')) as { cases: GoldenCase[] };
    assert.ok(golden.cases.length > 10);
    for (const { name, payload_hex, expect } of golden.cases) {
      const batch = {
        timestampSeconds: expect.ts,
        events: plain(expect.events) as WireEvent[],
        dataParallelRank: expect.data_parallel_rank,
      };
      const payload = Buffer.from(encodeBatch(batch, encoding));
      assert.equal(payload.toString('hex'), payload_hex, name);
    }
  });
}

/** Undoes the JSON spelling of big integers and bytes. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  if ('$int' in value) return BigInt(String(value.$int));
  if ('$bytes' in value) return new Uint8Array(Buffer.from(String(value.$bytes), 'hex'));
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}
