// Wall-clock time as text, for people. Thousands of lines and decisions share a millisecond, and
// writing a date out costs more than half a microsecond, so the last text is kept.

let lastMs = Number.NaN;
let lastText = '';

/** Now, as ISO 8601 in UTC with milliseconds. */
export function isoNow(): string {
  const nowMs = Date.now();
  if (nowMs !== lastMs) {
    lastMs = nowMs;
    lastText = new Date(nowMs).toISOString();
  }
  return lastText;
}
