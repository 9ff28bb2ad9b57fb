// Decides what the encoder knows of each model: which tokenizer, whether it is proven equal to the
// engine's, which block size. Main calls `update` whenever the fleet's models change; a model whose
// tokenizer is not proven is routed by load, aloud.

import type { Clock } from '#contracts/clock.js';
import type { ModelDescriptor, PromptEncoder, TokenizerSource } from '#contracts/core.js';
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
  readonly encoder: PromptEncoder;
  readonly client: EngineClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where a base model's tokenizer files are; null when this host has none. */
  readonly findTokenizer: (id: string, roots: readonly string[]) => TokenizerSource | null;
}

const PROOF_TIMEOUT_MS = 5000;
const PROOF_RETRY_MS = 2000;

/** Keeps the encoder's model list in step with the fleet. */
export class ModelCoordinator {
  readonly #options: ModelCoordinatorOptions;
  readonly #pools = new Map<string, TokenizerStatus>();
  readonly #proving = new Set<string>();
  #models: readonly FleetModel[] = [];
  #blockSizes: ReadonlyMap<string, number> = new Map();
  #endpoints: readonly (Endpoint | null)[] = [];
  #sent = '';
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

  stop(): void {
    this.#stopped = true;
    this.#cancelRetry();
  }

  #ensureTokenizer(model: FleetModel): void {
    if (this.#pools.has(model.pool)) return;
    const files = this.#options.findTokenizer(model.id, model.roots);
    const endpoint = this.#endpointOf(model);
    if (files !== null) {
      this.#pools.set(model.pool, { source: files, proof: 'pending', reason: '' });
    } else if (endpoint !== null) {
      const source = {
        kind: 'engine',
        url: endpoint.url,
        apiKey: endpoint.security.apiKey,
      } as const;
      this.#pools.set(model.pool, { source, proof: 'not-needed', reason: '' });
      this.#options.logger.warn(
        { model: model.id },
        'no tokenizer files on this host: asking the engine for every prompt is slow; give --tokenizer MODEL=DIR',
      );
    }
  }

  #send(): void {
    const descriptors = this.#models.map((model) => this.#describe(model));
    const text = JSON.stringify(descriptors);
    if (text === this.#sent || this.#stopped) return;
    this.#sent = text;
    this.#options.encoder.setModels(descriptors).catch((error: unknown) => {
      if (this.#stopped) return;
      this.#options.logger.error({ error }, 'the prompt workers did not take the models');
    });
  }

  #describe(model: FleetModel): ModelDescriptor {
    const status = this.#pools.get(model.pool);
    const trusted = ['proven', 'unverified', 'not-needed'].includes(status?.proof ?? '');
    return {
      index: model.index,
      id: model.id,
      pool: model.pool,
      adapter: model.adapter,
      tokenizer: status?.source ?? null,
      proven: trusted,
      blockSize: this.#blockSizes.get(model.pool) ?? null,
      maxModelLen: model.maxModelLen,
    };
  }

  #proveAll(): void {
    for (const model of this.#models) {
      if (model.adapter !== '' || this.#proving.has(model.pool)) continue;
      if (this.#pools.get(model.pool)?.proof !== 'pending') continue;
      const endpoint = this.#endpointOf(model);
      if (endpoint === null) continue;
      this.#proving.add(model.pool);
      this.#prove(model, endpoint)
        .catch((error: unknown) => {
          this.#options.logger.error({ model: model.id, error }, 'proof of the tokenizer failed');
        })
        .finally(() => this.#proving.delete(model.pool));
    }
  }

  async #prove(model: FleetModel, endpoint: Endpoint): Promise<void> {
    const { client, encoder, logger } = this.#options;
    const proof = await proveModel({
      client,
      url: endpoint.url,
      security: endpoint.security,
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
      logger.info(
        { model: model.id, endpoint: endpoint.name },
        'tokenizer proven equal to the engine',
      );
    } else {
      logger.warn(
        { model: model.id, endpoint: endpoint.name, proof: status.proof, reason: status.reason },
        'tokenizer is not proven equal to the engine',
      );
    }
    if (status.proof === 'pending') {
      this.#cancelRetry = this.#options.clock.after(PROOF_RETRY_MS, () => this.#proveAll());
    }
    this.#send();
  }

  #endpointOf(model: FleetModel): Endpoint | null {
    for (const slot of model.slots) {
      const endpoint = this.#endpoints[slot];
      if (endpoint !== null && endpoint !== undefined) return endpoint;
    }
    return null;
  }
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
