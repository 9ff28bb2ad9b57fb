// `warmpath score -f req.json`: where would a running router send this request, and why? The router
// answers from its live fleet and index, and sends nothing.

import { readFileSync } from 'node:fs';
import type { Decision, ModelRewrite } from '#contracts/decision.js';
import { ADMIN_URL_DEFAULT, askAdmin, errorText } from './admin-client.js';
import { decisionLines, rewriteLine } from './decision-text.js';

export interface ScoreOptions {
  /** File with the body of the request; `-` is standard input. */
  readonly file: string;
  readonly admin?: string;
  readonly route?: string;
  /** `name: value`, as the client would send them. */
  readonly header: readonly string[];
  readonly json?: boolean;
}

const STANDARD_INPUT = 0;

/** Prints the ranking; 0 when an endpoint was chosen, 1 on an error, 2 for a bad flag. */
export async function score(
  options: ScoreOptions,
  output: (line: string) => void,
): Promise<number> {
  const headers = readHeaders(options.header);
  if (typeof headers === 'string') return complain(headers, 2);
  const body = readBody(options.file);
  if (typeof body === 'string') return complain(body, 2);
  const query = options.route === undefined ? '' : `?route=${encodeURIComponent(options.route)}`;
  const answer = await askAdmin(options.admin ?? ADMIN_URL_DEFAULT, `/debug/score${query}`, {
    method: 'POST',
    headers,
    body,
  });
  if (typeof answer === 'string') return complain(answer, 1);
  const error = errorText(answer.body);
  if (options.json === true) output(JSON.stringify(answer.body));
  else {
    const { decision, rewrite } = answer.body as {
      readonly decision?: Decision;
      readonly rewrite?: ModelRewrite | null;
    };
    if (rewrite) output(rewriteLine(rewrite));
    for (const line of decision === undefined ? [] : decisionLines(decision)) output(line);
  }
  return error === null ? 0 : complain(error, 1);
}

function readHeaders(written: readonly string[]): Headers | string {
  const headers = new Headers({ 'content-type': 'application/json' });
  for (const line of written) {
    const colon = line.indexOf(':');
    const problem = `--header takes 'name: value', not '${line}'`;
    if (colon <= 0) return problem;
    try {
      headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
    } catch {
      return problem;
    }
  }
  return headers;
}

function readBody(file: string): Uint8Array<ArrayBuffer> | string {
  try {
    return new Uint8Array(readFileSync(file === '-' ? STANDARD_INPUT : file));
  } catch (error) {
    return `${file}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function complain(text: string, exitCode: number): number {
  process.stderr.write(`score: ${text}\n`);
  return exitCode;
}
