// `indexerConfig` of llm-d's precise prefix cache, with what older releases had in it: accepted so that
// its configurations load, and written out so that a misspelt key is found.

import { z } from 'zod';

const count = (sentence: string): z.ZodOptional<z.ZodNumber> =>
  z.number().int().min(0).optional().describe(sentence);
const text = (sentence: string): z.ZodOptional<z.ZodString> =>
  z.string().optional().describe(sentence);
/** Go durations, or their nanoseconds. */
const time = z.union([z.string(), z.number()]).optional();

/** Redis and the Valkey that releases before the router's had. */
const server = z.strictObject({
  address: text('Where the server is.'),
  backendType: text('`redis` or `valkey`.'),
  enableRDMA: z.boolean().optional().describe('Whether Valkey is spoken to over RDMA.'),
});

const tier = z.strictObject({
  name: z.string().describe('Name of the tier.'),
  weight: z.number().describe('What a block there counts.'),
});

const localFiles = z.strictObject({
  autoDiscoveryDir: text('Folder with tokenizers.'),
  autoDiscoveryTokenizerFileName: text('Name of their files.'),
  modelTokenizerMap: z
    .record(z.string(), z.string())
    .optional()
    .describe('Path of the tokenizer by model.'),
});

/** A sidecar that tokenises. */
export const udsTokenizer: z.ZodType = z.strictObject({
  socketFile: text('Its socket.'),
  useTCP: z.boolean().optional().describe('Whether the socket is an address.'),
  modelTokenizerMap: z
    .record(z.string(), z.string())
    .optional()
    .describe('Path of the tokenizer by model.'),
});

/** `tokenProcessorConfig`, which stood in `indexerConfig` first. */
export const tokenProcessor: z.ZodType = z.strictObject({
  blockSizeTokens: z.number().int().min(1).optional().describe('Tokens per block.'),
  blockSize: z.number().int().min(1).optional().describe('Older name of `blockSizeTokens`.'),
  hashSeed: z.union([z.string(), z.number()]).optional().describe('Seed of block keys.'),
  hashAlgorithm: text('Hash of block keys.'),
});

/** The whole of it. */
export const kvIndexer: z.ZodType = z.strictObject({
  kvBlockIndexConfig: z
    .strictObject({
      inMemoryConfig: z
        .strictObject({
          size: count('Keys at most.'),
          podCacheSize: count('Endpoints per key at most.'),
        })
        .optional()
        .describe('In memory, by keys.'),
      costAwareMemoryConfig: z
        .strictObject({ size: z.union([z.string(), z.number()]).optional() })
        .optional()
        .describe('In memory, by bytes.'),
      redisConfig: server.optional().describe('In a Redis.'),
      valkeyConfig: server.optional().describe('In a Valkey.'),
      enableMetrics: z.boolean().optional().describe('Whether it is measured.'),
      metricsLoggingInterval: time.describe('How often measurements are logged.'),
    })
    .optional()
    .describe('Where the index lies and how large it is.'),
  kvCacheBackendConfigs: z.array(tier).optional().describe('Weights of tiers.'),
  kvBlockScorerConfig: z
    .strictObject({
      scoringStrategy: text('`LongestPrefix` is the only one.'),
      backendConfigs: z.array(tier).optional().describe('Weights of tiers.'),
    })
    .optional()
    .describe('How blocks are scored.'),
  tokenizersPoolConfig: z
    .strictObject({
      modelName: text('Model that prompts are tokenised for.'),
      workersCount: count('Threads that tokenise.'),
      minPrefixOverlapRatio: z.number().optional().describe('Of the cache of tokenised prompts.'),
      huggingFaceToken: text('Older place of it.'),
      tokenizersCacheDir: text('Older place of it.'),
      local: localFiles.optional().describe('Tokenizers of this host.'),
      uds: udsTokenizer.optional().describe('Tokenising by a sidecar.'),
      hf: z
        .strictObject({
          enabled: z.boolean().optional().describe('Whether any are fetched.'),
          huggingFaceToken: text('Token for fetching.'),
          tokenizersCacheDir: text('Where they are kept.'),
        })
        .optional()
        .describe('Tokenizers that are fetched.'),
    })
    .optional()
    .describe('How prompts are tokenised.'),
  prefixStoreConfig: z
    .strictObject({
      cacheSize: count('Chunks at most.'),
      blockSize: count('Characters per chunk.'),
    })
    .optional()
    .describe('Cache of tokenised prompts.'),
  tokenProcessorConfig: tokenProcessor.optional().describe('Older place of it.'),
  speculativeIndexing: z.boolean().optional().describe('Older place of it.'),
});
