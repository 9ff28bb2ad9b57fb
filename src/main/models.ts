// Decides what the encoder knows of each model: which tokenizer, whether it is proven equal to the
// engine's, which block size. Main calls `update` whenever the fleet's models change; a model whose
// tokenizer is not proven is routed by load, aloud.

import type { Clock } from '#contracts/clock.js';
import type {
  ModelDescriptor,
  PromptEncoder,
  TokenizerSource,
  TokenizingEngine,
} from '#contracts/core.js';
import type { Endpoint } from '#contracts/endpoint.js';
import type { Logger } from '#contracts/logger.js';
import type { EngineClient } from '#contracts/transport.js';
import { PROBE_CHATS } from '#core/probe-chats.js';
import type { FleetModel } from '#fleet/models.js';
import { type Proof, proveModel } from '#fleet/prove.js';

/** What is known of a pool's tokenizer. */
export interface TokenizerStatus {
  readonly source: TokenizerSource | null;
  /**
   * `unverified`: the engine has no /tokenize to compare with, so the files are trusted.
   * `unproven`: the ids differ, or no engine has answered yet.
   */
  readonly proof: 'pending' | 'proven' | 'unverified' | 'unproven' | 'not-needed' | 'no-tokenizer';
  readonly reason: string;
}

export interface ModelCoordinatorOptions {
  /** Whether the policy looks at prefixes at all. */
  readonly matchesPrompts: boolean;
  readonly encoder: PromptEncoder;
  readonly client: EngineClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where a base model's tokenizer files are; null when this host has none. */
  readonly findTokenizer: (id: string, roots: readonly string[]) => TokenizerSource | null;
}

const PROOF_TIMEOUT_MS = 5000;
const PROOF_RETRY_MS = 2000;
/** Engines named to the encoder; all of a large fleet would only make its model list longer. */
const TOKENIZING_ENGINES_MAX = 4;

/** Keeps the encoder's model list in step with the fleet. */
export class ModelCoordinator {
  readonly #options: ModelCoordinatorOptions;
  readonly #pools = new Map<string, TokenizerStatus>();
  readonly #proving = new Set<string>();
  /** Ids of the models whose prompts the encoder matches now. */
  #matched: ReadonlySet<string> = new Set();
  #models: readonly FleetModel[] = [];
  #blockSizes: ReadonlyMap<string, number> = new Map();
  #endpoints: readonly (Endpoint | null)[] = [];
  #sent = '';
  /** Sets of models that the encoder has not taken yet. */
  #sending = 0;
  #attempts = 0;
  #cancelRetry: () => void = () => {};
  #stopped = false;

  constructor(options: ModelCoordinatorOptions) {
    this.#options = options;
  }

  /** Takes the fleet's models; endpoints are by slot. */
  update(
    models: readonly FleetModel[],
    blockSizes: ReadonlyMap<string, number>,
    endpoints: readonly (Endpoint | null)[],
  ): void {
    this.#models = models;
    this.#blockSizes = blockSizes;
    this.#endpoints = endpoints;
    for (const model of models) {
      if (model.slots.length > 0 && model.adapter === '') this.#ensureTokenizer(model);
    }
    this.#send();
    this.#proveAll();
  }

  /** Tokenizer status by pool. */
  statuses(): ReadonlyMap<string, TokenizerStatus> {
    return this.#pools;
  }

  /** Whether the encoder has the model's proven tokenizer and block size, and looks at prefixes. */
  isMatched(id: string): boolean {
    return this.#matched.has(id);
  }

  /** Whether a first proof is under way, or its outcome on the way to the encoder. */
  isProving(): boolean {
    const isFirst = ({ proof, reason }: TokenizerStatus): boolean =>
      proof === 'pending' && reason === '';
    return this.#sending > 0 || [...this.#pools.values()].some(isFirst);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelRetry();
  }

  #ensureTokenizer(model: FleetModel): void {
    const known = this.#pools.get(model.pool);
    if (known !== undefined && known.source?.kind !== 'engine') return;
    const files = known === undefined ? this.#options.findTokenizer(model.id, model.roots) : null;
    if (files !== null) {
      this.#pools.set(model.pool, { source: files, proof: 'pending', reason: '' });
      return;
    }
    const engines = this.#enginesOf(model).slice(0, TOKENIZING_ENGINES_MAX);
    if (engines.length === 0) return;
    const source = { kind: 'engine', engines } as const;
    this.#pools.set(model.pool, { source, proof: 'not-needed', reason: '' });
    if (known !== undefined) return;
    this.#options.logger.warn(
      { model: model.id },
      'no tokenizer files on this host: asking the engine for every prompt is slow; give --tokenizer MODEL=DIR',
    );
  }

  #send(): void {
    const implied = impliedModel(this.#models);
    const descriptors = this.#models.map((model) => this.#describe(model, implied));
    const text = JSON.stringify(descriptors);
    if (text === this.#sent || this.#stopped) return;
    this.#sent = text;
    this.#sending += 1;
    this.#options.encoder
      .setModels(descriptors)
      .then(() => this.#taken(descriptors))
      .catch((error: unknown) => {
        if (this.#stopped) return;
        this.#options.logger.error({ error }, 'the prompt workers did not take the models');
      })
      .finally(() => {
        this.#sending -= 1;
      });
  }

  /** Notes which models' prompts are matched from now on, and says so of those that are new. */
  #taken(descriptors: readonly ModelDescriptor[]): void {
    if (this.#stopped) return;
    const matched = descriptors.filter(
      ({ tokenizer, proven, blockSize, ...model }) =>
        tokenizer !== null && proven && model.matched && blockSize !== null,
    );
    for (const { id, pool, blockSize } of matched) {
      if (this.#matched.has(id)) continue;
      const proof = this.#pools.get(pool)?.proof;
      this.#options.logger.info(
        { model: id, proof, blockSize },
        'prompts of the model are matched',
      );
    }
    this.#matched = new Set(matched.map(({ id }) => id));
  }

  #describe(model: FleetModel, implied: FleetModel | null): ModelDescriptor {
    const status = this.#pools.get(model.pool);
    const trusted = ['proven', 'unverified', 'not-needed'].includes(status?.proof ?? '');
    return {
      index: model.index,
      id: model.id,
      pool: model.pool,
      adapter: model.adapter,
      tokenizer: status?.source ?? null,
      proven: trusted,
      matched: this.#options.matchesPrompts,
      implied: model === implied,
      blockSize: this.#blockSizes.get(model.pool) ?? null,
      maxModelLen: model.maxModelLen,
    };
  }

  #proveAll(): void {
    for (const model of this.#models) {
      if (model.adapter !== '' || this.#proving.has(model.pool)) continue;
      if (this.#pools.get(model.pool)?.proof !== 'pending') continue;
      // The next one each time: one engine that does not answer must not stand for all.
      const engines = this.#enginesOf(model);
      const engine = engines[this.#attempts % engines.length];
      if (engine === undefined) continue;
      this.#attempts += 1;
      this.#proving.add(model.pool);
      this.#prove(model, engine)
        .catch((error: unknown) => {
          this.#options.logger.error({ model: model.id, error }, 'proof of the tokenizer failed');
        })
        .finally(() => this.#proving.delete(model.pool));
    }
  }

  async #prove(model: FleetModel, engine: TokenizingEngine): Promise<void> {
    const { client, encoder, logger } = this.#options;
    const proof = await proveModel({
      client,
      ...engine,
      timeoutMs: PROOF_TIMEOUT_MS,
      modelId: model.id,
      chats: PROBE_CHATS,
      tokenizeHere: (body) => encoder.tokenize(model.index, 'chat-completions', body),
    });
    if (this.#stopped) return;
    const source = this.#pools.get(model.pool)?.source ?? null;
    const status = statusOf(proof, source);
    this.#pools.set(model.pool, status);
    if (status.proof === 'proven') {
      logger.info({ model: model.id, url: engine.url }, 'tokenizer proven equal to the engine');
    } else {
      logger.warn(
        { model: model.id, url: engine.url, proof: status.proof, reason: status.reason },
        'tokenizer is not proven equal to the engine',
      );
    }
    if (status.proof === 'pending') {
      this.#cancelRetry();
      this.#cancelRetry = this.#options.clock.after(PROOF_RETRY_MS, () => this.#proveAll());
    }
    this.#send();
  }

  /** Addresses that serve the model, in the order of their slots; ranks of one count once. */
  #enginesOf(model: FleetModel): readonly TokenizingEngine[] {
    const engines = new Map<string, TokenizingEngine>();
    for (const slot of model.slots) {
      const endpoint = this.#endpoints[slot] ?? null;
      if (endpoint === null) continue;
      engines.set(endpoint.url, { url: endpoint.url, security: endpoint.security });
    }
    return [...engines.values()];
  }
}

/** The model of a body that names none: the base model, where only one pool is served. */
function impliedModel(models: readonly FleetModel[]): FleetModel | null {
  const served = models.filter(({ slots }) => slots.length > 0);
  const [first] = served.filter(({ adapter }) => adapter === '');
  const same = served.every(({ pool }) => pool === first?.pool);
  return same && first !== undefined ? first : null;
}

function statusOf(proof: Proof, source: TokenizerSource | null): TokenizerStatus {
  switch (proof.outcome) {
    case 'proven':
      return { source, proof: 'proven', reason: '' };
    case 'unproven':
      return { source, proof: 'unproven', reason: proof.reason };
    case 'unsupported':
      return { source, proof: 'unverified', reason: proof.reason };
    case 'unavailable':
      // The engine may only be busy or starting: asked again.
      return { source, proof: 'pending', reason: proof.reason };
  }
}
