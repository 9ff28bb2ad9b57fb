// Figures as headers, logs and explanations show them. Made for every decision, so that texts of
// fractions are kept: V8 takes longer for one than for a cycle's scorer.

const SCALE = 10_000;
/** By ten thousandths; filled as they are asked for. */
const FRACTIONS: string[] = new Array(SCALE).fill('');

/** At most four decimals, without trailing zeros. */
export function shortFigure(value: number): string {
  const scaled = Math.round(value * SCALE);
  if (!(scaled >= 0 && scaled <= Number.MAX_SAFE_INTEGER)) return String(scaled / SCALE);
  const whole = Math.floor(scaled / SCALE);
  const rest = scaled - whole * SCALE;
  if (rest === 0) return String(whole);
  FRACTIONS[rest] ||= String(rest / SCALE).slice(1);
  return `${whole}${FRACTIONS[rest]}`;
}
