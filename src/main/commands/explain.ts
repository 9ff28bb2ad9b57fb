// `warmpath explain <request id>`: why did a request go where it went, and was the prediction right?
// Reads the decision that a running router has kept.

import type { LoggedDecision } from '#contracts/decision.js';
import { ADMIN_URL_DEFAULT, askAdmin, errorText } from './admin-client.js';
import { decisionLines, outcomeLines } from './decision-text.js';

export interface ExplainOptions {
  readonly admin?: string;
  readonly json?: boolean;
}

/** Prints the decision and its outcome; 1 when it is not kept or nobody answers. */
export async function explain(
  requestId: string,
  options: ExplainOptions,
  output: (line: string) => void,
): Promise<number> {
  const path = `/debug/decisions/${encodeURIComponent(requestId)}`;
  const answer = await askAdmin(options.admin ?? ADMIN_URL_DEFAULT, path);
  const problem = typeof answer === 'string' ? answer : errorText(answer.body);
  if (typeof answer === 'string' || problem !== null) {
    process.stderr.write(`explain: ${problem}\n`);
    return 1;
  }
  const { decision, result } = answer.body as LoggedDecision;
  if (options.json === true) output(JSON.stringify({ decision, result }));
  else {
    const lines = [...decisionLines(decision), '', ...outcomeLines(decision, result)];
    for (const line of lines) output(line);
  }
  return 0;
}
