// What session-affinity-filter and session-affinity-scorer share: how the endpoint of a session is
// known. Either the client carries it (a header with the endpoint's `namespace/name` in base64, as llm-d
// has it, or its address where it has no name; the answer sets it and the next request brings it back), or the router remembers it by the session's id. Where
// a fallback serves, both name that one from then on: the prefix is there now.

import { assertNever } from '#contracts/assert.js';
import type {
  CandidateSet,
  PluginHooks,
  PluginHost,
  SchedulingContext,
} from '#contracts/scheduling.js';
import { candidateState } from '#contracts/scheduling.js';
import type { SessionAffinityParameters, SessionSource } from './session-affinity-parameters.js';
import { SessionBindings } from './session-bindings.js';

export interface SessionAffinity {
  /** Slot of the session's endpoint if it is a candidate, else −1. */
  readonly find: (context: SchedulingContext, candidates: CandidateSet) => number;
  readonly hooks: PluginHooks;
}

/** Sets up the strategy. Plugins of one name that look for ids in the same places remember together. */
export function sessionAffinity(
  parameters: SessionAffinityParameters,
  host: PluginHost,
): SessionAffinity {
  switch (parameters.strategy) {
    case 'encoded_endpoint_header':
      return carriedByClient(parameters.encodedEndpointHeaderConfig.header);
    case 'session_id':
      return remembered(parameters.sessionIdConfig, host);
    default:
      return assertNever(parameters.strategy);
  }
}

function carriedByClient(header: string): SessionAffinity {
  return {
    find: (context, candidates) => {
      const token = context.headers()[header];
      if (token === undefined || token === '') return -1;
      return slotOfToken(Buffer.from(token, 'base64').toString('utf8'), context, candidates);
    },
    hooks: {
      reads: [{ header }],
      responseHeaders: (context, slot) => {
        const { id, name } = candidateState(context, slot).endpoint;
        return [[header, Buffer.from(id ?? name, 'utf8').toString('base64')]];
      },
    },
  };
}

/** A token from before the endpoint had a name, or from llm-d, is as good. */
function slotOfToken(text: string, context: SchedulingContext, candidates: CandidateSet): number {
  for (let slot = candidates.next(0); slot >= 0; slot = candidates.next(slot + 1)) {
    const { id, name } = candidateState(context, slot).endpoint;
    if (id === text || name === text) return slot;
  }
  return -1;
}

function remembered(
  config: SessionAffinityParameters['sessionIdConfig'],
  { shared, name }: PluginHost,
): SessionAffinity {
  const { sources, evictionTtlSeconds } = config;
  const key = `sessions of ${name} by ${JSON.stringify([sources, evictionTtlSeconds])}`;
  const make = (): SessionBindings => new SessionBindings(evictionTtlSeconds * 1000);
  const bindings = shared.of(key, SessionBindings, make);
  return {
    find: (context, candidates) => {
      const session = sessionOf(context, sources);
      return session === '' ? -1 : bindings.find(session, context, candidates);
    },
    hooks: {
      reads: sources.flatMap(({ header }) => (header === undefined ? [] : [{ header }])),
      picked: (context, slot) => bindings.bind(sessionOf(context, sources), context, slot),
    },
  };
}

/** The first source that has an id; empty when none has. */
function sessionOf(context: SchedulingContext, sources: readonly SessionSource[]): string {
  for (const { header, attribute } of sources) {
    const found =
      header === undefined ? attributeOf(context, attribute) : (context.headers()[header] ?? '');
    if (found !== '') return found;
  }
  return '';
}

function attributeOf({ signals }: SchedulingContext, attribute: string | undefined): string {
  return attribute === 'agent-identity' ? signals.agentIdentity : signals.sessionId;
}
