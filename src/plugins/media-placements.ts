// Which endpoints were sent which images, audio and video, as far as their encoder caches may still
// hold them: per endpoint the most recent keys. Bounded by entries per endpoint. Each producer of a
// policy has its own, which scorers read by the producer's name.

import type { PluginHost } from '#contracts/scheduling.js';

/** Type of the producer, and what one without a name is called, as in llm-d. */
export const MEDIA_PRODUCER = 'mm-embeddings-cache-producer';
/** What llm-d assumes one item to take in an engine's encoder cache. */
const MEGABYTES_PER_ITEM = 2;
/** llm-d's default budget per endpoint. */
export const MEDIA_CACHE_MEGABYTES = 4096;

export class MediaPlacements {
  /** By slot, the least recent first; empty until something was sent there. */
  readonly #keys: (Set<string> | undefined)[];
  readonly #names: (string | undefined)[];
  readonly #entriesMax: number;

  constructor(endpointCapacity: number, megabytesPerEndpoint: number) {
    this.#keys = new Array<undefined>(endpointCapacity).fill(undefined);
    this.#names = new Array<undefined>(endpointCapacity).fill(undefined);
    this.#entriesMax = Math.max(1, Math.floor(megabytesPerEndpoint / MEGABYTES_PER_ITEM));
  }

  /** Notes that the endpoint called `name` at `slot` was sent these. */
  record(slot: number, name: string, media: readonly string[]): void {
    let keys = this.#keys[slot];
    // Another endpoint in an old one's slot has none of what that was sent.
    if (keys === undefined || this.#names[slot] !== name) {
      keys = new Set();
      this.#keys[slot] = keys;
      this.#names[slot] = name;
    }
    for (const key of media) {
      keys.delete(key);
      keys.add(key);
    }
    for (const oldest of keys) {
      if (keys.size <= this.#entriesMax) break;
      keys.delete(oldest);
    }
  }

  /** How many of `media` the endpoint was sent recently. */
  count(slot: number, name: string, media: readonly string[]): number {
    const keys = this.#keys[slot];
    if (keys === undefined || this.#names[slot] !== name) return 0;
    let count = 0;
    for (const key of media) if (keys.has(key)) count += 1;
    return count;
  }
}

/** Placements of the producer called `producer`, which is made first and says how large they may be. */
export function mediaPlacements(
  { shared, endpointCapacity }: PluginHost,
  producer: string,
  megabytesPerEndpoint: number = MEDIA_CACHE_MEGABYTES,
): MediaPlacements {
  const make = (): MediaPlacements => new MediaPlacements(endpointCapacity, megabytesPerEndpoint);
  const key = `media placements of ${producer === '' ? MEDIA_PRODUCER : producer}`;
  return shared.of(key, MediaPlacements, make);
}
