// Encode records in shared memory: prompt workers write them by the offsets of
// contracts/shared-layout.ts, the main thread reads them (core/encode-record.ts). A record is written only while its handle's generation
// is current, under the `writing` word, so a late encoder never touches another request's bytes.

import { assert } from '#contracts/assert.js';
import type { MatchResult } from '#contracts/block-index.js';
import { ERROR_CODES } from '#contracts/errors.js';
import { MEDIA_KEYS_MAX } from '#contracts/limits.js';
import {
  type EncodedPrompt,
  type EncodeMicros,
  NO_MATCH_REASONS,
  type NoMatchReason,
  type PromptMatch,
  type RequestHandle,
} from '#contracts/request.js';
import {
  RECORD,
  RECORD_DETAIL_BYTES_MAX,
  RECORD_PARAM_BYTES_MAX,
  RECORD_PATCHES_MAX,
  type RequestMemoryLayout,
} from '#contracts/shared-layout.js';
import {
  type ModelPlace,
  modelFromJson,
  RECORD_FLAG_STREAM,
  RECORD_STATE,
  RecordReader,
} from '#core/encode-record.js';
import type { ScanRefusal } from './json-scan.js';
import { type MediaKeys, NO_MEDIA_KEYS } from './media.js';

/** What one encoding found out, as it goes into the record. */
export interface EncodeOutcome {
  refusal: ScanRefusal | null;
  noMatchReason: NoMatchReason | null;
  /** −1 when no endpoint serves the model. */
  modelIndex: number;
  modelOffset: number;
  modelBytes: number;
  stream: boolean;
  priority: number;
  promptTokens: number;
  totalBlocks: number;
  blockSize: number;
  cuts: readonly { readonly offset: number; readonly length: number }[];
  /** Keys of the prompt's blocks; the record keeps as many as fit. */
  keys: Uint32Array;
  media: MediaKeys;
  indexEpoch: number;
  micros: { -readonly [Stage in keyof EncodeMicros]: EncodeMicros[Stage] };
}

export function emptyOutcome(): EncodeOutcome {
  return {
    refusal: null,
    noMatchReason: null,
    modelIndex: -1,
    modelOffset: 0,
    modelBytes: 0,
    stream: false,
    priority: 0,
    promptTokens: 0,
    totalBlocks: 0,
    blockSize: 0,
    cuts: [],
    keys: new Uint32Array(0),
    media: NO_MEDIA_KEYS,
    indexEpoch: 0,
    micros: { parse: 0, render: 0, tokenize: 0, hash: 0, match: 0 },
  };
}

/** The records of one `requests` buffer, as one thread sees them. */
export class RecordTable {
  readonly endpointCapacity: number;
  readonly #reader: RecordReader;
  readonly #buffer: SharedArrayBuffer;
  readonly #layout: RequestMemoryLayout;
  readonly #words: Int32Array;
  readonly #bytes: Buffer;

  constructor(buffer: SharedArrayBuffer) {
    this.#reader = new RecordReader(buffer, (handle, place) => this.#readModel(handle, place));
    this.#buffer = buffer;
    this.#layout = this.#reader.layout;
    this.endpointCapacity = this.#layout.endpointCapacity;
    this.#words = new Int32Array(buffer);
    this.#bytes = Buffer.from(buffer);
  }

  /** Blocks of the slot's prompt that the endpoint holds already. */
  heldBlocks(slot: number, endpoint: number): number {
    return this.#reader.heldBlocks(slot, endpoint);
  }

  /** Private copy of the body, null when the handle is stale. */
  copyBody(handle: RequestHandle): Buffer | null {
    const at = this.#at(handle);
    if (!this.#isCurrent(at, handle)) return null;
    const offset = this.#layout.slab + this.#word(at + RECORD.bodyOffset);
    const body = Buffer.from(
      this.#bytes.subarray(offset, offset + this.#word(at + RECORD.bodyBytes)),
    );
    // Released meanwhile: the bytes may already be another request's.
    return this.#isCurrent(at, handle) ? body : null;
  }

  /** Views of the record's per-endpoint arrays. */
  matchViews(slot: number): PromptMatch {
    return this.#reader.matchViews(slot);
  }

  /** Writes an outcome; false when the handle is stale. Never throws half-way. */
  write(handle: RequestHandle, outcome: EncodeOutcome, match: PromptMatch | null): boolean {
    const at = this.#at(handle);
    Atomics.store(this.#words, at + RECORD.writing, 1);
    try {
      if (!this.#isCurrent(at, handle)) return false;
      this.#writeHead(at, outcome);
      this.#writeKeys(at, outcome.keys);
      copyMatch(match, this.matchViews(handle.slot));
      const state = outcome.refusal === null ? RECORD_STATE.encoded : RECORD_STATE.refused;
      Atomics.store(this.#words, at + RECORD.state, state);
      return true;
    } finally {
      Atomics.store(this.#words, at + RECORD.writing, 0);
    }
  }

  /** Takes back the `writing` word of a worker that has ended. */
  clearWriting(slot: number): void {
    Atomics.store(this.#words, this.#at({ slot }) + RECORD.writing, 0);
  }

  /** Reads an encoded record. The caller holds the handle, so it cannot change meanwhile. */
  read(handle: RequestHandle): EncodedPrompt {
    return this.#reader.read(handle);
  }

  /** View of the keys kept with a record; empty when the handle is stale or has none. */
  keys(handle: RequestHandle): Uint32Array {
    const at = this.#at(handle);
    if (!this.#isCurrent(at, handle)) return new Uint32Array(0);
    return this.#keyArea(at).subarray(0, 2 * this.#word(at + RECORD.keyCount));
  }

  #at({ slot }: Pick<RequestHandle, 'slot'>): number {
    return this.#reader.at(slot);
  }

  #word(at: number): number {
    return this.#words[at] as number;
  }

  #isCurrent(at: number, handle: RequestHandle): boolean {
    return Atomics.load(this.#words, at + RECORD.generation) >>> 0 === handle.generation;
  }

  #keyArea(at: number): Uint32Array {
    const offset = this.#layout.slab + this.#word(at + RECORD.keysOffset);
    return new Uint32Array(this.#buffer, offset, 2 * this.#word(at + RECORD.keysCapacity));
  }

  #writeKeys(at: number, keys: Uint32Array): void {
    const area = this.#keyArea(at);
    const kept = keys.subarray(0, Math.min(keys.length, area.length));
    area.set(kept);
    this.#words[at + RECORD.keyCount] = kept.length / 2;
  }

  #writeHead(at: number, outcome: EncodeOutcome): void {
    const words = this.#words;
    const { refusal, noMatchReason: reason, micros } = outcome;
    words[at + RECORD.errorCode] = refusal === null ? 0 : ERROR_CODES.indexOf(refusal.code);
    words[at + RECORD.noMatchReason] = reason === null ? 0 : 1 + NO_MATCH_REASONS.indexOf(reason);
    words[at + RECORD.flags] = outcome.stream ? RECORD_FLAG_STREAM : 0;
    words[at + RECORD.priority] = outcome.priority;
    words[at + RECORD.promptTokens] = outcome.promptTokens;
    words[at + RECORD.totalBlocks] = outcome.totalBlocks;
    words[at + RECORD.blockSize] = outcome.blockSize;
    words[at + RECORD.model] = outcome.modelIndex + 1;
    words[at + RECORD.modelOffset] = outcome.modelOffset;
    words[at + RECORD.modelBytes] = outcome.modelBytes;
    words[at + RECORD.indexEpoch] = outcome.indexEpoch;
    words[at + RECORD.parseMicros] = micros.parse;
    words[at + RECORD.renderMicros] = micros.render;
    words[at + RECORD.tokenizeMicros] = micros.tokenize;
    words[at + RECORD.hashMicros] = micros.hash;
    words[at + RECORD.matchMicros] = micros.match;
    // Duplicates are refused, so there are never more runs than names that are stripped.
    assert(outcome.cuts.length <= RECORD_PATCHES_MAX, 'cuts fit the record');
    words[at + RECORD.patchCount] = outcome.cuts.length;
    for (const [cut, { offset, length }] of outcome.cuts.entries()) {
      words[at + RECORD.patches + 2 * cut] = offset;
      words[at + RECORD.patches + 2 * cut + 1] = length;
    }
    this.#writeMedia(at, outcome.media);
    this.#writeText(at + RECORD.detailBytes, refusal?.detail ?? '', RECORD_DETAIL_BYTES_MAX);
    this.#writeText(at + RECORD.paramBytes, refusal?.param ?? '', RECORD_PARAM_BYTES_MAX);
  }

  #writeMedia(at: number, { keys, leftOut }: MediaKeys): void {
    const words = this.#words;
    assert(keys.length <= MEDIA_KEYS_MAX, 'media keys fit the record');
    words[at + RECORD.mediaCount] = keys.length;
    words[at + RECORD.mediaLeftOut] = leftOut;
    for (const [item, key] of keys.entries()) {
      words[at + RECORD.media + 2 * item] = Number(BigInt.asIntN(32, key));
      words[at + RECORD.media + 2 * item + 1] = Number(BigInt.asIntN(32, key >> 32n));
    }
  }

  /** A byte count, then the bytes, cut between characters when there are too many. */
  #writeText(at: number, text: string, bytesMax: number): void {
    const { written } = new TextEncoder().encodeInto(text, this.#scratch.subarray(0, bytesMax));
    this.#words[at] = written;
    this.#bytes.set(this.#scratch.subarray(0, written), (at + 1) * 4);
  }

  readonly #scratch = new Uint8Array(RECORD_DETAIL_BYTES_MAX);

  #readModel({ slot }: RequestHandle, { offset, bytes }: ModelPlace): string {
    const start = this.#layout.slab + this.#word(this.#at({ slot }) + RECORD.bodyOffset) + offset;
    return modelFromJson(this.#bytes.toString('utf8', start, start + bytes));
  }
}

/** Every element is overwritten: a slot's record is used by one request after another. */
function copyMatch(source: PromptMatch | null, target: PromptMatch): void {
  for (const name of ['usableBlocks', 'rawBlocks', 'speculativeBlocks', 'tierBlocks'] as const) {
    if (source === null) target[name].fill(0);
    else target[name].set(source[name]);
  }
}

/** Arrays of a match in private memory. */
export function newMatch(endpointCapacity: number): PromptMatch & MatchResult {
  return {
    usableBlocks: new Uint32Array(endpointCapacity),
    rawBlocks: new Uint32Array(endpointCapacity),
    speculativeBlocks: new Uint32Array(endpointCapacity),
    tierBlocks: new Uint32Array(4 * endpointCapacity),
  };
}
