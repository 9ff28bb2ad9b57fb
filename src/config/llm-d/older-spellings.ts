// What plugins and parameters were called in releases before v0.4, as today's; names that llm-d still
// knows are aliases in the plugins themselves.

/** The two things that a release may have renamed. */
export interface Spelling {
  readonly type: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Today's spelling of a plugin; the same when it is that already. */
export function todaysSpelling({ type, parameters }: Spelling): Spelling {
  if (type !== 'prefix-cache-scorer') return { type, parameters };
  const { mode, hashBlockSize, ...rest } = parameters;
  const today = hashBlockSize === undefined ? rest : { blockSize: hashBlockSize, ...rest };
  // One scorer had both ways of knowing prefixes.
  if (mode === 'cache_tracking') return { type: 'precise-prefix-cache-scorer', parameters: today };
  return {
    type,
    parameters: mode === undefined || mode === 'estimate' ? today : { mode, ...today },
  };
}
