// The model names one engine answers to: the base model and its LoRA adapters. Used to check
// requests and to list `/v1/models`.

import type { LoraAdapter } from './block-hash.js';
import { ApiError } from './http-io.js';

export class ServedModels {
  readonly baseId: string;
  readonly #root: string;
  readonly #maxModelLen: number;
  readonly #createdSeconds: number;
  readonly #adapters: ReadonlyMap<string, LoraAdapter>;

  constructor(options: {
    readonly baseId: string;
    readonly root: string;
    readonly maxModelLen: number;
    readonly createdSeconds: number;
    readonly loras: readonly string[];
  }) {
    this.baseId = options.baseId;
    this.#root = options.root;
    this.#maxModelLen = options.maxModelLen;
    this.#createdSeconds = options.createdSeconds;
    this.#adapters = new Map(
      options.loras.map((name, position) => [
        name,
        { name, id: position + 1, path: `/adapters/${name}` },
      ]),
    );
  }

  get adapterNames(): readonly string[] {
    return [...this.#adapters.keys()];
  }

  /** The adapter that `model` names, null for the base model (also when absent). Else a 404. */
  resolve(model: unknown): LoraAdapter | null {
    if (model === undefined || model === null || model === this.baseId) return null;
    const adapter = this.#adapters.get(String(model));
    if (adapter !== undefined) return adapter;
    const aliases = [this.baseId, ...this.#adapters.keys()].join(', ');
    throw new ApiError(404, `The model \`${model}\` does not exist. Valid aliases: ${aliases}.`, {
      type: 'NotFoundError',
      param: 'model',
    });
  }

  /** Body of `GET /v1/models`. */
  list(): unknown {
    const base = this.#entry(this.baseId, this.#root, null);
    const adapters = [...this.#adapters.values()].map(({ name, path }) =>
      this.#entry(name, path, this.baseId),
    );
    return { object: 'list', data: [base, ...adapters] };
  }

  #entry(id: string, root: string, parent: string | null): unknown {
    return {
      id,
      object: 'model',
      created: this.#createdSeconds,
      owned_by: 'vllm',
      root,
      parent,
      max_model_len: parent === null ? this.#maxModelLen : null,
      permission: [],
    };
  }
}
