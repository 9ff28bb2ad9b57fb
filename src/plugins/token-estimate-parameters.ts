// `estimate` of llm-d's token-producer: how many tokens media are taken for. Accepted so that its
// configurations load, and written out so that a misspelt key is found.

import { z } from 'zod';

const figure = z.number().min(0).optional();
const resolution = z.strictObject({ width: figure, height: figure }).optional();
/** Tokens by size, or as many each. */
const mode = z.enum(['dynamic', 'static']).optional();
const perItem = z.strictObject({ staticToken: figure }).optional();

/** The whole of it. */
export const tokenEstimate: z.ZodType = z.strictObject({
  image: z
    .strictObject({
      mode,
      defaultResolution: resolution,
      dynamic: z.strictObject({ factor: figure }).optional(),
      static: perItem,
    })
    .optional()
    .describe('Of an image.'),
  video: z
    .strictObject({
      tokensPerFrame: z
        .strictObject({
          mode,
          dynamic: z.strictObject({ factor: figure }).optional(),
          static: z.strictObject({ numTokensPerFrame: figure }).optional(),
        })
        .optional(),
      frames: z
        .strictObject({
          mode: z.enum(['sampled', 'strided']).optional(),
          minFrames: figure,
          maxFrames: figure,
          sampled: z.strictObject({ sampleFPS: figure, temporalPatchSize: figure }).optional(),
          strided: z.strictObject({ defaultSourceFPS: figure, frameStride: figure }).optional(),
        })
        .optional(),
      defaultResolution: resolution,
      defaultDuration: figure,
      maxVideoTokens: figure,
    })
    .optional()
    .describe('Of a video.'),
  audio: z
    .strictObject({
      mode,
      dynamic: z
        .strictObject({
          tokensPerSecond: figure,
          fixedOverheadTokens: figure,
          bytesPerSecond: figure,
        })
        .optional(),
      static: perItem,
      defaultDuration: figure,
      maxAudioTokens: figure,
    })
    .optional()
    .describe('Of a recording.'),
});
