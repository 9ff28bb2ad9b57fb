// llm-d plugin types that are known here and not supported, each with the reason. The configuration
// reader refuses them by name; a type in neither this table nor the catalogue is unknown.

const FLOW_CONTROL =
  'it belongs to flow control, which this version does not have; requests are scheduled as they come.';
const DISAGGREGATION = 'it belongs to disaggregated serving, which this version does not have.';
const LATENCY = 'it needs latency prediction, which this version does not have.';
const ALPHA = 'it is an alpha plugin of llm-d that this version does not have.';
const TEST =
  "it is for conformance tests of llm-d's, with Envoy in front, and decides nothing for users.";
const MULTICLUSTER =
  'it is an alpha plugin of llm-d for several clusters, which are not routed here.';

/** Type → why it is refused: a sentence that goes on after `\`type\` is not supported: `. */
export const REFUSED_PLUGINS: ReadonlyMap<string, string> = new Map([
  ['endpoint-attribute-filter', ALPHA],
  ['endpoint-attribute-scorer', ALPHA],
  ['header-label-affinity-scorer', ALPHA],
  ['topology-affinity-filter', ALPHA],
  ['topology-affinity-scorer', ALPHA],
  ['topology-extractor', ALPHA],
  ['dcgm-data-source', ALPHA],
  ['dcgm-extractor', ALPHA],
  [
    'burst-prefix-cache-producer',
    'it is an alpha plugin of llm-d that holds requests back; speculative residencies already keep a burst of equal prompts together without waiting.',
  ],
  ['p2p-source-producer', DISAGGREGATION],
  ['disaggregatedset-rollout-screener', DISAGGREGATION],
  ['disagg-profile-handler', DISAGGREGATION],
  ['disagg-headers-handler', DISAGGREGATION],
  ['prefill-header-handler', DISAGGREGATION],
  ['pd-profile-handler', DISAGGREGATION],
  [
    'data-parallel-profile-handler',
    'every data-parallel rank is an endpoint of its own here, so ranks need no profile handler.',
  ],
  ['prefix-based-pd-decider', DISAGGREGATION],
  ['always-disagg-pd-decider', DISAGGREGATION],
  ['always-disagg-multimodal-decider', DISAGGREGATION],
  ['latency-scorer', LATENCY],
  ['slo-headroom-tier-filter', LATENCY],
  ['predicted-latency-producer', LATENCY],
  ['latency-slo-admitter', LATENCY],
  ['probabilistic-admitter', FLOW_CONTROL],
  ['utilization-detector', FLOW_CONTROL],
  ['concurrency-detector', FLOW_CONTROL],
  ['fcfs-ordering-policy', FLOW_CONTROL],
  ['edf-ordering-policy', FLOW_CONTROL],
  ['slo-deadline-ordering-policy', FLOW_CONTROL],
  ['global-strict-fairness-policy', FLOW_CONTROL],
  ['round-robin-fairness-policy', FLOW_CONTROL],
  ['program-aware-fairness', FLOW_CONTROL],
  ['static-usage-limit-policy', FLOW_CONTROL],
  ['priority-holdback-policy', FLOW_CONTROL],
  ['soft-reflective-ceiling-policy', FLOW_CONTROL],
  ['eviction-sheddable-filter', FLOW_CONTROL],
  ['eviction-priority-then-time-ordering', FLOW_CONTROL],
  [
    'request-attribute-reporter',
    'it reports to Envoy, which is not there; the decision log and the metrics have the same figures.',
  ],
  ['header-based-testing-filter', TEST],
  ['destination-endpoint-served-verifier', TEST],
  ['vllmgrpc-parser', 'engines are spoken to over HTTP only.'],
  ['vertexai-parser', 'this version does not read the envelopes of Vertex AI.'],
  ['multicluster-prefix-cache-scorer', MULTICLUSTER],
  ['multicluster-queue-scorer', MULTICLUSTER],
  ['multicluster-kv-cache-utilization-scorer', MULTICLUSTER],
  ['multicluster-session-affinity-filter', MULTICLUSTER],
  ['multicluster-approx-prefix-cache-producer', MULTICLUSTER],
  ['multicluster-metrics-data-source', MULTICLUSTER],
  ['multicluster-metrics-extractor', MULTICLUSTER],
  ['multicluster-file-discovery', MULTICLUSTER],
]);
