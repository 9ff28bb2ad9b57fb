// Reads the records the native side has written into registered memory.

import { assert, assertNever } from '#contracts/assert.js';
import type { CompletionOutcome, ForwardProgress } from '#contracts/core.js';
import type { AttemptOutcome } from '#contracts/endpoint.js';
import { ERROR_CODES } from '#contracts/errors.js';
import type { RequestHandle } from '#contracts/request.js';
import { RECORD_KINDS, RECORD_NUMBERS } from './plane-addon.js';

/** By their numbers in `outbox.rs`. */
const ATTEMPT_OUTCOMES: readonly AttemptOutcome[] = [
  'answered',
  'busy',
  'server-error',
  'unreachable',
  'timed-out',
];
const OUTCOMES: readonly CompletionOutcome[] = [
  'completed',
  'client-gone',
  'rejected',
  'answered-locally',
  'endpoint-failed',
];

/** Bits of an announcement, as `outbox.rs` sets them. */
const REQUEST_FLAGS = { prepared: 1, telling: 2 } as const;

/** A request that was announced. */
export interface Announcement {
  readonly kind: 'request';
  readonly handle: RequestHandle;
  readonly bodyBytes: number;
  readonly receivedAtMs: number;
  readonly prepared: boolean;
  readonly telling: boolean;
}

/** The record at a position of the registered memory. */
export function readRecord(
  records: Float64Array,
  position: number,
): Announcement | ForwardProgress {
  const base = position * RECORD_NUMBERS;
  const number = (offset: number): number => records[base + offset] ?? 0;
  const kind = RECORD_KINDS[number(0)];
  assert(kind !== undefined, 'a record has a known kind');
  const handle = { slot: number(1), generation: number(2) };
  switch (kind) {
    case 'request':
      return {
        kind,
        handle,
        bodyBytes: number(3),
        receivedAtMs: number(4),
        prepared: (number(5) & REQUEST_FLAGS.prepared) !== 0,
        telling: (number(5) & REQUEST_FLAGS.telling) !== 0,
      };
    case 'attempt-failed':
      return {
        kind,
        handle,
        slot: number(3),
        outcome: ATTEMPT_OUTCOMES[number(4)] ?? 'server-error',
        nextSlot: number(5),
      };
    case 'first-byte':
      return { kind, handle, slot: number(3), status: number(4) };
    case 'done':
      return {
        kind,
        handle,
        slot: number(3),
        status: number(4),
        outcome: OUTCOMES[number(5)] ?? 'endpoint-failed',
        errorCode: ERROR_CODES[number(6)] ?? null,
        firstByteMs: number(7),
        lastByteMs: number(8),
        responseBytes: number(9),
        chunks: number(10),
        usage: {
          promptTokens: number(11),
          completionTokens: number(12),
          cachedTokens: number(13),
        },
      };
    default:
      return assertNever(kind);
  }
}
