// Every option of a simulated engine with its unit and default. Fleet, server and command read
// them from here; nothing else in the simulator has defaults of its own.

import type { Clock } from '#contracts/clock.js';
import type { EventEncoding, HashForm } from './event-encoding.js';
import type { EngineFaults } from './faults.js';
import type { StepCoefficients } from './step-time.js';
import { DEFAULT_COEFFICIENTS } from './step-time.js';

/** What all engines of a simulated fleet have in common. */
export interface EngineSimOptions {
  /** Drives steps and delays. */
  readonly clock: Clock;
  /** Wall clock in milliseconds since 1970, for timestamps in answers and events. */
  readonly unixTimeMs: () => number;
  /** Engines, each with its own port. Default 1. */
  readonly replicas?: number;
  /** Model id in `/v1/models`. */
  readonly modelId?: string;
  /** Address that HTTP and event sockets listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** HTTP port of the first engine, counting up; 0 takes free ones. Default 0. */
  readonly port?: number;
  /** Event port of the first rank of the first engine, counting up; 0 takes free ones. */
  readonly eventPort?: number;
  /** Replay port, likewise. */
  readonly replayPort?: number;
  /** Where a subscriber listens, e.g. `tcp://127.0.0.1:5557`: engines connect instead of bind. */
  readonly eventConnect?: string | null;
  /** Tokens per KV block. Default 16. */
  readonly blockSize?: number;
  /** KV blocks per rank, the null block included. Default 307,328 tokens' worth. */
  readonly gpuBlocks?: number;
  /** Event encoding. Default `map`. */
  readonly encoding?: EventEncoding;
  /** Form of block hashes in events. Default `integer`. */
  readonly hashForm?: HashForm;
  /** PYTHONHASHSEED as text; null for unset. Default `0`. */
  readonly hashSeed?: string | null;
  /** Data-parallel ranks behind one HTTP port. Default 1. */
  readonly dataParallelRanks?: number;
  /** Decides generated tokens and random faults. Default 0. */
  readonly seed?: number;
  /** Simulated seconds per real second. Default 1. */
  readonly timeScale?: number;
  readonly coefficients?: StepCoefficients;
  /** `max_num_batched_tokens`. Default 8192. */
  readonly batchedTokensMax?: number;
  /** `max_num_seqs`. Default 256. */
  readonly runningMax?: number;
  /** Names of LoRA adapters that are loaded from the start. */
  readonly loras?: readonly string[];
  /** Names of those that are loaded when a request names them, as by a resolver plugin. */
  readonly resolvableLoras?: readonly string[];
  /** Adapters that can run at once (`max_loras`); 0 for none. Default: as many as there are. */
  readonly lorasMax?: number;
  /** Context length in tokens. Default 32,768, or what the cache holds if that is less. */
  readonly maxModelLen?: number;
  /** Key that `/v1` routes demand as bearer token. */
  readonly apiKey?: string | null;
  /** Directory with tokenizer.json and tokenizer_config.json. Default: Qwen2.5. */
  readonly tokenizerDirectory?: string;
  /** `GET /kv_event_sources` answers (vLLM ≥ 0.31). Default true. */
  readonly eventSources?: boolean;
  readonly faults?: EngineFaults;
}

/** An option that cannot work; the message names it. */
export class SettingsError extends Error {}

/** Options with every default filled in. */
export type EngineSimSettings = Required<EngineSimOptions>;

/** 307,328 tokens of KV cache, a pod of the published table, in blocks of 16, plus the null block. */
const DEFAULT_CACHE_TOKENS = 307_328;
const DEFAULT_CONTEXT_TOKENS = 32_768;

/** Fills in defaults. Throws a SettingsError when a value cannot work. */
export function resolveSettings(
  options: EngineSimOptions,
  tokenizerDirectory: string,
): EngineSimSettings {
  const blockSize = options.blockSize ?? 16;
  const gpuBlocks = options.gpuBlocks ?? Math.ceil(DEFAULT_CACHE_TOKENS / blockSize) + 1;
  const cacheTokens = (gpuBlocks - 1) * blockSize;
  const settings: EngineSimSettings = {
    clock: options.clock,
    unixTimeMs: options.unixTimeMs,
    replicas: options.replicas ?? 1,
    modelId: options.modelId ?? 'Qwen/Qwen2.5-7B-Instruct',
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    eventPort: options.eventPort ?? 0,
    replayPort: options.replayPort ?? 0,
    eventConnect: options.eventConnect ?? null,
    blockSize,
    gpuBlocks,
    encoding: options.encoding ?? 'map',
    hashForm: options.hashForm ?? 'integer',
    hashSeed: options.hashSeed === undefined ? '0' : options.hashSeed,
    dataParallelRanks: options.dataParallelRanks ?? 1,
    seed: options.seed ?? 0,
    timeScale: options.timeScale ?? 1,
    coefficients: options.coefficients ?? DEFAULT_COEFFICIENTS,
    batchedTokensMax: options.batchedTokensMax ?? 8192,
    runningMax: options.runningMax ?? 256,
    loras: options.loras ?? [],
    resolvableLoras: options.resolvableLoras ?? [],
    lorasMax:
      options.lorasMax ?? (options.loras?.length ?? 0) + (options.resolvableLoras?.length ?? 0),
    maxModelLen: options.maxModelLen ?? Math.min(DEFAULT_CONTEXT_TOKENS, cacheTokens),
    apiKey: options.apiKey ?? null,
    tokenizerDirectory: options.tokenizerDirectory ?? tokenizerDirectory,
    eventSources: options.eventSources ?? true,
    faults: options.faults ?? {},
  };
  checkSettings(settings, cacheTokens);
  return settings;
}

function checkSettings(settings: EngineSimSettings, cacheTokens: number): void {
  const hasLoras = settings.loras.length + settings.resolvableLoras.length > 0;
  const whole: readonly (readonly [keyof EngineSimSettings, number, number])[] = [
    ['replicas', 1, 256],
    ['port', 0, 65_535],
    ['eventPort', 0, 65_535],
    ['replayPort', 0, 65_535],
    ['blockSize', 1, 4096],
    ['gpuBlocks', 2, 16_777_216],
    ['dataParallelRanks', 1, 64],
    ['batchedTokensMax', 1, 1_048_576],
    ['runningMax', 1, 65_536],
    ['lorasMax', hasLoras ? 1 : 0, 65_536],
    ['maxModelLen', 2, 16_777_216],
  ];
  for (const [name, least, most] of whole) {
    const value = Number(settings[name]);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new SettingsError(
        `${name} must be a whole number from ${least} to ${most}, not ${value}`,
      );
    }
  }
  if (!(settings.timeScale > 0)) throw new SettingsError('timeScale must be greater than 0');
  if (settings.maxModelLen > cacheTokens) {
    throw new SettingsError(
      `maxModelLen ${settings.maxModelLen} does not fit into a cache of ${cacheTokens} tokens; ` +
        'raise gpuBlocks or lower maxModelLen',
    );
  }
}
