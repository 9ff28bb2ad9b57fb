// A decision's endpoints in the order in which they stand, and in words why the first one won. Works
// on the record alone, so that it says the same of a decision just made and of one that was kept.

import type { Decision, DecisionCandidate } from '#contracts/decision.js';
import { shortFigure } from './short-figure.js';

/** One line of a ranking. */
export interface RankedEndpoint {
  readonly endpoint: string;
  readonly total: number;
  /** Prompt tokens it is predicted to reuse. */
  readonly cachedTokens: number;
  readonly excludedBy: string | null;
}

/**
 * Chosen endpoint and fallbacks first, in the order in which they are tried, then the other
 * candidates by total, then by requests in flight; those that were left out come last.
 */
export function rankCandidates(decision: Decision): readonly DecisionCandidate[] {
  const { chosen, fallbacks, candidates } = decision;
  const tried = chosen === null ? [] : [chosen, ...fallbacks];
  const place = ({ endpoint, excludedBy }: DecisionCandidate): number => {
    // A fallback may be one that a filter only preferred others to.
    const at = tried.indexOf(endpoint);
    if (at >= 0) return at;
    return excludedBy === null ? tried.length : tried.length + 1;
  };
  return [...candidates].sort(
    (one, other) =>
      place(one) - place(other) ||
      other.total - one.total ||
      one.inFlightRequests - other.inFlightRequests ||
      one.slot - other.slot,
  );
}

/** The ranking as figures. */
export function rankingOf(decision: Decision): readonly RankedEndpoint[] {
  return rankCandidates(decision).map(({ endpoint, total, usableBlocks, excludedBy }) => ({
    endpoint,
    total,
    cachedTokens: usableBlocks * decision.blockSize,
    excludedBy,
  }));
}

/** One sentence on why the chosen endpoint was chosen, or why none was. */
export function whyFirst(decision: Decision): string {
  const { chosen, failure } = decision;
  const ranked = rankCandidates(decision);
  const left = ranked.filter(({ excludedBy }) => excludedBy !== null);
  const [first, ...others] = ranked.filter(({ excludedBy }) => excludedBy === null);
  if (chosen === null || first === undefined) {
    return left.length === 0
      ? 'Nobody was chosen: there is no endpoint.'
      : `Nobody was chosen: ${exclusions(left)}.`;
  }
  if (failure !== null) {
    return `The policy failed (${failure}), so ${chosen} was taken for the fewest requests in flight.`;
  }
  if (others.length === 0) {
    return left.length === 0
      ? `${chosen} is the only endpoint.`
      : `${chosen} is the only one left: ${exclusions(left)}.`;
  }
  return againstOthers(first, others, decision.picker);
}

function againstOthers(
  first: DecisionCandidate,
  others: readonly DecisionCandidate[],
  picker: string,
): string {
  const next = others.reduce((best, other) => (other.total > best.total ? other : best));
  const lead = first.total - next.total;
  if (lead < 0) {
    return (
      `\`${picker}\` chose ${first.endpoint} although ${next.endpoint} has ${shortFigure(-lead)} more: ` +
      'it does not go by the highest total alone.'
    );
  }
  if (lead > 0) {
    const [most] = [...terms(first, next)].sort((one, other) => other.lead - one.lead);
    const by = most === undefined ? '' : `, most of it by \`${most.scorer}\` (${most.text})`;
    return `${first.endpoint} leads ${next.endpoint} by ${shortFigure(lead)}${by}.`;
  }
  const equals = others.filter(({ total }) => total === first.total);
  const fewest = Math.min(...equals.map(({ inFlightRequests }) => inFlightRequests));
  const among = `${first.endpoint} has the same total of ${shortFigure(first.total)} as ${equals.length} other${equals.length === 1 ? '' : 's'}`;
  return first.inFlightRequests < fewest
    ? `${among} and fewer requests in flight (${first.inFlightRequests} against ${fewest} or more).`
    : `${among}; \`${picker}\` chose among them.`;
}

interface TermLead {
  readonly scorer: string;
  readonly lead: number;
  readonly text: string;
}

/** How far ahead `first` is by each scorer. */
function terms(first: DecisionCandidate, next: DecisionCandidate): readonly TermLead[] {
  return first.terms.map(({ scorer, weight, raw }, at) => {
    const against = next.terms[at]?.raw ?? 0;
    return {
      scorer,
      lead: weight * (raw - against),
      text: `${shortFigure(raw)}*${weight} against ${shortFigure(against)}*${weight}`,
    };
  });
}

/** `2 unhealthy, 1 other-model`. */
function exclusions(left: readonly DecisionCandidate[]): string {
  const counts = new Map<string, number>();
  for (const { excludedBy } of left) {
    const reason = excludedBy ?? '';
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`);
  return `left out were ${parts.join(', ')}`;
}
