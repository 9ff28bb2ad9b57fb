// Decisions as text: the ranked endpoints as a table, why the first one won, and, of a request that
// has ended, what was predicted, what the engine reported and where the time went.

import { assertNever } from '#contracts/assert.js';
import type {
  Decision,
  DecisionCandidate,
  DecisionResult,
  ModelRewrite,
} from '#contracts/decision.js';
import { rankCandidates, whyFirst } from '#request/ranking.js';
import { shortFigure } from '#request/short-figure.js';

/** The decision's lines: what was asked, the ranking, why. */
export function decisionLines(decision: Decision): readonly string[] {
  return [promptLine(decision), '', ...table(decision), '', whyFirst(decision)];
}

/** As which model a request would be sent, what chose that, and whether the next one gets the same. */
export function rewriteLine({ model, target, chosenBy, share }: ModelRewrite): string {
  const sent = `\`${model}\` is sent as \`${target}\``;
  const percent = `${shortFigure(share * 100)} %`;
  switch (chosenBy) {
    case 'header':
      return `${sent}: the header names it.`;
    case 'only-target':
      return `${sent}: its rule has no other target.`;
    case 'session':
      return `${sent}: its session always is, as ${percent} of sessions are.`;
    case 'chance':
      return `${sent}: drawn for this answer, as for ${percent} of requests without a session.`;
    default:
      return assertNever(chosenBy);
  }
}

/** How it turned out: endpoint and attempts, prediction beside report, times. */
export function outcomeLines(decision: Decision, result: DecisionResult | null): readonly string[] {
  const times = [
    `router   ${micros(decision.overheadMicros)} in all: ${stages(decision.encodeMicros)}, ${stages(decision.scheduleMicros)}`,
  ];
  if (result === null) return ['ended    not yet, or it never was sent on', ...times];
  const error = result.errorCode === null ? '' : ` (${result.errorCode})`;
  const attempts = `${result.attempts} attempt${result.attempts === 1 ? '' : 's'}`;
  const by = result.endpoint === null ? '' : ` by ${result.endpoint}`;
  const firstByte = result.firstByteMs === null ? 'none' : milliseconds(result.firstByteMs);
  return [
    `ended    ${result.status} ${result.outcome}${error}${by}, ${attempts}`,
    `cached   ${predictionText(decision, result)}`,
    ...times,
    `answer   first byte ${firstByte}, last byte ${milliseconds(result.lastByteMs)}`,
  ];
}

function promptLine(decision: Decision): string {
  const { requestId, model, resolvedTargetModel, profile } = decision;
  const { promptTokens, totalBlocks, blockSize } = decision;
  const prompt =
    totalBlocks > 0
      ? `${promptTokens} prompt tokens, ${totalBlocks} full blocks of ${blockSize}`
      : `${promptTokens > 0 ? `${promptTokens} prompt tokens` : 'prompt'}, not matched`;
  const reason = decision.noMatchReason === null ? '' : ` (${decision.noMatchReason})`;
  const sentAs = resolvedTargetModel === model ? '' : ` sent as ${resolvedTargetModel}`;
  return `${requestId}: model ${model || 'not named'}${sentAs}, profile ${profile}, ${prompt}${reason}`;
}

function table(decision: Decision): readonly string[] {
  const ranked = rankCandidates(decision);
  const scorers = ranked.find(({ excludedBy }) => excludedBy === null)?.terms ?? [];
  const head = ['', 'endpoint', 'total', ...scorers.map(({ scorer }) => scorer)];
  const rows = [
    [...head, 'blocks', 'in flight', 'left out by'],
    ...ranked.map((candidate, at) => cells(decision, candidate, at, scorers.length)),
  ];
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths?.[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function cells(
  decision: Decision,
  candidate: DecisionCandidate,
  at: number,
  termCount: number,
): readonly string[] {
  const { endpoint, excludedBy, terms, total } = candidate;
  const scored = excludedBy === null;
  const tried = scored || decision.fallbacks.includes(endpoint);
  const shown = terms.map(({ raw, weight }) => `${shortFigure(raw)}*${weight}`);
  return [
    tried ? String(at + 1) : '-',
    endpoint,
    scored ? shortFigure(total) : '-',
    ...(scored ? shown : new Array<string>(termCount).fill('-')),
    blocksText(candidate, decision.totalBlocks),
    String(candidate.inFlightRequests),
    excludedBy ?? '',
  ];
}

/** `9/10`, with a word where no events have told of them. */
function blocksText({ usableBlocks, publisher }: DecisionCandidate, totalBlocks: number): string {
  const blocks = `${usableBlocks}/${totalBlocks}`;
  return publisher === 'history' ? `${blocks} by history` : blocks;
}

function predictionText(decision: Decision, result: DecisionResult): string {
  const { reportedCachedTokens: reported, reportedPromptTokens } = result;
  // Another endpoint than the chosen one may have answered: its own prediction counts.
  const answered = decision.candidates.find(({ endpoint }) => endpoint === result.endpoint);
  const predicted = (answered?.usableBlocks ?? 0) * decision.blockSize;
  const prediction =
    decision.totalBlocks === 0
      ? 'nothing was predicted'
      : `predicted ${predicted} of ${decision.promptTokens} prompt tokens`;
  if (reported === null) return `${prediction}; the engine reported none`;
  const of = reportedPromptTokens === null ? '' : ` of ${reportedPromptTokens}`;
  const difference = reported - predicted;
  const judged =
    decision.totalBlocks === 0
      ? ''
      : difference === 0
        ? ', as predicted'
        : `, ${Math.abs(difference)} ${difference > 0 ? 'more' : 'fewer'}`;
  return `${prediction}; the engine reported ${reported}${of}${judged}`;
}

/** `parse 12 µs, render 40 µs`. */
function stages(times: Readonly<Record<string, number>> | object): string {
  return Object.entries(times)
    .map(([stage, time]) => `${stage} ${micros(time as number)}`)
    .join(', ');
}

/** Three figures, and no fractions from 100 ms on: clocks of two machines do not tell more. */
function milliseconds(time: number): string {
  return `${time >= 100 ? Math.round(time) : Number(time.toPrecision(3))} ms`;
}

function micros(time: number): string {
  return `${Math.round(time)} µs`;
}
