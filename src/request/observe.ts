// Last stage: keeps load, health, speculation and figures in step with what happens to a forwarded
// request. Load is counted once at decision time, moved when another endpoint is tried, and
// released once, whichever way the request ends.

import type { ForwardProgress } from '#contracts/core.js';
import type { AttemptOutcome } from '#contracts/endpoint.js';
import type { FinishedRequest } from '#contracts/observer.js';
import type { ActiveRequest, Done, PlannedTarget, RequestPorts } from './active-request.js';
import type { AnsweredRequest } from './histories.js';

type AttemptFailed = Extract<ForwardProgress, { kind: 'attempt-failed' }>;
type FirstByte = Extract<ForwardProgress, { kind: 'first-byte' }>;

/** Counts the request in at the endpoint it is about to be sent to. */
export function beginAttempt(
  ports: RequestPorts,
  request: ActiveRequest,
  target: PlannedTarget,
): void {
  endAttempt(request);
  const promptTokens = request.encoded?.promptTokens ?? 0;
  request.token = ports.fleet.acquire(target.slot, {
    uncachedPromptTokens: Math.max(0, promptTokens - target.expectedTokens),
    outputTokens: request.outputTokens,
  });
  request.target = target;
  request.attempts += 1;
  request.expected = expectPrompt(ports, request, target.slot);
}

/**
 * The endpoint's history, where it has one, counts every request that was sent: one that could not
 * be matched takes room there too.
 */
function expectPrompt(
  ports: RequestPorts,
  { head, encoded, route }: ActiveRequest,
  slot: number,
): ActiveRequest['expected'] {
  if (encoded === null || route === 'passthrough' || route === 'local') return null;
  if (ports.histories.begin(head.handle, slot, encoded)) return 'history';
  if (encoded.noMatchReason !== null) return null;
  ports.encoder.speculate(head.handle, slot);
  return 'speculative';
}

/** Releases what is counted, if anything. */
export function endAttempt(request: ActiveRequest): void {
  request.token?.release();
  request.token = null;
}

/** An endpoint gave no answer: its load moves to the one that is tried next. Returns that one's slot, or −1. */
export function onAttemptFailed(
  ports: RequestPorts,
  request: ActiveRequest,
  progress: AttemptFailed,
): number {
  const next = request.targets.find((target) => target.slot === progress.nextSlot);
  const failed = request.targets.find((target) => target.slot === progress.slot);
  ports.fleet.report(progress.slot, progress.outcome);
  ports.observer.attemptFailed(failed?.name ?? '', progress.outcome, next !== undefined);
  withdraw(ports, request);
  if (next === undefined) endAttempt(request);
  else beginAttempt(ports, request, next);
  return next?.slot ?? -1;
}

/** The answer begins: the prompt has been processed. */
export function onFirstByte(
  ports: RequestPorts,
  request: ActiveRequest,
  progress: FirstByte,
): void {
  ports.fleet.report(progress.slot, outcomeOfStatus(progress.status));
  request.token?.releasePromptTokens();
  // An engine that refused the request has not computed its prompt.
  if (progress.status >= 400) withdraw(ports, request);
}

/** The request has ended: everything counted for it is given back, before others are decided. */
export function endRequest(ports: RequestPorts, request: ActiveRequest, progress: Done): void {
  endAttempt(request);
  if (progress.outcome === 'endpoint-failed' && progress.firstByteMs >= 0) {
    ports.fleet.report(progress.slot, outcomeOfCut(progress));
  }
  if (progress.outcome !== 'completed' && progress.firstByteMs < 0) withdraw(ports, request);
  else if (request.expected === 'history' && request.target !== null) {
    ports.histories.end(request.head.handle, request.target.slot, answered(request, progress));
  }
}

/** Tells of a request that has ended, to the figures and the decision log. */
export function tellEnd(ports: RequestPorts, request: ActiveRequest, progress: Done): void {
  const finished = finishedRequest(request, progress);
  ports.observer.finished(finished);
  if (request.decisionNumber !== null) {
    ports.decisions.finish(request.decisionNumber, finished);
  }
}

function withdraw(ports: RequestPorts, request: ActiveRequest): void {
  const { expected, target, head } = request;
  request.expected = null;
  if (expected === 'history') ports.histories.withdraw(head.handle);
  else if (expected === 'speculative' && target !== null) {
    ports.encoder.withdraw(head.handle, target.slot);
  }
}

/** Tokens the engine holds after the answer; its last one was never put in. */
function answered({ encoded }: ActiveRequest, { usage, chunks }: Done): AnsweredRequest {
  const prompt = Math.max(encoded?.promptTokens ?? 0, usage.promptTokens);
  // Without usage, a token for each event of a stream.
  const answer = usage.completionTokens >= 0 ? usage.completionTokens : chunks;
  return {
    computed: prompt + Math.max(0, answer - 1),
    cached: usage.cachedTokens,
    hasUsage: usage.promptTokens >= 0,
  };
}

/** 4xx is the client's affair; 429 and 503 mean busy, not broken. */
function outcomeOfStatus(status: number): AttemptOutcome {
  if (status === 429 || status === 503) return 'busy';
  return status >= 500 ? 'server-error' : 'answered';
}

/** What a failure after the first byte says about the endpoint. */
function outcomeOfCut(progress: Done): AttemptOutcome {
  if (progress.errorCode === 'endpoint_stalled') return 'timed-out';
  return progress.errorCode === 'endpoint_bad_response' ? 'server-error' : 'unreachable';
}

function finishedRequest(request: ActiveRequest, progress: Done): FinishedRequest {
  const { encoded, target, head } = request;
  const matched = encoded !== null && encoded.noMatchReason === null && target !== null;
  const promptTokens = encoded?.promptTokens ?? 0;
  return {
    requestId: head.requestId,
    route: request.route,
    model: request.model,
    endpoint: target?.name ?? null,
    status: progress.status,
    outcome: progress.outcome,
    errorCode: progress.errorCode,
    stream: encoded?.stream ?? false,
    attempts: request.attempts,
    firstByteMs: known(progress.firstByteMs),
    lastByteMs: progress.lastByteMs,
    meanInterTokenMs: meanInterTokenMs(progress),
    promptTokens: promptTokens > 0 ? promptTokens : null,
    predictedCachedTokens: matched ? target.predictedTokens : null,
    reportedPromptTokens: known(progress.usage.promptTokens),
    reportedCachedTokens: known(progress.usage.cachedTokens),
    reportedCompletionTokens: known(progress.usage.completionTokens),
  };
}

/** Mean gap of a stream's tokens; chunks stand in where the stream carries no usage. */
function meanInterTokenMs(progress: Done): number | null {
  if (progress.chunks === 0 || progress.firstByteMs < 0) return null;
  const reported = progress.usage.completionTokens;
  const gaps = (reported > 0 ? reported : progress.chunks) - 1;
  return gaps > 0 ? (progress.lastByteMs - progress.firstByteMs) / gaps : null;
}

function known(figure: number): number | null {
  return figure >= 0 ? figure : null;
}
