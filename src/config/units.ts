// Durations as people write them: `50ms`, `2s`, `5m`. Schema fields made here take the text and
// give milliseconds; their bounds are checked and named in the same units.

import { z } from 'zod';

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
interface Bounds {
  readonly least: string;
  readonly most: string;
  readonly otherwise: string;
  /** One sentence for the reference page. */
  readonly sentence: string;
}

const PATTERN = new RegExp(`^(\\d+(?:\\.\\d+)?)(${Object.keys(UNITS).join('|')})$`);
const EXPECTED = 'expected a duration such as 50ms, 2s or 5m';

/** A duration; the value is in milliseconds. */
export function duration(bounds: Bounds): z.ZodPrefault<z.ZodType<number, string>> {
  return z
    .string({ error: EXPECTED })
    .regex(PATTERN, EXPECTED)
    .transform((text, context) => {
      const value = read(text);
      if (value >= read(bounds.least) && value <= read(bounds.most)) return value;
      context.addIssue({
        code: 'custom',
        message: `expected between ${bounds.least} and ${bounds.most}`,
      });
      return z.NEVER;
    })
    .prefault(bounds.otherwise)
    .describe(bounds.sentence)
    .meta({ bounds: `${bounds.least} … ${bounds.most}` });
}

function read(text: string): number {
  const [, figure = '', unit = ''] = PATTERN.exec(text) ?? [];
  return Number(figure) * (UNITS[unit] ?? Number.NaN);
}

const GO_UNITS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ...UNITS };
const GO_DURATION = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/;

/** A duration of Go, such as `1m30s`, as one of ours; null when it is none. */
export function durationText(text: string): string | null {
  if (!GO_DURATION.test(text)) return null;
  if (PATTERN.test(text)) return text;
  let ms = 0;
  for (const [, figure = '', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    ms += Number(figure) * (GO_UNITS[unit] ?? Number.NaN);
  }
  return `${Number(ms.toFixed(6))}ms`;
}
