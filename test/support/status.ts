// Reads the router's /status and waits for what tests depend on.

/** The parts of /status that tests read. */
export interface RouterStatus {
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
  readonly models: readonly { readonly id: string; readonly proof: string }[];
  readonly requests: {
    readonly inFlight: number;
    readonly slots: number;
    readonly bodyBytes: number;
  };
}

export async function readStatus(adminUrl: string): Promise<RouterStatus> {
  return (await (await fetch(`${adminUrl}/status`)).json()) as RouterStatus;
}

const TRIES = 600;
const PAUSE_MS = 50;

/** Polls `check` until it holds; rejects with `what` after 30 s. */
export async function until(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  throw new Error(`still not so after ${(TRIES * PAUSE_MS) / 1000} s: ${what}`);
}

/** Waits until every served model's tokenizer is proven and every publisher is live. */
export function untilProven(adminUrl: string): Promise<void> {
  return until('tokenizers proven and publishers live', async () => {
    const { models, endpoints } = await readStatus(adminUrl);
    return (
      models.length > 0 &&
      models.every((model) => model.proof === 'proven') &&
      endpoints.every((endpoint) => endpoint.events?.state === 'live')
    );
  });
}
