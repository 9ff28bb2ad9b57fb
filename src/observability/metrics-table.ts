// Every metric of the program in one table: kind, name, labels, help. RouterMetrics makes them,
// docs/reference/metrics.md is generated from them, a test compares both.

/** Prefix of every metric's name. */
export const METRIC_PREFIX = 'warmpath_';

/** Upper bounds of histogram buckets, seconds. */
export const BUCKETS = {
  /** From a cached prompt on a fast engine to a queue of long prompts. */
  firstToken: [
    0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 20, 30, 60, 120,
  ],
  interToken: [0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.2, 0.5, 1],
  request: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600],
  /** From a microsecond of picking to a long prompt tokenised. */
  stage: [
    0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
    0.025, 0.05, 0.1, 0.25, 1,
  ],
} as const;

/** All metrics; names lack the prefix. */
export const METRICS = [
  {
    kind: 'counter',
    name: 'requests_total',
    labels: ['model', 'route', 'status', 'outcome'],
    help: 'Requests that ended, whatever way.',
  },
  {
    kind: 'gauge',
    name: 'requests_in_flight',
    labels: [],
    help: 'Requests admitted and not yet ended.',
  },
  {
    kind: 'counter',
    name: 'errors_total',
    labels: ['code', 'source'],
    help: 'Requests that ended with an error of the error table, by code and by who failed.',
  },
  {
    kind: 'histogram',
    name: 'time_to_first_token_seconds',
    labels: ['model', 'prefix'],
    help: 'From the request head read to the first byte of the answer; prefix is hit, miss or unknown (not predicted).',
    buckets: 'firstToken',
  },
  {
    kind: 'histogram',
    name: 'inter_token_latency_seconds',
    labels: ['model'],
    help: 'Mean time between the tokens of one stream.',
    buckets: 'interToken',
  },
  {
    kind: 'histogram',
    name: 'request_duration_seconds',
    labels: ['model'],
    help: 'From the request head read to the last byte of the answer.',
    buckets: 'request',
  },
  {
    kind: 'histogram',
    name: 'decision_stage_seconds',
    labels: ['stage'],
    help: 'Time spent in one stage inside the router; total runs from the head read to the forward.',
    buckets: 'stage',
  },
  {
    kind: 'counter',
    name: 'prompt_tokens_total',
    labels: ['model'],
    help: 'Prompt tokens reported by engines.',
  },
  {
    kind: 'counter',
    name: 'cached_prompt_tokens_total',
    labels: ['model'],
    help: 'Prompt tokens that engines reported as reused; its rate is the effective cache throughput.',
  },
  {
    kind: 'counter',
    name: 'completion_tokens_total',
    labels: ['model'],
    help: 'Completion tokens reported by engines.',
  },
  {
    kind: 'counter',
    name: 'predicted_cached_tokens_total',
    labels: ['endpoint'],
    help: 'Tokens predicted to be reused, over requests whose engine reported what it reused.',
  },
  {
    kind: 'counter',
    name: 'reported_cached_tokens_total',
    labels: ['endpoint'],
    help: 'Tokens reported as reused, over requests for which a prediction had been made.',
  },
  {
    kind: 'counter',
    name: 'predictions_total',
    labels: ['endpoint', 'result'],
    help: 'Predictions compared with the report: exact, over (predicted more) or under.',
  },
  {
    kind: 'counter',
    name: 'decisions_total',
    labels: ['endpoint'],
    help: 'Routing decisions by chosen endpoint.',
  },
  {
    kind: 'counter',
    name: 'unmatched_decisions_total',
    labels: ['reason'],
    help: 'Decisions without prefix matching, by reason.',
  },
  {
    kind: 'counter',
    name: 'attempts_failed_total',
    labels: ['endpoint', 'outcome', 'retried'],
    help: 'Attempts that ended without an answer, by outcome and whether another endpoint was tried.',
  },
  {
    kind: 'counter',
    name: 'stripped_fields_total',
    labels: [],
    help: 'Fields cut from request bodies.',
  },
  {
    kind: 'counter',
    name: 'media_left_out_total',
    labels: [],
    help: 'Images, audio and video of prompts that have no key: too many, or of an unknown form.',
  },
  {
    kind: 'counter',
    name: 'scorer_violations_total',
    labels: ['scorer'],
    help: 'Scores outside 0…1 or missing, by scorer.',
  },
  {
    kind: 'counter',
    name: 'model_rewrites_total',
    labels: ['model', 'target'],
    help: 'Requests for a model that `modelRewrites` name, by the target chosen.',
  },
  {
    kind: 'counter',
    name: 'unknown_objectives_total',
    labels: [],
    help: 'Requests that named an objective which is not configured; they had priority 0.',
  },
  {
    kind: 'counter',
    name: 'policy_failures_total',
    labels: ['profile'],
    help: 'Decisions whose policy failed; the request went to the least loaded endpoint.',
  },
  {
    kind: 'gauge',
    name: 'endpoint_healthy',
    labels: ['endpoint'],
    help: '1 while the endpoint may be chosen.',
  },
  {
    kind: 'gauge',
    name: 'endpoint_in_flight_requests',
    labels: ['endpoint'],
    help: 'Requests this router has in flight there.',
  },
  {
    kind: 'gauge',
    name: 'endpoint_in_flight_prompt_tokens',
    labels: ['endpoint'],
    help: 'Uncached prompt tokens sent there and not yet answered by a first byte.',
  },
  {
    kind: 'gauge',
    name: 'endpoint_waiting_requests',
    labels: ['endpoint'],
    help: 'Waiting requests as the engine reported last.',
  },
  {
    kind: 'gauge',
    name: 'endpoint_running_requests',
    labels: ['endpoint'],
    help: 'Running requests as the engine reported last.',
  },
  {
    kind: 'gauge',
    name: 'endpoint_kv_cache_usage_ratio',
    labels: ['endpoint'],
    help: 'Share of KV blocks in use as the engine reported last.',
  },
  {
    kind: 'gauge',
    name: 'endpoint_metrics_age_seconds',
    labels: ['endpoint'],
    help: "Age of the engine's figures; absent before the first scrape.",
  },
  {
    kind: 'gauge',
    name: 'publisher_state',
    labels: ['endpoint', 'state'],
    help: '1 for the state the event publisher is in, 0 for the others; history without a publisher.',
  },
  {
    kind: 'gauge',
    name: 'history_blocks',
    labels: ['endpoint'],
    help: 'Blocks an engine without events is believed to hold, by its routing history.',
  },
  {
    kind: 'gauge',
    name: 'history_blocks_max',
    labels: ['endpoint'],
    help: 'Blocks an engine without events can hold.',
  },
  {
    kind: 'counter',
    name: 'events_received_total',
    labels: ['endpoint'],
    help: 'Event frames received.',
  },
  {
    kind: 'counter',
    name: 'events_applied_total',
    labels: ['endpoint'],
    help: 'Event frames applied to the index.',
  },
  {
    kind: 'counter',
    name: 'events_dropped_total',
    labels: ['endpoint', 'reason'],
    help: 'Event frames not applied: malformed and overflow are losses, duplicate and foreign intended.',
  },
  {
    kind: 'counter',
    name: 'event_entries_skipped_total',
    labels: ['endpoint', 'reason'],
    help: 'Entries inside applied frames that could not be used.',
  },
  {
    kind: 'counter',
    name: 'event_gaps_total',
    labels: ['endpoint'],
    help: 'Gaps in the sequence of a publisher.',
  },
  {
    kind: 'counter',
    name: 'events_lost_total',
    labels: ['endpoint'],
    help: 'Frames that no replay could bring back.',
  },
  {
    kind: 'counter',
    name: 'event_replays_total',
    labels: ['endpoint', 'result'],
    help: 'Replays asked for, by result.',
  },
  {
    kind: 'counter',
    name: 'publisher_restarts_total',
    labels: ['endpoint'],
    help: 'Restarts of a publisher.',
  },
  {
    kind: 'counter',
    name: 'blocks_stored_total',
    labels: ['endpoint'],
    help: 'Blocks stored as told by events.',
  },
  {
    kind: 'counter',
    name: 'blocks_removed_total',
    labels: ['endpoint'],
    help: 'Blocks removed as told by events.',
  },
  {
    kind: 'gauge',
    name: 'event_queue_frames',
    labels: ['endpoint'],
    help: 'Frames waiting to be applied.',
  },
  { kind: 'gauge', name: 'index_blocks', labels: [], help: 'Distinct blocks in the index.' },
  {
    kind: 'gauge',
    name: 'index_blocks_max',
    labels: [],
    help: 'Distinct blocks the index can hold.',
  },
  { kind: 'gauge', name: 'index_bytes', labels: [], help: 'Bytes of the index.' },
  {
    kind: 'gauge',
    name: 'index_endpoint_sets',
    labels: [],
    help: 'Interned endpoint sets in use.',
  },
  {
    kind: 'gauge',
    name: 'index_endpoint_sets_max',
    labels: [],
    help: 'Interned endpoint sets there is room for.',
  },
  {
    kind: 'counter',
    name: 'index_rejected_total',
    labels: [],
    help: 'Residencies not recorded because a table was full.',
  },
  { kind: 'gauge', name: 'index_epoch', labels: [], help: 'Rises when the index was rebuilt.' },
  {
    kind: 'gauge',
    name: 'request_slots_in_use',
    labels: [],
    help: 'Slots of the request store in use.',
  },
  { kind: 'gauge', name: 'request_body_bytes', labels: [], help: 'Bytes of request bodies held.' },
  { kind: 'gauge', name: 'prompt_workers', labels: [], help: 'Prompt worker threads.' },
  {
    kind: 'counter',
    name: 'prompt_workers_lost_total',
    labels: [],
    help: 'Prompt workers that died.',
  },
  {
    kind: 'gauge',
    name: 'prompt_queue_requests',
    labels: [],
    help: 'Requests waiting to be encoded.',
  },
  {
    kind: 'counter',
    name: 'prefix_cache_lookups_total',
    labels: [],
    help: 'Lookups in the tokenised-prefix cache.',
  },
  {
    kind: 'counter',
    name: 'prefix_cache_hits_total',
    labels: [],
    help: 'Hits in the tokenised-prefix cache.',
  },
  { kind: 'gauge', name: 'event_workers', labels: [], help: 'Event worker threads that answer.' },
  {
    kind: 'counter',
    name: 'event_workers_lost_total',
    labels: [],
    help: 'Event workers that failed.',
  },
  {
    kind: 'gauge',
    name: 'core_info',
    labels: ['core'],
    help: 'Always 1; the core that does the hot work.',
  },
  {
    kind: 'gauge',
    name: 'build_info',
    labels: ['version', 'node'],
    help: 'Always 1; what is running.',
  },
] as const;

export type MetricDefinition = (typeof METRICS)[number];
export type CounterName = Extract<MetricDefinition, { kind: 'counter' }>['name'];
export type GaugeName = Extract<MetricDefinition, { kind: 'gauge' }>['name'];
export type HistogramName = Extract<MetricDefinition, { kind: 'histogram' }>['name'];

/** The text of docs/reference/metrics.md. */
export function metricsReference(): string {
  const rows = METRICS.map((metric) => {
    const labels = metric.labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${METRIC_PREFIX}${metric.name}\` | ${metric.kind} | ${labels} | ${metric.help} |`;
  });
  return [
    '# Metrics',
    '',
    'Served on the admin port under `/metrics`. Generated from `src/observability/metrics-table.ts`.',
    'Label values are bounded: `model` only takes ids the fleet serves (then `other`), `endpoint`',
    'only endpoints of the fleet. The process figures of `prom-client` (`process_*`, `nodejs_*`)',
    'are served as well.',
    '',
    '| Name | Kind | Labels | Meaning |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
