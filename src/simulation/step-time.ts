// How long one engine step takes (fleet-simulation B2). Called by the engine model; plain numbers
// in, seconds out.

/** Coefficients of one model on one kind of hardware. */
export interface StepCoefficients {
  /** Every step: reading the weights, launching kernels. */
  readonly fixedSeconds: number;
  /** Per token computed for the first time. */
  readonly prefillSecondsPerToken: number;
  /** Per (prefilled token × context token). */
  readonly attentionSecondsPerTokenPair: number;
  /** Per context token of every decoding request: reading its KV cache. */
  readonly contextSecondsPerToken: number;
}

/** Qwen3-32B, two H100, tensor parallel: the fleet of the published table. */
export const DEFAULT_COEFFICIENTS: StepCoefficients = {
  fixedSeconds: 0.021,
  prefillSecondsPerToken: 77e-6,
  attentionSecondsPerTokenPair: 1.3e-9,
  contextSecondsPerToken: 42.5e-9,
};

/** What a step computes. */
export interface StepWork {
  prefillTokens: number;
  /** Σ over prefill chunks of n × (context + n / 2). */
  attentionPairs: number;
  /** Σ of the contexts of all decoding requests. */
  decodeContextTokens: number;
}

export function stepSeconds(work: Readonly<StepWork>, coefficients: StepCoefficients): number {
  return (
    coefficients.fixedSeconds +
    coefficients.prefillSecondsPerToken * work.prefillTokens +
    coefficients.attentionSecondsPerTokenPair * work.attentionPairs +
    coefficients.contextSecondsPerToken * work.decodeContextTokens
  );
}
