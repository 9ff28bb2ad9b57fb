// The model names one engine answers to: the base model and its LoRA adapters. Used to check
// requests and to list `/v1/models`.

import type { LoraAdapter } from './block-hash.js';
import { ApiError } from './http-io.js';

export class ServedModels {
  readonly baseId: string;
  readonly #root: string;
  readonly #maxModelLen: number;
  readonly #createdSeconds: number;
  readonly #adapters = new Map<string, LoraAdapter>();
  readonly #resolvable: ReadonlySet<string>;

  constructor(options: {
    readonly baseId: string;
    readonly root: string;
    readonly maxModelLen: number;
    readonly createdSeconds: number;
    readonly loras: readonly string[];
    /** Adapters that a request loads by naming them. */
    readonly resolvable: readonly string[];
  }) {
    this.baseId = options.baseId;
    this.#root = options.root;
    this.#maxModelLen = options.maxModelLen;
    this.#createdSeconds = options.createdSeconds;
    this.#resolvable = new Set(options.resolvable);
    for (const name of options.loras) this.#load(name);
  }

  get adapterNames(): readonly string[] {
    return [...this.#adapters.keys()];
  }

  /** The adapter that `model` names, null for the base model (also when absent). Else a 404. */
  resolve(model: unknown): LoraAdapter | null {
    if (model === undefined || model === null || model === this.baseId) return null;
    const name = String(model);
    const adapter = this.#adapters.get(name);
    if (adapter !== undefined) return adapter;
    if (this.#resolvable.has(name)) return this.#load(name);
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

  #load(name: string): LoraAdapter {
    const adapter = { name, id: this.#adapters.size + 1, path: `/adapters/${name}` };
    this.#adapters.set(name, adapter);
    return adapter;
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
