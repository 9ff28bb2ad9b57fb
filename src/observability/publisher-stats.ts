// Reads the counters that event workers keep per publisher in shared memory, for metrics and
// /status. Reading takes no lock; a counter may be one update old.

import { PUBLISHER_FIELDS, type PublisherField, publisherField } from '#contracts/shared-layout.js';

/** Counters of one publisher by name. */
export type PublisherCounters = Readonly<Record<PublisherField, number>>;

/** View over the `publishers` buffer. */
export class PublisherStats {
  readonly #values: Float64Array;

  constructor(publishers: SharedArrayBuffer) {
    this.#values = new Float64Array(publishers);
  }

  field(slot: number, field: PublisherField): number {
    return this.#values[publisherField(slot, field)] ?? 0;
  }

  counters(slot: number): PublisherCounters {
    const entries = PUBLISHER_FIELDS.map((field) => [field, this.field(slot, field)] as const);
    return Object.fromEntries(entries) as Record<PublisherField, number>;
  }
}
