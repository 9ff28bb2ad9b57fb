// One publisher's counters in the shared `publishers` buffer. The publisher's worker is the only
// writer; main reads without a lock.

import type { ApplyResult } from '#contracts/core.js';
import { PUBLISHER_FIELDS, type PublisherField, publisherField } from '#contracts/shared-layout.js';

const OFFSETS = Object.fromEntries(
  PUBLISHER_FIELDS.map((field) => [field, publisherField(0, field)]),
) as Readonly<Record<PublisherField, number>>;

export class PublisherCounters {
  readonly #fields: Float64Array;

  constructor(publishers: Float64Array, slot: number) {
    const start = slot * PUBLISHER_FIELDS.length;
    this.#fields = publishers.subarray(start, start + PUBLISHER_FIELDS.length);
    // Sequence numbers begin at 0; counters of a worker that was replaced go on.
    if (this.#fields[OFFSETS.framesApplied] === 0) this.set('lastSeq', -1);
  }

  add(field: PublisherField, by: number): void {
    const at = OFFSETS[field];
    this.#fields[at] = (this.#fields[at] ?? 0) + by;
  }

  set(field: PublisherField, value: number): void {
    this.#fields[OFFSETS[field]] = value;
  }

  /** Adds up what applying one frame did. */
  recordApplied(seq: number, result: ApplyResult): void {
    this.set('lastSeq', seq);
    if (result.status === 'malformed') {
      this.add('framesMalformed', 1);
      return;
    }
    this.add('framesApplied', 1);
    if (result.cleared) this.add('clears', 1);
    this.add('blocksStored', result.blocksStored);
    this.add('blocksRemoved', result.blocksRemoved);
    this.add('unknownParents', result.unknownParents);
    this.add('unknownBlocks', result.unknownBlocks);
    this.add('unknownEvents', result.unknownEvents);
    this.add('indexFull', result.indexFull);
  }

  /** The slot belongs to nobody any more. */
  clear(): void {
    this.#fields.fill(0);
  }
}
