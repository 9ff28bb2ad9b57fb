// The form of an EndpointPickerConfig, every field of llm-d-router v0.10 and the older spellings of
// them. It says what may stand where; what it means is read by the files beside this one.

import { z } from 'zod';

/** The name of an entry of `plugins`. */
export interface Reference {
  readonly pluginRef: string;
}

export interface PluginEntry {
  readonly name?: string | undefined;
  readonly type: string;
  readonly parameters?: Readonly<Record<string, unknown>> | null | undefined;
}

export interface SchedulingProfile {
  readonly name: string;
  readonly plugins: readonly (Reference & { readonly weight?: number | null | undefined })[];
}

export interface DataLayer {
  readonly injectDefaults: boolean;
  readonly sources: readonly (Reference & { readonly extractors: readonly Reference[] })[];
  readonly discovery?:
    | { readonly pluginRef?: string | undefined; readonly endpoints?: Reference | undefined }
    | undefined;
  readonly peerDiscovery?: Reference | undefined;
  readonly crossReplicaSyncerPluginRef?: string | undefined;
  readonly crossReplicaSyncInterval?: string | undefined;
}

interface Band {
  readonly fairnessPolicyRef?: string | undefined;
  readonly orderingPolicyRef?: string | undefined;
}

interface SaturationDetector {
  readonly pluginRef?: string | undefined;
}

/** Of flow control only the references are looked at. */
interface FlowControl {
  readonly defaultPriorityBand?: Band | undefined;
  readonly defaultNegativePriorityBand?: Band | undefined;
  readonly priorityBands: readonly Band[];
  readonly usageLimitPolicyPluginRef?: string | undefined;
  readonly saturationDetector?: SaturationDetector | undefined;
}

/** The file as validated. */
export interface EndpointPickerFile {
  readonly featureGates: readonly string[];
  readonly plugins: readonly PluginEntry[];
  readonly schedulingProfiles: readonly SchedulingProfile[];
  readonly dataLayer?: DataLayer | null | undefined;
  /** `dataLayer` until v0.4. */
  readonly data?: DataLayer | null | undefined;
  readonly flowControl?: FlowControl | null | undefined;
  readonly requestHandler?: { readonly parsers: readonly Reference[] } | null | undefined;
  readonly saturationDetector?: SaturationDetector | null | undefined;
  readonly parser?: Reference | null | undefined;
}

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
export const endpointPickerSchema: z.ZodType<EndpointPickerFile> = z.strictObject({
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
              weight: z.number().min(0).nullish(),
            }),
          )
          .default([]),
      }),
    )
    .default([]),
  dataLayer: dataLayer.nullish(),
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
