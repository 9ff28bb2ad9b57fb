// A decision as it is kept: figures copied while the cycle's arrays still hold them, because the
// next request reuses those. Objects for people are made when somebody asks. Kept decisions are
// themselves reused, so that deciding leaves nothing for the collector.

import type { Decision, DecisionResult, ScheduleMicros } from '#contracts/decision.js';
import type { FleetSnapshot } from '#contracts/endpoint.js';
import { ATTEMPTS_MAX, REQUEST_ID_LENGTH_MAX } from '#contracts/limits.js';
import type { FinishedRequest } from '#contracts/observer.js';
import type { Profile } from '#contracts/plugin.js';
import type { EncodedPrompt, EncodeMicros, NoMatchReason } from '#contracts/request.js';
import type { HeaderRead, SchedulingContext } from '#contracts/scheduling.js';
import { requestSignals } from '#contracts/scheduling.js';
import type { Decided } from './decide.js';
import { KeptCandidates } from './kept-candidates.js';
import { headersOf, keepHeaders } from './kept-headers.js';
import { KeptResult } from './kept-result.js';
import type { ResolvedModel } from './models.js';
import type { ScheduleCycle } from './schedule.js';

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

/** Places of the figures that are no small integers, which would be objects as fields. */
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
  count: 10,
} as const;

/** One place for a decision. Its fields are those of the decision kept last. */
export class KeptDecision {
  /** Number of the decision among all; −1 before the first. */
  sequence = -1;
  model = '';
  resolvedTargetModel = '';
  noMatchReason: NoMatchReason | null = null;
  priority = 0;
  /** ASCII. As a string it would keep the whole head alive that it was cut from. */
  readonly #requestId = Buffer.alloc(REQUEST_ID_LENGTH_MAX);
  #requestIdLength = 0;
  readonly #result = new KeptResult();
  #at = '';
  #pool = '';
  #adapter = '';
  #promptTokens = 0;
  #totalBlocks = 0;
  #blockSize = 0;
  #predictedCachedTokens = 0;
  #indexEpoch = 0;
  #profile: Profile | null = null;
  #failure: unknown = null;
  #fleet: FleetSnapshot | null = null;
  #targetCount = 0;
  #reads: readonly HeaderRead[] = [];
  #media: readonly string[] = [];
  readonly #headers: string[] = [];
  readonly #signals = requestSignals();
  readonly #targets = new Int32Array(ATTEMPTS_MAX);
  readonly #figures = new Float64Array(FIGURE.count);
  readonly #candidates = new KeptCandidates();

  get requestId(): string {
    return this.#requestId.toString('latin1', 0, this.#requestIdLength);
  }

  /** Name of the chosen endpoint, null when none was left. */
  get chosen(): string | null {
    return this.#targetCount === 0 ? null : this.#targetName(0);
  }

  /** Keeps the decision of the cycle that has just run instead of the one before. */
  keep(sequence: number, { decided, asked, at, overheadMicros }: Explained): void {
    const { context, encoded, model, cycle, targets } = decided;
    this.sequence = sequence;
    this.#figures[FIGURE.overhead] = overheadMicros;
    this.#result.clear();
    this.noMatchReason = context.noMatchReason ?? emptyMatchReason(context, model);
    this.resolvedTargetModel = model.id;
    this.#at = at;
    this.#predictedCachedTokens = targets[0]?.predictedTokens ?? 0;
    this.#indexEpoch = encoded.indexEpoch;
    this.#profile = cycle.profile;
    this.#failure = cycle.failure;
    this.#targetCount = targets.length;
    for (let position = 0; position < targets.length; position += 1) {
      this.#targets[position] = targets[position]?.slot ?? 0;
    }
    this.#keepContext(context);
    this.model = asked;
    this.#keepHead(decided);
    this.#keepMicros(encoded, cycle);
    this.#candidates.keep(context, cycle);
  }

  /** Joins the end of the request. */
  finish(finished: FinishedRequest): void {
    this.#result.keep(finished);
  }

  /** How the request ended, null until then. */
  result(): DecisionResult | null {
    return this.#result.result();
  }

  /** The decision as an object of its own. */
  decision(): Decision {
    const profile = this.#profile;
    const fleet = this.#fleet;
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
      promptTokens: this.#promptTokens,
      totalBlocks: this.#totalBlocks,
      blockSize: this.#blockSize,
      predictedCachedTokens: this.#predictedCachedTokens,
      noMatchReason: this.noMatchReason,
      headers: headersOf(this.#reads, this.#headers),
      signals: { ...this.#signals },
      media: this.#media,
      nowMs: this.#figure(FIGURE.nowMs),
      fleetEpoch: fleet?.epoch ?? 0,
      indexEpoch: this.#indexEpoch,
      candidates:
        profile === null || fleet === null ? [] : this.#candidates.candidates(fleet, profile),
      encodeMicros: this.#encodeMicros(),
      scheduleMicros: this.#scheduleMicros(),
      overheadMicros: this.#figure(FIGURE.overhead),
    };
  }

  #keepContext(context: SchedulingContext): void {
    this.#keepRequestId(context.requestId);
    this.model = context.model;
    this.priority = context.priority;
    this.#pool = context.pool;
    this.#adapter = context.adapter;
    this.#promptTokens = context.promptTokens;
    this.#totalBlocks = context.totalBlocks;
    this.#blockSize = context.blockSize;
    this.#media = context.media;
    this.#figures[FIGURE.nowMs] = context.nowMs;
    this.#fleet = context.fleet;
  }

  /** By hand: so few bytes cost less than a call of the buffer's own. */
  #keepRequestId(id: string): void {
    const length = Math.min(id.length, this.#requestId.length);
    for (let at = 0; at < length; at += 1) this.#requestId[at] = id.charCodeAt(at);
    this.#requestIdLength = length;
  }

  #keepHead({ keptHeaders: { reads, identities }, context }: Decided): void {
    const { signals } = context;
    this.#signals.sessionId = identities ? signals.sessionId : '';
    this.#signals.agentIdentity = identities ? signals.agentIdentity : '';
    this.#signals.outputTokens = signals.outputTokens;
    this.#reads = reads;
    if (reads.length > 0) keepHeaders(reads, context, this.#headers);
  }

  #keepMicros({ micros }: EncodedPrompt, cycle: ScheduleCycle): void {
    const figures = this.#figures;
    figures[FIGURE.parse] = micros.parse;
    figures[FIGURE.render] = micros.render;
    figures[FIGURE.tokenize] = micros.tokenize;
    figures[FIGURE.hash] = micros.hash;
    figures[FIGURE.match] = micros.match;
    figures[FIGURE.filter] = cycle.filterMs * MICROS_PER_MS;
    figures[FIGURE.score] = cycle.scoreMs * MICROS_PER_MS;
    figures[FIGURE.pick] = cycle.pickMs * MICROS_PER_MS;
  }

  #figure(place: number): number {
    return this.#figures[place] ?? 0;
  }

  #targetName(position: number): string {
    const slot = this.#targets[position] ?? 0;
    return this.#fleet?.bySlot[slot]?.endpoint.name ?? '';
  }

  #fallbacks(): readonly string[] {
    const count = Math.max(0, this.#targetCount - 1);
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
