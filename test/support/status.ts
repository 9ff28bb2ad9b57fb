// Reads the router's /status and waits for what tests depend on.

import { eventually } from './eventually.js';

/** The parts of /status that tests read. */
export interface RouterStatus {
  readonly core: { readonly name: string };
  /** Last problem of each address that could not be discovered. */
  readonly fleet: { readonly problems: Readonly<Record<string, string>> };
  readonly endpoints: readonly {
    readonly endpoint: string;
    readonly healthy: boolean;
    readonly inFlight: { readonly requests: number; readonly uncachedPromptTokens: number };
    readonly events: {
      readonly state: string;
      readonly lastSeq: number;
      readonly blocksStored: number;
      readonly blocksRemoved: number;
    } | null;
    /** Of an endpoint without events. */
    readonly history: { readonly blocks: number; readonly capacityBlocks: number } | null;
  }[];
  readonly models: readonly {
    readonly id: string;
    readonly proof: string;
    readonly matched: boolean;
  }[];
  readonly requests: {
    readonly inFlight: number;
    readonly slots: number;
    readonly bodyBytes: number;
  };
}

export async function readStatus(adminUrl: string): Promise<RouterStatus> {
  return (await (await fetch(`${adminUrl}/status`)).json()) as RouterStatus;
}

/**
 * Waits until every served model's tokenizer is proven and every endpoint's publisher is live, or its
 * history open.
 */
export function untilProven(adminUrl: string): Promise<void> {
  return untilStatus(adminUrl, 'tokenizers are proven', ({ proof }) => proof === 'proven');
}

/** Waits until prompts are matched too, which takes a policy that looks at prefixes. */
export function untilMatched(adminUrl: string): Promise<void> {
  const matches = ({ proof, matched }: RouterStatus['models'][number]): boolean =>
    proof === 'proven' && matched;
  return untilStatus(adminUrl, 'prompts are matched', matches);
}

function untilStatus(
  adminUrl: string,
  what: string,
  isReady: (model: RouterStatus['models'][number]) => boolean,
): Promise<void> {
  return eventually(`${what} and publishers are live`, async () => {
    const { models, endpoints } = await readStatus(adminUrl);
    return (
      models.length > 0 &&
      models.every(isReady) &&
      endpoints.every(({ events, history }) => events?.state === 'live' || history !== null)
    );
  });
}
