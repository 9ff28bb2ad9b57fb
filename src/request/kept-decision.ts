// A decision as it is kept: figures copied while the cycle's arrays still hold them, because the
// next request reuses those. Objects for people are made when somebody asks. Kept decisions are
// themselves reused, so that deciding leaves nothing for the collector.

import type { CompletionOutcome } from '#contracts/core.js';
import type {
  Decision,
  DecisionCandidate,
  DecisionResult,
  ScheduleMicros,
} from '#contracts/decision.js';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import type { ErrorCode } from '#contracts/errors.js';
import { ATTEMPTS_MAX, REQUEST_ID_LENGTH_MAX } from '#contracts/limits.js';
import type { FinishedRequest } from '#contracts/observer.js';
import type { Profile } from '#contracts/plugin.js';
import type { EncodeMicros, NoMatchReason } from '#contracts/request.js';
import type { HeaderRead, SchedulingContext } from '#contracts/scheduling.js';
import type { Decided } from './decide.js';
import { candidatesOf, type KeptRows, keepCandidates } from './kept-candidates.js';
import { headersOf, keepHeaders } from './kept-headers.js';
import { KeptMemory } from './kept-memory.js';
import { keepResult, RESULT_FIGURES, resultOf } from './kept-result.js';
import type { ResolvedModel } from './models.js';

/** What a decision is explained from. */
export interface Explained {
  readonly decided: Decided;
  /** Model as the client asked for it, where a rule rewrote it; else the served one's id. */
  readonly asked: string;
  /** ISO wall-clock time. */
  readonly at: string;
  readonly overheadMicros: number;
}

const MICROS_PER_MS = 1000;

/** Places of the figures. The request's id, as bytes, and a row for each endpoint follow. */
const FIGURE = {
  parse: 0,
  render: 1,
  tokenize: 2,
  hash: 3,
  match: 4,
  filter: 5,
  score: 6,
  pick: 7,
  overhead: 8,
  nowMs: 9,
  priority: 10,
  promptTokens: 11,
  totalBlocks: 12,
  blockSize: 13,
  predictedCachedTokens: 14,
  indexEpoch: 15,
  outputTokens: 16,
  isMatched: 17,
  targetCount: 18,
  targets: 19,
  result: 19 + ATTEMPTS_MAX,
  requestIdLength: 19 + ATTEMPTS_MAX + RESULT_FIGURES,
  requestId: 20 + ATTEMPTS_MAX + RESULT_FIGURES,
} as const;

const BYTES = Float64Array.BYTES_PER_ELEMENT;
const ROWS_AT = FIGURE.requestId + REQUEST_ID_LENGTH_MAX / BYTES;

/** One place for a decision. What it tells is of the decision kept last. */
export class KeptDecision {
  /** Number of the decision among all; −1 before the first. */
  sequence = -1;
  model = '';
  resolvedTargetModel = '';
  noMatchReason: NoMatchReason | null = null;
  readonly #memory: KeptMemory;
  readonly #place: number;
  readonly #rows: KeptRows;
  #at = '';
  #pool = '';
  #adapter = '';
  #sessionId = '';
  #agentIdentity = '';
  #profile: Profile | null = null;
  #failure: unknown = null;
  #fleet: FleetSnapshot | null = null;
  #reads: readonly HeaderRead[] = [];
  #media: readonly string[] = [];
  readonly #headers: string[] = [];
  /** Null until the request has ended. */
  #outcome: CompletionOutcome | null = null;
  #answeredBy: string | null = null;
  #errorCode: ErrorCode | null = null;

  constructor(memory: KeptMemory = new KeptMemory(1), place = 0) {
    memory.reserve(ROWS_AT);
    this.#memory = memory;
    this.#place = place;
    this.#rows = { memory, place, offset: ROWS_AT, adapters: [] };
  }

  get requestId(): string {
    const { bytes } = this.#memory;
    const at = (this.#memory.at(this.#place) + FIGURE.requestId) * BYTES;
    const id = bytes.subarray(at, at + this.#figure(FIGURE.requestIdLength));
    return Buffer.from(id).toString('latin1');
  }

  get priority(): number {
    return this.#figure(FIGURE.priority);
  }

  /** Name of the chosen endpoint, null when none was left. */
  get chosen(): string | null {
    return this.#figure(FIGURE.targetCount) === 0 ? null : this.#targetName(0);
  }

  /** Keeps the decision of the cycle that has just run instead of the one before. */
  keep(sequence: number, explained: Explained): void {
    const { decided, asked, at } = explained;
    const { context, model, cycle } = decided;
    this.sequence = sequence;
    this.model = asked;
    this.resolvedTargetModel = model.id;
    this.noMatchReason = context.noMatchReason ?? emptyMatchReason(context, model);
    this.#at = at;
    this.#pool = context.pool;
    this.#adapter = context.adapter;
    this.#profile = cycle.profile;
    this.#failure = cycle.failure;
    this.#fleet = context.fleet;
    this.#media = context.media;
    this.#outcome = null;
    this.#keepHead(decided);
    this.#keepFigures(explained);
    this.#keepRequestId(context.requestId);
    keepCandidates(this.#rows, context, cycle);
  }

  /** Joins the end of the request. */
  finish(finished: FinishedRequest): void {
    this.#outcome = finished.outcome;
    this.#answeredBy = finished.endpoint;
    this.#errorCode = finished.errorCode;
    keepResult(this.#memory.numbers, this.#memory.at(this.#place) + FIGURE.result, finished);
  }

  /** How the request ended, null until then. */
  result(): DecisionResult | null {
    if (this.#outcome === null) return null;
    return resultOf(this.#memory.numbers, this.#memory.at(this.#place) + FIGURE.result, {
      outcome: this.#outcome,
      endpoint: this.#answeredBy,
      errorCode: this.#errorCode,
    });
  }

  /** The decision as an object of its own. */
  decision(): Decision {
    const profile = this.#profile;
    return {
      requestId: this.requestId,
      at: this.#at,
      model: this.model,
      resolvedTargetModel: this.resolvedTargetModel,
      pool: this.#pool,
      adapter: this.#adapter,
      priority: this.priority,
      profile: profile?.name ?? '',
      picker: profile?.picker.type ?? '',
      failure: this.#failure === null ? null : String(this.#failure),
      chosen: this.chosen,
      fallbacks: this.#fallbacks(),
      promptTokens: this.#figure(FIGURE.promptTokens),
      totalBlocks: this.#figure(FIGURE.totalBlocks),
      blockSize: this.#figure(FIGURE.blockSize),
      predictedCachedTokens: this.#figure(FIGURE.predictedCachedTokens),
      noMatchReason: this.noMatchReason,
      headers: headersOf(this.#reads, this.#headers),
      signals: {
        sessionId: this.#sessionId,
        agentIdentity: this.#agentIdentity,
        outputTokens: this.#figure(FIGURE.outputTokens),
      },
      media: this.#media,
      nowMs: this.#figure(FIGURE.nowMs),
      fleetEpoch: this.#fleet?.epoch ?? 0,
      indexEpoch: this.#figure(FIGURE.indexEpoch),
      candidates: this.#candidates(),
      encodeMicros: this.#encodeMicros(),
      scheduleMicros: this.#scheduleMicros(),
      overheadMicros: this.#figure(FIGURE.overhead),
    };
  }

  #keepHead({ keptHeaders: { reads, identities }, context }: Decided): void {
    const { signals } = context;
    this.#sessionId = identities ? signals.sessionId : '';
    this.#agentIdentity = identities ? signals.agentIdentity : '';
    this.#reads = reads;
    if (reads.length > 0) keepHeaders(reads, context, this.#headers);
  }

  #keepFigures({ decided, overheadMicros }: Explained): void {
    const { context, encoded, cycle, targets } = decided;
    const { micros } = encoded;
    const { numbers } = this.#memory;
    const base = this.#memory.at(this.#place);
    numbers[base + FIGURE.parse] = micros.parse;
    numbers[base + FIGURE.render] = micros.render;
    numbers[base + FIGURE.tokenize] = micros.tokenize;
    numbers[base + FIGURE.hash] = micros.hash;
    numbers[base + FIGURE.match] = micros.match;
    numbers[base + FIGURE.filter] = cycle.filterMs * MICROS_PER_MS;
    numbers[base + FIGURE.score] = cycle.scoreMs * MICROS_PER_MS;
    numbers[base + FIGURE.pick] = cycle.pickMs * MICROS_PER_MS;
    numbers[base + FIGURE.overhead] = overheadMicros;
    numbers[base + FIGURE.nowMs] = context.nowMs;
    numbers[base + FIGURE.priority] = context.priority;
    numbers[base + FIGURE.promptTokens] = context.promptTokens;
    numbers[base + FIGURE.totalBlocks] = context.totalBlocks;
    numbers[base + FIGURE.blockSize] = context.blockSize;
    numbers[base + FIGURE.predictedCachedTokens] = targets[0]?.predictedTokens ?? 0;
    numbers[base + FIGURE.indexEpoch] = encoded.indexEpoch;
    numbers[base + FIGURE.outputTokens] = context.signals.outputTokens;
    numbers[base + FIGURE.isMatched] = context.match === null ? 0 : 1;
    numbers[base + FIGURE.targetCount] = targets.length;
    for (let position = 0; position < targets.length; position += 1) {
      numbers[base + FIGURE.targets + position] = targets[position]?.slot ?? 0;
    }
  }

  /** ASCII. As a string it would keep the whole head alive that it was cut from. */
  #keepRequestId(id: string): void {
    const { bytes, numbers } = this.#memory;
    const base = this.#memory.at(this.#place);
    const first = (base + FIGURE.requestId) * BYTES;
    const length = Math.min(id.length, REQUEST_ID_LENGTH_MAX);
    // By hand: so few bytes cost less than a call of the buffer's own.
    for (let at = 0; at < length; at += 1) bytes[first + at] = id.charCodeAt(at);
    numbers[base + FIGURE.requestIdLength] = length;
  }

  #figure(place: number): number {
    return this.#memory.numbers[this.#memory.at(this.#place) + place] ?? 0;
  }

  #candidates(): readonly DecisionCandidate[] {
    if (this.#profile === null || this.#fleet === null) return [];
    const isMatched = this.#figure(FIGURE.isMatched) === 1;
    return candidatesOf(this.#rows, this.#fleet, this.#profile, isMatched);
  }

  #targetName(position: number): string {
    const slot = this.#figure(FIGURE.targets + position);
    return this.#fleet?.bySlot[slot]?.endpoint.name ?? '';
  }

  #fallbacks(): readonly string[] {
    const count = Math.max(0, this.#figure(FIGURE.targetCount) - 1);
    return Array.from({ length: count }, (_, position) => this.#targetName(position + 1));
  }

  #encodeMicros(): EncodeMicros {
    return {
      parse: this.#figure(FIGURE.parse),
      render: this.#figure(FIGURE.render),
      tokenize: this.#figure(FIGURE.tokenize),
      hash: this.#figure(FIGURE.hash),
      match: this.#figure(FIGURE.match),
    };
  }

  #scheduleMicros(): ScheduleMicros {
    return {
      filter: this.#figure(FIGURE.filter),
      score: this.#figure(FIGURE.score),
      pick: this.#figure(FIGURE.pick),
    };
  }
}

/** Why a match found nothing; null when some endpoint holds a part of the prompt. */
function emptyMatchReason(context: SchedulingContext, model: ResolvedModel): NoMatchReason | null {
  const { match, fleet } = context;
  let known = false;
  for (let slot = model.serving.next(0); slot >= 0; slot = model.serving.next(slot + 1)) {
    if ((match?.usableBlocks[slot] ?? 0) > 0) return null;
    const publisher = fleet.bySlot[slot]?.publisher;
    known ||= publisher === 'live' || publisher === 'history';
  }
  return known ? 'no-match' : 'index-cold';
}
