// What the configuration says about requests rather than endpoints: priorities of objectives, and
// models under other names. llm-d keeps both in Kubernetes only.

import { z } from 'zod';
import type { ModelRewriteSettings, ObjectiveSettings } from './configuration.js';

const OBJECTIVES_MAX = 1000;
const REWRITES_MAX = 1000;
const TARGETS_MAX = 16;
/** Priorities are 32-bit integers in llm-d. */
const PRIORITY_MAX = 2_147_483_647;

const model = z.string().min(1).max(256);

/** `objectives`: by the name that requests give in `x-llm-d-inference-objective`. */
export const objectives: z.ZodDefault<z.ZodType<Readonly<Record<string, ObjectiveSettings>>>> = z
  .record(
    z.string().min(1).max(253),
    z.strictObject({
      priority: z
        .number()
        .int()
        .min(-PRIORITY_MAX)
        .max(PRIORITY_MAX)
        .describe(
          'What requests are worth: recorded with every decision, and without effect on it until there is flow control, where higher goes first. Objectives that are not listed have 0; requests without one, the negated `priority` of their body.',
        ),
    }),
  )
  .refine((value) => Object.keys(value).length <= OBJECTIVES_MAX, {
    error: `expected at most ${OBJECTIVES_MAX} objectives`,
  })
  .default({})
  .describe(
    'Priorities of requests, by the name in their header `x-llm-d-inference-objective`; as `InferenceObjective` has them.',
  );

/** `modelRewrites`: other models for what clients ask for, such as a canary. */
export const modelRewrites: z.ZodDefault<z.ZodType<readonly ModelRewriteSettings[]>> = z
  .array(
    z.strictObject({
      match: z
        .strictObject({ model: model.describe('Model that the client asks for, served or not.') })
        .describe('Which requests it is for; each model may be there once.'),
      targets: z
        .array(
          z.strictObject({
            model: model.describe(
              'Model that serves them; one that no endpoint serves is told to the client.',
            ),
            weight: z
              .number()
              .positive()
              .max(1_000_000)
              .default(1)
              .describe('Its share, beside the weights of the other targets; above 0.'),
          }),
        )
        .min(1)
        .max(TARGETS_MAX)
        .describe(
          'One of them is drawn for each request, the same one for all requests of a session; the header `x-llm-d-model-name-rewrite` may name one.',
        ),
    }),
  )
  .max(REWRITES_MAX)
  .default([])
  .describe('Models under other names and canaries, as `InferenceModelRewrite` has them.');
