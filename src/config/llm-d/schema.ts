// The form of an EndpointPickerConfig, every field of llm-d-router v0.10 and the older spellings of
// them. It says what may stand where; what it means is read by the files beside this one.

import { z } from 'zod';

const reference = z.strictObject({ pluginRef: z.string().min(1) });
/** Sizes and counts as Kubernetes writes them. */
const quantity = z.union([z.string(), z.number()], { error: 'expected a quantity such as 1Gi' });

const band = z.strictObject({
  priority: z.int().optional(),
  maxBytes: quantity.optional(),
  maxRequests: quantity.optional(),
  fairnessPolicyRef: z.string().optional(),
  orderingPolicyRef: z.string().optional(),
});

const saturationDetector = z.strictObject({
  pluginRef: z.string().optional(),
  // Until v0.5 the detector's parameters stood here.
  queueDepthThreshold: z.number().optional(),
  kvCacheUtilThreshold: z.number().optional(),
  metricsStalenessThreshold: z.string().optional(),
});

const source = z.strictObject({
  pluginRef: z.string().min(1),
  extractors: z.array(reference).default([]),
});

const dataLayer = z.strictObject({
  injectDefaults: z.boolean().default(true),
  sources: z.array(source).default([]),
  discovery: z
    .strictObject({ pluginRef: z.string().min(1).optional(), endpoints: reference.optional() })
    .optional(),
  peerDiscovery: reference.optional(),
  crossReplicaSyncerPluginRef: z.string().optional(),
  crossReplicaSyncInterval: z.string().optional(),
});

/** Schema of the file. */
export const endpointPickerSchema = z.strictObject({
  apiVersion: z.string(),
  kind: z.string(),
  featureGates: z.array(z.string()).default([]),
  plugins: z
    .array(
      z.strictObject({
        name: z.string().min(1).optional(),
        type: z.string().min(1),
        parameters: z.record(z.string(), z.unknown()).nullish(),
      }),
    )
    .default([]),
  schedulingProfiles: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(64).default('default'),
        plugins: z
          .array(
            z.strictObject({
              pluginRef: z.string().min(1),
              weight: z.number().nullish(),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
  dataLayer: dataLayer.nullish(),
  /** `dataLayer` until v0.4. */
  data: dataLayer.nullish(),
  flowControl: z
    .strictObject({
      maxBytes: quantity.optional(),
      maxRequests: quantity.optional(),
      defaultRequestTTL: z.string().optional(),
      noEndpointRequestTTL: z.string().optional(),
      defaultPriorityBand: band.optional(),
      defaultNegativePriorityBand: band.optional(),
      priorityBands: z.array(band).default([]),
      usageLimitPolicyPluginRef: z.string().optional(),
      saturationDetector: saturationDetector.optional(),
      enableEviction: z.boolean().optional(),
    })
    .nullish(),
  requestHandler: z.strictObject({ parsers: z.array(reference).default([]) }).nullish(),
  saturationDetector: saturationDetector.nullish(),
  parser: reference.nullish(),
});

/** The file as validated. */
export type EndpointPickerFile = z.output<typeof endpointPickerSchema>;
