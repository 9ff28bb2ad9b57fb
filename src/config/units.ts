// Durations and sizes as people write them: `50ms`, `2s`, `64MiB`. Schema fields made here take
// the text and give milliseconds or bytes; their bounds are checked and named in the same units.

import { z } from 'zod';

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

interface Bounds {
  readonly least: string;
  readonly most: string;
  readonly otherwise: string;
  /** One sentence for the reference page. */
  readonly sentence: string;
}

/** A duration; the value is in milliseconds. */
export function duration(bounds: Bounds): z.ZodPrefault<z.ZodType<number, string>> {
  return quantity('a duration such as 50ms, 2s or 5m', DURATION_UNITS, bounds);
}

/** A size; the value is in bytes. */
export function size(bounds: Bounds): z.ZodPrefault<z.ZodType<number, string>> {
  return quantity('a size such as 512KiB or 64MiB', SIZE_UNITS, bounds);
}

function quantity(
  expected: string,
  units: Readonly<Record<string, number>>,
  bounds: Bounds,
): z.ZodPrefault<z.ZodType<number, string>> {
  const pattern = new RegExp(`^(\\d+(?:\\.\\d+)?)(${Object.keys(units).join('|')})$`);
  const read = (text: string): number => {
    const [, figure = '', unit = ''] = pattern.exec(text) ?? [];
    return Number(figure) * (units[unit] ?? Number.NaN);
  };
  const error = `expected ${expected}`;
  return z
    .string({ error })
    .regex(pattern, error)
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
