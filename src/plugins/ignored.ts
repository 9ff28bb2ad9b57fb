// Parameters of llm-d that several plugins accept without effect, and why.

import type { IgnoredParameters } from '#contracts/plugin.js';

/** There is one match per request here. */
export const IGNORED_MATCH_PRODUCER: IgnoredParameters = {
  paths: ['prefixMatchInfoProducerName'],
  why: 'Every plugin reads the same match of the request, whichever producer is named.',
};

/** The router counts what it has in flight itself. */
export const IGNORED_LOAD_PRODUCER: IgnoredParameters = {
  paths: ['inFlightLoadProducerName'],
  why: 'Every plugin reads the same count of what is in flight, whichever producer is named.',
};
