// The path of a request, to be read top down: admit → encode → filter → score → pick → forward →
// observe. Runs on the main thread, touches no body byte, and ends every request in exactly one of
// forward, reject or respond; whatever throws on the way costs a reason, not the request.

import { assert, assertNever } from '#contracts/assert.js';
import type { DataPlaneHandler, ForwardProgress } from '#contracts/core.js';
import { RouterError } from '#contracts/errors.js';
import { REQUESTS_IN_FLIGHT_MAX } from '#contracts/limits.js';
import type { EncodedPrompt, RequestHead } from '#contracts/request.js';
import type { ActiveRequest, RequestPorts } from './active-request.js';
import { activeRequest } from './active-request.js';
import type { Admission, LocalHandlers, LocalPath } from './admit.js';
import { admit } from './admit.js';
import type { Decided, Decider } from './decide.js';
import type { Encoded } from './encode.js';
import { EncodeGate } from './encode.js';
import { forwardOrder } from './forward.js';
import type { HookFailed } from './hooks.js';
import { noteMoved, notePicked, withPluginHeaders } from './hooks.js';
import {
  beginAttempt,
  endAttempt,
  endRequest,
  onAttemptFailed,
  onFirstByte,
  tellEnd,
} from './observe.js';
import type { ModelRewrites } from './rewrite.js';
import { ModelRewriter, unserved } from './rewrite.js';
import type { ScheduleCycle } from './schedule.js';
import { scoreLogFields } from './score-log.js';

export interface PipelineOptions {
  readonly ports: RequestPorts;
  readonly decider: Decider;
  readonly localHandlers: LocalHandlers;
  readonly rewrites: ModelRewrites;
  /** Whether answers carry `x-warmpath-*` headers. */
  readonly decisionHeaders: boolean;
}

/** Takes every request the data plane hands over through its decision to its end. */
export class RequestPipeline implements DataPlaneHandler {
  readonly #ports: RequestPorts;
  readonly #localHandlers: LocalHandlers;
  readonly #decisionHeaders: boolean;
  readonly #decider: Decider;
  readonly #gate: EncodeGate;
  readonly #rewriter: ModelRewriter;
  /** By handle slot; each entry lives until the `done` record of its generation. */
  readonly #active = new Array<ActiveRequest | undefined>(REQUESTS_IN_FLIGHT_MAX).fill(undefined);
  /** Requests that have ended and were not told of. */
  readonly #ended: ActiveRequest[] = [];
  #inFlight = 0;
  /** A plugin failed after the decision: the request goes on without it. */
  readonly #hookFailed: HookFailed = (profile, { requestId }, error) => {
    this.#ports.observer.policyFailed(profile);
    this.#ports.logger.error(
      { 'x-request-id': requestId, error },
      'A plugin failed after a decision',
    );
  };
  #draining = false;
  #admitted = 0;
  #finished = 0;

  constructor(options: PipelineOptions) {
    this.#ports = options.ports;
    this.#localHandlers = options.localHandlers;
    this.#decisionHeaders = options.decisionHeaders;
    this.#decider = options.decider;
    const { encoder, observer, defer } = options.ports;
    const isActive = (request: ActiveRequest): boolean =>
      this.#active[request.head.handle.slot] === request;
    const onEncoded: Encoded = (request, read) =>
      this.#guard(request, () => this.#onEncoded(request, read()));
    const reject = this.#reject.bind(this);
    this.#gate = new EncodeGate({ encoder, defer, isActive, onEncoded });
    const { rewrites } = options;
    const ports = { encoder, observer, isActive, onEncoded, reject };
    this.#rewriter = new ModelRewriter(rewrites, ports);
  }

  /** From now on new requests are refused as `shutting_down`; local paths are still answered. */
  beginDrain(): void {
    this.#draining = true;
  }

  /** Requests between their head and their `done` record. */
  inFlight(): number {
    return this.#inFlight;
  }

  onRequests(batch: readonly RequestHead[]): void {
    const nowMs = this.#ports.clock.nowMs();
    for (const head of batch) {
      const admission = admit(head.method, head.path, this.#draining);
      const route = admission.kind === 'route' ? admission.route : 'local';
      const request = activeRequest(head, route, nowMs);
      this.#enter(request);
      this.#guard(request, () => this.#admit(request, admission));
    }
    this.#tellEnded();
  }

  onProgress(batch: readonly ForwardProgress[], requestsFollow: boolean): void {
    for (const progress of batch) {
      const request = this.#active[progress.handle.slot];
      // A client that left while it was still sending its body was never handed over.
      if (request?.head.handle.generation !== progress.handle.generation) continue;
      this.#guard(request, () => this.#observe(request, progress));
    }
    if (!requestsFollow) this.#tellEnded();
  }

  #admit(request: ActiveRequest, admission: Admission): void {
    switch (admission.kind) {
      case 'route':
        this.#gate.add(request);
        break;
      case 'local':
        void this.#answerLocally(request, admission.path);
        break;
      case 'reject':
        this.#reject(request, admission.error);
        break;
      default:
        assertNever(admission);
    }
  }

  /** Puts a request into the table. A slot comes back only after its `done` record. */
  #enter(request: ActiveRequest): void {
    const { slot } = request.head.handle;
    const lost = this.#active[slot];
    if (lost === undefined) this.#inFlight += 1;
    else {
      endAttempt(lost);
      this.#finished += 1;
      this.#ports.logger.error({ 'x-request-id': lost.head.requestId }, 'A request never ended');
    }
    this.#active[slot] = request;
    this.#admitted += 1;
    this.#ports.observer.admitted(request.route);
  }

  async #answerLocally(request: ActiveRequest, path: LocalPath): Promise<void> {
    try {
      const { status, headers, body } = await this.#localHandlers[path](request.head);
      this.#ports.plane.respond(request.head.handle, status, headers, body);
      request.settled = true;
    } catch (error) {
      this.#fail(request, error);
    }
  }

  #onEncoded(request: ActiveRequest, encoded: EncodedPrompt): void {
    if (this.#rewriter.takes(request, encoded)) return;
    const nowMs = this.#ports.clock.nowMs();
    request.encoded = encoded;
    this.#countEncoding(request, encoded, nowMs);
    const refusal = this.#decide(request, encoded, nowMs);
    if (refusal !== null) this.#reject(request, refusal);
  }

  /** Filter, score, pick, forward. Returns the error to refuse with, null when it was forwarded. */
  #decide(request: ActiveRequest, encoded: EncodedPrompt, nowMs: number): RouterError | null {
    const { clock } = this.#ports;
    const model = this.#decider.resolve(encoded.model);
    if (!(model instanceof RouterError)) request.model = model.id;
    const decided = this.#decider.decide(request.head, encoded, model, nowMs);
    if (decided instanceof RouterError) return unserved(request.askedModel, decided);
    if (decided.refusal === null) {
      this.#forward(request, decided);
      return null;
    }
    this.#record(request, decided, (clock.nowMs() - request.head.receivedAtMs) * 1000);
    return decided.refusal;
  }

  #forward(request: ActiveRequest, decided: Decided): void {
    const ports = this.#ports;
    const { context, cycle, targets } = decided;
    const [first] = targets;
    assert(first !== undefined, 'a picked cycle names an endpoint');
    request.targets = targets;
    request.outputTokens = context.signals.outputTokens;
    const begunAtMs = ports.clock.nowMs();
    const overheadMicros = (begunAtMs - request.head.receivedAtMs) * 1000;
    const shown = this.#decisionHeaders ? overheadMicros : null;
    const plain = forwardOrder(request, context, cycle, shown);
    const order = withPluginHeaders(plain, cycle.hooks, context, this.#hookFailed);
    // First of all: what follows is noted while the plane sends it on. False: the client has gone, or
    // the plane could not wait; the record of it is on its way.
    const isSent = ports.plane.forward(request.head.handle, order);
    request.settled = true;
    // Before its own load counts: the record has what the policy saw.
    this.#record(request, decided, overheadMicros);
    if (isSent) {
      beginAttempt(ports, request, first);
      request.followers = notePicked(cycle.hooks, context, first.slot, this.#hookFailed);
    }
    ports.observer.stage('forward', (ports.clock.nowMs() - begunAtMs) * 1000);
    ports.observer.stage('total', overheadMicros);
  }

  /** Makes the decision known: to the decision log, the log line and the metrics. */
  #record(request: ActiveRequest, decided: Decided, overheadMicros: number): void {
    const ports = this.#ports;
    const asked = request.askedModel ?? decided.model.id;
    const at = ports.isoNow();
    const decision = ports.decisions.record({ decided, asked, at, overheadMicros });
    request.decisionNumber = decision.sequence;
    ports.observer.decided(decision.chosen, decision.noMatchReason);
    if (ports.logger.tellsInfo !== false) {
      ports.logger.info(scoreLogFields(decision, decided.context), 'Got pod scores');
    }
    this.#countCycle(request, decided.cycle);
  }

  #countEncoding(request: ActiveRequest, encoded: EncodedPrompt, nowMs: number): void {
    const { observer } = this.#ports;
    observer.stage('encode', (nowMs - request.queuedAtMs) * 1000);
    const { micros } = encoded;
    if (micros.parse > 0) observer.stage('parse', micros.parse);
    if (micros.render > 0) observer.stage('render', micros.render);
    if (micros.tokenize > 0) observer.stage('tokenize', micros.tokenize);
    if (micros.hash > 0) observer.stage('hash', micros.hash);
    if (micros.match > 0) observer.stage('match', micros.match);
    if (encoded.patches.length > 0) observer.stripped(encoded.patches.length);
    if (encoded.mediaLeftOut > 0) observer.mediaLeftOut(encoded.mediaLeftOut);
  }

  #countCycle(request: ActiveRequest, cycle: ScheduleCycle): void {
    const { observer, logger } = this.#ports;
    if (cycle.failure !== null) {
      observer.policyFailed(cycle.profile.name);
      const fields = { 'x-request-id': request.head.requestId, error: cycle.failure };
      logger.error(fields, 'The policy failed; picked by fewest in flight');
      return;
    }
    observer.stage('filter', cycle.filterMs * 1000);
    observer.stage('score', cycle.scoreMs * 1000);
    observer.stage('pick', cycle.pickMs * 1000);
    const { violations } = cycle.board;
    for (let position = 0; position < violations.length; position += 1) {
      const count = violations[position] ?? 0;
      if (count > 0) observer.scorerViolated(cycle.profile.scorers[position]?.type ?? '', count);
    }
  }

  #observe(request: ActiveRequest, progress: ForwardProgress): void {
    switch (progress.kind) {
      case 'attempt-failed': {
        const next = onAttemptFailed(this.#ports, request, progress);
        const { followers, head } = request;
        if (next >= 0 && followers !== null) noteMoved(followers, head, next, this.#hookFailed);
        break;
      }
      case 'first-byte':
        onFirstByte(this.#ports, request, progress);
        break;
      case 'done':
        this.#leave(request);
        request.done = progress;
        this.#ended.push(request);
        endRequest(this.#ports, request, progress);
        break;
      default:
        assertNever(progress);
    }
  }

  /** Last of all, so that no request waits for what is noted of others. */
  #tellEnded(): void {
    for (const request of this.#ended) {
      const { done } = request;
      if (done !== null) this.#guard(request, () => tellEnd(this.#ports, request, done));
    }
    this.#ended.length = 0;
  }

  #leave(request: ActiveRequest): void {
    this.#active[request.head.handle.slot] = undefined;
    this.#inFlight -= 1;
    this.#finished += 1;
    assert(
      this.#admitted === this.#finished + this.#inFlight,
      () => `${this.#admitted} admitted, ${this.#finished} finished, ${this.#inFlight} in flight`,
    );
  }

  #reject(request: ActiveRequest, error: RouterError): void {
    this.#ports.plane.reject(request.head.handle, error);
    request.settled = true;
  }

  /** Runs one step of a request; a fault of the router becomes a log line and an answer. */
  #guard(request: ActiveRequest, step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(request, error);
    }
  }

  #fail(request: ActiveRequest, cause: unknown): void {
    const fields = { 'x-request-id': request.head.requestId, error: cause };
    this.#ports.logger.error(fields, 'The router failed while handling a request');
    if (request.settled) return;
    endAttempt(request);
    const text = 'the router failed; its log has the cause';
    this.#reject(request, new RouterError('internal_error', text, { cause }));
  }
}
