// One run of `verify` over the lines of a recording: a real index, the real applier and one order
// state per engine, and at every probe a prediction through `match`. Invariant: `hit_tokens`,
// `admit` and `block_hashes` are not looked at before a prediction was made.

import { TIER_COUNT } from '#contracts/block.js';
import type { MatchResult } from '#contracts/block-index.js';
import { EVENT_MESSAGE_BYTES_MAX } from '#contracts/limits.js';
import type { Random } from '#contracts/random.js';
import { createBlockIndex } from '#core/index-memory.js';
import { chainKeys, namespaceSeed } from '#core/portable/keys.js';
import { parseReplayReply } from '#wire/frames.js';
import { RecordedPublisher } from './recorded-publisher.js';
import { RecordingError, type RecordLine } from './recording.js';
import type { OpenedCore, VerifyCore } from './verify-core.js';

export interface VerifyRunOptions {
  readonly core: VerifyCore;
  readonly random: Random;
  /** Whether the engines answer replay requests; true for `verify`. */
  readonly canReplay: boolean;
  /** Frames that do not reach the router live; none for `verify`. */
  readonly isLost: (endpoint: string, line: number) => boolean;
}

/** One prediction beside the engine's answer. */
export interface Prediction {
  readonly line: number;
  readonly requestId: string;
  readonly endpoint: string;
  readonly predictedTokens: number;
  readonly engineTokens: number;
  /** A lost frame could not have been noticed yet. */
  readonly unnoticedLoss: boolean;
}

/** Counts of one endpoint's stream. */
export interface StreamCounts {
  readonly endpoint: string;
  readonly framesApplied: number;
  readonly framesMalformed: number;
  readonly blocksStored: number;
  readonly blocksRemoved: number;
  readonly unknownParents: number;
  readonly unknownBlocks: number;
  readonly gaps: number;
  readonly restarts: number;
  /** Residencies the index had no room for: predictions after one may be too low. */
  readonly indexFull: number;
}

export interface VerifyReport {
  readonly lines: number;
  readonly predictions: readonly Prediction[];
  readonly streams: readonly StreamCounts[];
  /** Recorded replay conversations, and what was wrong with those that cannot be read. */
  readonly replays: number;
  readonly replayFailures: readonly string[];
}

interface RecordedEndpoint {
  readonly name: string;
  readonly slot: number;
  readonly publisher: RecordedPublisher;
}

const POOL = 'recording';
const SECRET = 0n;
/** Endpoint slots and virtual ids: every clear and restart takes a new id until swept. */
const ENDPOINT_CAPACITY = 256;
/** Not every engine tells how many blocks it has. Pages of the index are only used when written. */
const BLOCK_CAPACITY_MIN = 1_048_576;
/** A gigabyte; a header may say anything. */
const BLOCK_CAPACITY_MAX = 67_108_864;
/** All buckets: a line is a long time in which an event worker sweeps to the end. */
const SWEEP_BUCKETS = 2 ** 31;
/** Virtual time between lines. */
const LINE_MS = 10;

/** Runs a whole recording. Throws a RecordingError for one that cannot be used. */
export async function runRecording(
  lines: AsyncIterable<RecordLine>,
  options: VerifyRunOptions,
): Promise<VerifyReport> {
  let run: VerifyRun | null = null;
  try {
    for await (const line of lines) {
      if (run === null) run = new VerifyRun(line, options);
      else run.take(line);
    }
    if (run === null) throw new RecordingError('line 1: the recording is empty');
    return run.report();
  } finally {
    run?.close();
  }
}

class VerifyRun {
  readonly #options: VerifyRunOptions;
  readonly #blockSize: number;
  readonly #core: OpenedCore;
  readonly #endpoints: readonly RecordedEndpoint[];
  readonly #result: MatchResult = {
    usableBlocks: new Uint32Array(ENDPOINT_CAPACITY),
    tierBlocks: new Uint32Array(ENDPOINT_CAPACITY * TIER_COUNT),
    rawBlocks: new Uint32Array(ENDPOINT_CAPACITY),
  };
  readonly #predictions: Prediction[] = [];
  readonly #replayFailures: string[] = [];
  #replays = 0;
  #lines = 1;

  constructor(header: RecordLine, options: VerifyRunOptions) {
    const format = header.text('type') === 'header' ? header.text('format') : '';
    if (format !== 'kvstream/1') header.fail('format', 'kvstream/1 in a header line');
    this.#options = options;
    this.#blockSize = header.count('block_size');
    if (this.#blockSize === 0) header.fail('block_size', 'at least 1');
    const names = endpointNames(header);
    const groups = Math.max(1, header.optionalArray('kv_cache_groups').length);
    const index = createBlockIndex({
      blockCapacity: blockCapacity(2 * groups * gpuBlocks(header)),
      endpointCapacity: ENDPOINT_CAPACITY,
    });
    this.#core = options.core.open(index, SECRET);
    const { applier } = this.#core;
    this.#endpoints = names.map((name, slot) => {
      applier.open(slot, { pool: POOL, blockSize: this.#blockSize });
      const { random, canReplay } = options;
      const publisher = new RecordedPublisher({ slot, applier, random, canReplay });
      return { name, slot, publisher };
    });
  }

  take(line: RecordLine): void {
    this.#lines += 1;
    const nowMs = line.number * LINE_MS;
    switch (line.text('type')) {
      case 'frame':
        this.#publish(line, nowMs);
        break;
      case 'probe':
        this.#probe(line);
        break;
      case 'restart':
        this.#endpoint(line).publisher.replaceProcess(nowMs);
        break;
      case 'replay':
        this.#checkReplay(line);
        break;
      default:
        // What the engine did with a request (`submit`, `admit`, `finish`) is not for a router.
        break;
    }
    this.#core.applier.sweep(SWEEP_BUCKETS);
  }

  report(): VerifyReport {
    return {
      lines: this.#lines,
      predictions: this.#predictions,
      streams: this.#endpoints.map(streamCounts),
      replays: this.#replays,
      replayFailures: this.#replayFailures,
    };
  }

  close(): void {
    this.#core.close();
  }

  #publish(line: RecordLine, nowMs: number): void {
    const { name, publisher } = this.#endpoint(line);
    const payload = Buffer.from(line.text('payload'), 'base64');
    const lost = this.#options.isLost(name, line.number);
    publisher.publish({ seq: line.count('seq'), payload }, nowMs, lost);
  }

  #probe(line: RecordLine): void {
    const tokenIds = line.tokenIds('token_ids');
    const adapter = line.optionalText('lora_name') ?? '';
    const cacheSalt = line.optionalText('cache_salt') ?? '';
    const blockCount = Math.floor(tokenIds.length / this.#blockSize);
    const keys = new Uint32Array(2 * blockCount);
    const seed = namespaceSeed(SECRET, { pool: POOL, adapter, cacheSalt });
    chainKeys(seed, tokenIds, this.#blockSize, keys);
    // An engine computes at least the last token itself (wire-formats §2, hit limit).
    const blockLimit = Math.max(0, Math.floor((tokenIds.length - 1) / this.#blockSize));
    this.#core.reader.match(keys, blockCount, blockLimit, this.#result);
    for (const { name, slot, publisher } of this.#endpoints) {
      this.#predictions.push({
        line: line.number,
        requestId: line.text('id'),
        endpoint: name,
        predictedTokens: (this.#result.usableBlocks[slot] ?? 0) * this.#blockSize,
        engineTokens: line.countIn('hit_tokens', name),
        unnoticedLoss: publisher.unnoticedLoss,
      });
    }
  }

  /** The raw replies must be readable: ascending frames from the start, then the end marker. */
  #checkReplay(line: RecordLine): void {
    this.#replays += 1;
    let due = BigInt(line.count('start_seq'));
    let ended = false;
    for (const [position, raw] of line.array('reply_frames').entries()) {
      const reply = parseReplayReply(replyFrames(raw, line));
      const fits = reply?.kind === 'frame' ? reply.frame.seq === due : reply?.kind === 'end';
      if (!fits || ended) {
        this.#replayFailures.push(`line ${line.number}: reply ${position} is out of place`);
        return;
      }
      due += 1n;
      ended = reply?.kind === 'end';
    }
    if (!ended) this.#replayFailures.push(`line ${line.number}: the end marker is missing`);
  }

  #endpoint(line: RecordLine): RecordedEndpoint {
    const name = line.text('pod');
    const endpoint = this.#endpoints.find((candidate) => candidate.name === name);
    return endpoint ?? line.fail('pod', 'a pod named in the header');
  }
}

function streamCounts({ name, publisher }: RecordedEndpoint): StreamCounts {
  return {
    endpoint: name,
    framesApplied: publisher.count('framesApplied'),
    framesMalformed: publisher.count('framesMalformed'),
    blocksStored: publisher.count('blocksStored'),
    blocksRemoved: publisher.count('blocksRemoved'),
    unknownParents: publisher.count('unknownParents'),
    unknownBlocks: publisher.count('unknownBlocks'),
    gaps: publisher.count('gaps'),
    restarts: publisher.count('restarts'),
    indexFull: publisher.count('indexFull'),
  };
}

function endpointNames(header: RecordLine): readonly string[] {
  const names = header.array('pods').map((pod) => {
    const name = typeof pod === 'object' && pod !== null && 'name' in pod ? pod.name : null;
    return typeof name === 'string' ? name : header.fail('pods', 'objects with a name');
  });
  const isUsable = names.length > 0 && names.length <= ENDPOINT_CAPACITY / 4;
  if (!isUsable) header.fail('pods', `1 to ${ENDPOINT_CAPACITY / 4} pods`);
  if (new Set(names).size < names.length) header.fail('pods', 'pods of different names');
  return names;
}

function blockCapacity(wanted: number): number {
  return Math.min(BLOCK_CAPACITY_MAX, Math.max(BLOCK_CAPACITY_MIN, wanted));
}

function gpuBlocks(header: RecordLine): number {
  return header.array('pods').reduce<number>((sum, pod) => {
    const has = typeof pod === 'object' && pod !== null && 'num_gpu_blocks' in pod;
    const count = has ? Number(pod.num_gpu_blocks) : 0;
    return sum + (Number.isSafeInteger(count) && count > 0 ? count : 0);
  }, 0);
}

/** `[frame hex, …, payload length]` as frames; the payload's bytes are not recorded. */
function replyFrames(raw: unknown, line: RecordLine): readonly Uint8Array[] {
  const payloadBytes = Array.isArray(raw) ? Number(raw.at(-1)) : Number.NaN;
  const isLength = payloadBytes >= 0 && payloadBytes <= EVENT_MESSAGE_BYTES_MAX;
  if (!Array.isArray(raw) || !Number.isInteger(payloadBytes) || !isLength) {
    line.fail('reply_frames', 'arrays that end with a payload length');
  }
  const frames = raw.slice(0, -1).map((hex) => Buffer.from(String(hex), 'hex'));
  return [...frames, new Uint8Array(payloadBytes)];
}
