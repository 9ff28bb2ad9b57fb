// Sixth stage: turns a picked cycle into the order the data plane carries out: targets best first,
// with what is said to each endpoint and, if it answers, to the client.

import type { ForwardOrder, RouteTarget } from '#contracts/core.js';
import type { HeaderPair } from '#contracts/request.js';
import type { SchedulingContext } from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import type { ActiveRequest, PlannedTarget } from './active-request.js';
import type { ScheduleCycle } from './schedule.js';
import { shortFigure } from './short-figure.js';

/** Names the picked endpoints and how much of the prompt each is predicted to reuse. */
export function planTargets(cycle: ScheduleCycle, context: SchedulingContext): PlannedTarget[] {
  const targets: PlannedTarget[] = [];
  for (let position = 0; position < cycle.pickedCount; position += 1) {
    const slot = cycle.picked[position] ?? 0;
    const usableBlocks = context.match?.usableBlocks[slot] ?? 0;
    const expectedBlocks = Math.max(usableBlocks, context.match?.speculativeBlocks[slot] ?? 0);
    targets.push({
      slot,
      name: candidateState(context, slot).endpoint.name,
      predictedTokens: usableBlocks * context.blockSize,
      expectedTokens: expectedBlocks * context.blockSize,
    });
  }
  return targets;
}

/** Builds the order; `overheadMicros` null leaves the decision headers out. */
export function forwardOrder(
  request: ActiveRequest,
  context: SchedulingContext,
  cycle: ScheduleCycle,
  overheadMicros: number | null,
): ForwardOrder {
  const targets = request.targets.map((target, position): RouteTarget => {
    const { dpRank } = candidateState(context, target.slot).endpoint;
    // The data plane itself sends the request id on and back.
    const requestHeaders: HeaderPair[] =
      dpRank === null ? [] : [['x-data-parallel-rank', String(dpRank)]];
    return {
      slot: target.slot,
      requestHeaders,
      responseHeaders:
        overheadMicros === null
          ? []
          : position === 0
            ? decisionHeaders(target, context, cycle, overheadMicros)
            : fallbackHeaders(target, context),
    };
  });
  return { targets, patches: request.encoded?.patches ?? [] };
}

function decisionHeaders(
  target: PlannedTarget,
  context: SchedulingContext,
  cycle: ScheduleCycle,
  overheadMicros: number,
): HeaderPair[] {
  const headers = fallbackHeaders(target, context);
  if (cycle.failure === null) headers.push(['x-warmpath-score', scoreText(target.slot, cycle)]);
  headers.push(['x-warmpath-overhead-us', String(Math.round(overheadMicros))]);
  return headers;
}

/** Of an endpoint that is rarely needed: what changes with it. The rest is in the decision log. */
function fallbackHeaders(target: PlannedTarget, context: SchedulingContext): HeaderPair[] {
  const endpoint: HeaderPair = ['x-warmpath-endpoint', target.name];
  if (context.promptTokens === 0) return [endpoint];
  const tokens = `${target.predictedTokens}/${context.promptTokens}`;
  return [endpoint, ['x-warmpath-matched-tokens', tokens]];
}

/** `5.92 prefix-cache-scorer=0.99*3 queue-scorer=1*2`: the total, then its terms. */
function scoreText(slot: number, cycle: ScheduleCycle): string {
  const { board, profile } = cycle;
  let text = shortFigure(board.totals[slot] ?? 0);
  for (let position = 0; position < profile.scorers.length; position += 1) {
    const scorer = profile.scorers[position];
    if (scorer === undefined) continue;
    const raw = board.raw[position]?.[slot] ?? 0;
    text += ` ${scorer.type}=${shortFigure(raw)}*${scorer.weight}`;
  }
  return text;
}
