// `warmpath verify RECORDING`: shows whether the router would have known, at every recorded probe,
// how many tokens each engine would reuse. Prints a table per endpoint and the first differences;
// the run itself is verify-run.ts.

import { RecordingError, readRecording } from './recording.js';
import { chooseVerifyCore, type VerifyCoreChoice } from './verify-core.js';
import { type Prediction, runRecording, type VerifyReport } from './verify-run.js';

export interface VerifyOptions {
  /** Print the totals as one line of JSON at the end. */
  readonly json: boolean;
  readonly core: VerifyCoreChoice;
}

const MISMATCHES_SHOWN = 10;
const WHY_TOO_HIGH: readonly string[] = [
  'too high is expected where requests carried `kv_cache_report_mode: "full"`: the engine announces',
  'blocks again that it holds once, which looks like second copies. The router strips that field.',
];
const WHY_TOO_LOW = 'the index was full: predictions may be too low';

/**
 * Verifies one `kvstream/1` recording. Returns the exit code: 0 when every prediction is exact, 1
 * when one is not, 2 when the file cannot be read or the core is not there.
 */
export async function verify(
  file: string,
  options: VerifyOptions,
  output: (line: string) => void,
): Promise<number> {
  const core = chooseVerifyCore(options.core);
  if (typeof core === 'string') {
    output(`verify: --core ${options.core}: ${core}`);
    return 2;
  }
  let report: VerifyReport;
  try {
    report = await runRecording(readRecording(file), {
      core,
      // Only pauses between replay attempts are random, and virtual time skips them.
      random: { next: () => 0 },
      canReplay: true,
      isLost: () => false,
    });
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error;
    output(`verify: ${file}: ${error.message}`);
    return 2;
  }
  for (const line of describe(file, report)) output(line);
  const totals = { ...countOutcomes(report.predictions), lines: report.lines };
  const failures = report.replayFailures.length;
  if (options.json) output(JSON.stringify({ ...totals, ...streamTotals(report), core: core.name }));
  const isExact = totals.probes > 0 && totals.exact === totals.probes && failures === 0;
  return isExact ? 0 : 1;
}

interface Outcomes {
  /** Probe lines × endpoints. */
  readonly probes: number;
  readonly exact: number;
  readonly over: number;
  readonly under: number;
}

function countOutcomes(predictions: readonly Prediction[]): Outcomes {
  let over = 0;
  let under = 0;
  for (const { predictedTokens, engineTokens } of predictions) {
    if (predictedTokens > engineTokens) over += 1;
    else if (predictedTokens < engineTokens) under += 1;
  }
  const probes = predictions.length;
  return { probes, exact: probes - over - under, over, under };
}

function streamTotals({ streams, replays, replayFailures }: VerifyReport): object {
  const sum = (pick: (stream: VerifyReport['streams'][number]) => number) =>
    streams.reduce((total, stream) => total + pick(stream), 0);
  return {
    endpoints: streams.length,
    frames: sum((stream) => stream.framesApplied),
    malformed: sum((stream) => stream.framesMalformed),
    blocksStored: sum((stream) => stream.blocksStored),
    blocksRemoved: sum((stream) => stream.blocksRemoved),
    unknownParents: sum((stream) => stream.unknownParents),
    unknownBlocks: sum((stream) => stream.unknownBlocks),
    gaps: sum((stream) => stream.gaps),
    restarts: sum((stream) => stream.restarts),
    indexFull: sum((stream) => stream.indexFull),
    replays,
    replaysUnreadable: replayFailures.length,
  };
}

function describe(file: string, report: VerifyReport): readonly string[] {
  const { predictions, streams, replays, replayFailures } = report;
  const lines = [file, row('endpoint', ['probes', 'exact', 'over', 'under', 'frames', 'blocks'])];
  for (const stream of streams) {
    const own = predictions.filter((prediction) => prediction.endpoint === stream.endpoint);
    const { probes, exact, over, under } = countOutcomes(own);
    const cells = [probes, exact, over, under, stream.framesApplied, stream.blocksStored];
    lines.push(row(stream.endpoint, cells.map(String)));
  }
  const wrong = predictions.filter((one) => one.predictedTokens !== one.engineTokens);
  for (const one of wrong.slice(0, MISMATCHES_SHOWN)) {
    lines.push(
      `line ${one.line}: ${one.requestId} on ${one.endpoint}: predicted ${one.predictedTokens} tokens, the engine reuses ${one.engineTokens}`,
    );
  }
  if (wrong.length > MISMATCHES_SHOWN) {
    lines.push(`… and ${wrong.length - MISMATCHES_SHOWN} more`);
  }
  if (wrong.some((one) => one.predictedTokens > one.engineTokens)) lines.push(...WHY_TOO_HIGH);
  if (streams.some((stream) => stream.indexFull > 0)) lines.push(WHY_TOO_LOW);
  lines.push(...replayFailures);
  lines.push(`${replays - replayFailures.length} of ${replays} recorded replays can be read`);
  if (predictions.length === 0) lines.push('the recording has no probe, so nothing was verified');
  return lines;
}

function row(name: string, cells: readonly string[]): string {
  return [name.padEnd(16), ...cells.map((cell) => cell.padStart(8))].join('');
}
