// The record of a request that no prompt worker could encode: its model, read with a scan that
// cannot harm the main thread, and the reason it is routed by load. Called by prompt-encoder.ts for
// requests that ended two workers.

import type { ModelDescriptor } from '#contracts/core.js';
import { isRefusal, scanJson } from './json-scan.js';
import { type EncodeOutcome, emptyOutcome } from './record.js';

/** Longest model name that is looked at. */
const MODEL_BYTES_MAX = 4096;

export function fallbackOutcome(body: Buffer, models: readonly ModelDescriptor[]): EncodeOutcome {
  const outcome = emptyOutcome();
  outcome.noMatchReason = 'encoder-failed';
  const scan = scanJson(body, 'passthrough');
  if (isRefusal(scan)) return { ...outcome, refusal: scan };
  const member = scan.members.find(({ name }) => name === 'model');
  if (member === undefined || member.end - member.valueStart > MODEL_BYTES_MAX) return outcome;
  const raw = body.toString('utf8', member.valueStart, member.end);
  const model = models.find(({ id }) => JSON.stringify(id) === raw || isSpeltAs(raw, id));
  if (model === undefined) return outcome;
  outcome.modelIndex = model.index;
  outcome.modelOffset = member.valueStart;
  outcome.modelBytes = member.end - member.valueStart;
  outcome.stream = scan.members.some(
    ({ name, valueStart, end }) =>
      name === 'stream' && body.toString('utf8', valueStart, end) === 'true',
  );
  return outcome;
}

/** Whether a JSON string with escapes spells `text`. */
function isSpeltAs(raw: string, text: string): boolean {
  if (!raw.startsWith('"')) return false;
  try {
    return JSON.parse(raw) === text;
  } catch {
    return false;
  }
}
