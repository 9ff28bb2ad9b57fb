// Reads encode records from shared memory, whichever core wrote them, by the offsets of
// contracts/shared-layout.ts. Used by the prompt encoders on the main thread; the caller holds the
// request's handle, so a record that was encoded does not change while it is read.

import { assert } from '#contracts/assert.js';
import { ERROR_CODES } from '#contracts/errors.js';
import { REQUESTS_IN_FLIGHT_MAX } from '#contracts/limits.js';
import {
  type EncodedPrompt,
  NO_MATCH_REASONS,
  type PromptMatch,
  type RequestHandle,
} from '#contracts/request.js';
import {
  RECORD,
  RECORD_ENDPOINT_ARRAYS,
  REQUEST_MEMORY,
  type RequestMemoryLayout,
  requestMemoryLayout,
} from '#contracts/shared-layout.js';

/** States of a record. */
export const RECORD_STATE = { waiting: 0, encoded: 1, refused: 2 } as const;
export const RECORD_FLAG_STREAM = 1;

/** Where a request's model is named: its index, −1 when unknown, and its bytes in the body. */
export interface ModelPlace {
  readonly index: number;
  readonly offset: number;
  readonly bytes: number;
}

/** The records of one `requests` buffer, for reading. */
export class RecordReader {
  readonly layout: RequestMemoryLayout;
  readonly #buffer: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #bytes: Buffer;
  /** By slot, as slots are used. */
  readonly #views: PromptMatch[] = [];
  readonly #modelName: (handle: RequestHandle, place: ModelPlace) => string;

  /** `modelName` gives the model as the client wrote it; it is not asked when there is none. */
  constructor(
    buffer: SharedArrayBuffer,
    modelName: (handle: RequestHandle, place: ModelPlace) => string,
  ) {
    this.layout = requestMemoryLayout(
      new Uint32Array(buffer)[REQUEST_MEMORY.endpointCapacity] ?? 0,
    );
    assert(this.layout.totalBytes === buffer.byteLength, 'the buffer is request memory');
    this.#buffer = buffer;
    this.#words = new Int32Array(buffer);
    this.#bytes = Buffer.from(buffer);
    this.#modelName = modelName;
  }

  /** First word of a slot's record. */
  at(slot: number): number {
    assert(slot >= 0 && slot < REQUESTS_IN_FLIGHT_MAX, 'the slot exists');
    return (this.layout.records + slot * this.layout.recordBytes) / 4;
  }

  /** Whether the record is the handle's. */
  isCurrent(handle: RequestHandle): boolean {
    const word = Atomics.load(this.#words, this.at(handle.slot) + RECORD.generation);
    return word >>> 0 === handle.generation;
  }

  /** Whether the handle's record can be read. */
  isWritten(handle: RequestHandle): boolean {
    if (!this.isCurrent(handle)) return false;
    const state = Atomics.load(this.#words, this.at(handle.slot) + RECORD.state);
    return state !== RECORD_STATE.waiting;
  }

  /** Views of a record's per-endpoint arrays; made once, because each costs as much as a decision. */
  matchViews(slot: number): PromptMatch {
    this.#views[slot] ??= this.#makeViews(slot);
    return this.#views[slot];
  }

  /**
   * Blocks of the slot's prompt that the endpoint holds already: nobody has to expect them, which
   * spares the main thread the whole of a seen prompt.
   */
  heldBlocks(slot: number, endpoint: number): number {
    return this.matchViews(slot).usableBlocks[endpoint] ?? 0;
  }

  #makeViews(slot: number): PromptMatch {
    const capacity = this.layout.endpointCapacity;
    const first = this.at(slot) + RECORD.headWords;
    const view = (array: number, length: number): Uint32Array =>
      new Uint32Array(this.#buffer, (first + array * capacity) * 4, length);
    const arrays = RECORD_ENDPOINT_ARRAYS;
    return {
      usableBlocks: view(arrays.usableBlocks, capacity),
      rawBlocks: view(arrays.rawBlocks, capacity),
      speculativeBlocks: view(arrays.speculativeBlocks, capacity),
      tierBlocks: view(arrays.tierBlocks, capacity * 4),
    };
  }

  /** Reads an encoded record. */
  read(handle: RequestHandle): EncodedPrompt {
    const at = this.at(handle.slot);
    // Read before all else: what was written before it is seen from here on.
    const state = Atomics.load(this.#words, at + RECORD.state);
    const generation = this.#word(at + RECORD.generation) >>> 0;
    assert(generation === handle.generation, 'the handle of a record being read is current');
    assert(state !== RECORD_STATE.waiting, 'a record is read after it was encoded');
    const reason = this.#word(at + RECORD.noMatchReason);
    const modelIndex = this.#word(at + RECORD.model) - 1;
    return {
      error: state === RECORD_STATE.refused ? this.#readError(at) : null,
      model: this.#readModel(handle, at, modelIndex),
      modelIndex,
      modelOffset: this.#word(at + RECORD.modelOffset),
      modelBytes: this.#word(at + RECORD.modelBytes),
      stream: (this.#word(at + RECORD.flags) & RECORD_FLAG_STREAM) !== 0,
      priority: this.#word(at + RECORD.priority),
      promptTokens: this.#word(at + RECORD.promptTokens),
      totalBlocks: this.#word(at + RECORD.totalBlocks),
      blockSize: this.#word(at + RECORD.blockSize),
      noMatchReason: reason === 0 ? null : (NO_MATCH_REASONS[reason - 1] ?? null),
      match: this.matchViews(handle.slot),
      patches: this.#readPatches(at),
      media: this.#readMedia(at),
      mediaLeftOut: this.#word(at + RECORD.mediaLeftOut),
      indexEpoch: this.#word(at + RECORD.indexEpoch) >>> 0,
      micros: {
        parse: this.#word(at + RECORD.parseMicros),
        render: this.#word(at + RECORD.renderMicros),
        tokenize: this.#word(at + RECORD.tokenizeMicros),
        hash: this.#word(at + RECORD.hashMicros),
        match: this.#word(at + RECORD.matchMicros),
      },
    };
  }

  #word(at: number): number {
    return this.#words[at] as number;
  }

  #readModel(handle: RequestHandle, at: number, index: number): string {
    const bytes = this.#word(at + RECORD.modelBytes);
    if (bytes === 0) return '';
    return this.#modelName(handle, { index, offset: this.#word(at + RECORD.modelOffset), bytes });
  }

  #readText(at: number): string {
    const start = (at + 1) * 4;
    return this.#bytes.toString('utf8', start, start + this.#word(at));
  }

  #readError(at: number): EncodedPrompt['error'] {
    const param = this.#readText(at + RECORD.paramBytes);
    return {
      code: ERROR_CODES[this.#word(at + RECORD.errorCode)] ?? 'internal_error',
      detail: this.#readText(at + RECORD.detailBytes),
      param: param === '' ? null : param,
    };
  }

  #readMedia(at: number): EncodedPrompt['media'] {
    const count = this.#word(at + RECORD.mediaCount);
    if (count === 0) return NO_MEDIA;
    return Array.from({ length: count }, (_, item) => {
      const word = at + RECORD.media + 2 * item;
      return hexadecimal(this.#word(word + 1)) + hexadecimal(this.#word(word));
    });
  }

  #readPatches(at: number): EncodedPrompt['patches'] {
    const count = this.#word(at + RECORD.patchCount);
    if (count === 0) return NO_PATCHES;
    return Array.from({ length: count }, (_, patch) => ({
      offset: this.#word(at + RECORD.patches + 2 * patch),
      length: this.#word(at + RECORD.patches + 2 * patch + 1),
      text: '',
    }));
  }
}

const NO_MEDIA: EncodedPrompt['media'] = [];
const NO_PATCHES: EncodedPrompt['patches'] = [];

function hexadecimal(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}

/** A model's name from its JSON string; empty for what is no string (the request was refused). */
export function modelFromJson(json: string): string {
  const model: unknown = JSON.parse(json);
  return typeof model === 'string' ? model : '';
}
