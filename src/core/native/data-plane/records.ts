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
  const kind = RECORD_KINDS[at(records, base + 0)];
  assert(kind !== undefined, 'a record has a known kind');
  const handle = { slot: at(records, base + 1), generation: at(records, base + 2) };
  switch (kind) {
    case 'request':
      return {
        kind,
        handle,
        bodyBytes: at(records, base + 3),
        receivedAtMs: at(records, base + 4),
        prepared: (at(records, base + 5) & REQUEST_FLAGS.prepared) !== 0,
        telling: (at(records, base + 5) & REQUEST_FLAGS.telling) !== 0,
      };
    case 'attempt-failed':
      return {
        kind,
        handle,
        slot: at(records, base + 3),
        outcome: ATTEMPT_OUTCOMES[at(records, base + 4)] ?? 'server-error',
        nextSlot: at(records, base + 5),
      };
    case 'first-byte':
      return { kind, handle, slot: at(records, base + 3), status: at(records, base + 4) };
    case 'done':
      return {
        kind,
        handle,
        slot: at(records, base + 3),
        status: at(records, base + 4),
        outcome: OUTCOMES[at(records, base + 5)] ?? 'endpoint-failed',
        errorCode: ERROR_CODES[at(records, base + 6)] ?? null,
        firstByteMs: at(records, base + 7),
        lastByteMs: at(records, base + 8),
        responseBytes: at(records, base + 9),
        chunks: at(records, base + 10),
        usage: {
          promptTokens: at(records, base + 11),
          completionTokens: at(records, base + 12),
          cachedTokens: at(records, base + 13),
        },
      };
    default:
      return assertNever(kind);
  }
}

/** No closure over the record: that would be an object for each. */
function at(records: Float64Array, index: number): number {
  return records[index] ?? 0;
}
