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
      readonly blocksRemoved: number;
    } | null;
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

/** Waits until every served model's prompts are matched by proof and every publisher is live. */
export function untilProven(adminUrl: string): Promise<void> {
  return eventually('prompts are matched and publishers live', async () => {
    const { models, endpoints } = await readStatus(adminUrl);
    return (
      models.length > 0 &&
      models.every(({ proof, matched }) => proof === 'proven' && matched) &&
      endpoints.every((endpoint) => endpoint.events?.state === 'live')
    );
  });
}
