// Counts what the request path tells (RequestObserver) and serves all metrics as text. Calls come
// on the main thread between a client and its answer, so they only add to counters in memory;
// figures that others own are read when somebody scrapes (collected-metrics.ts).

import { collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client';
import type { AttemptOutcome } from '#contracts/endpoint.js';
import { ERRORS } from '#contracts/errors.js';
import { ENDPOINTS_MAX, MODEL_LABELS_MAX } from '#contracts/limits.js';
import type { FinishedRequest, RequestObserver, RequestStage } from '#contracts/observer.js';
import type { NoMatchReason, Route } from '#contracts/request.js';
import { type CollectedSources, collectInto } from './collected-metrics.js';
import {
  BUCKETS,
  type CounterName,
  type GaugeName,
  type HistogramName,
  METRIC_PREFIX,
  METRICS,
  type MetricDefinition,
} from './metrics-table.js';
import { CounterSeries, HistogramSeries } from './series.js';

export interface RouterMetricsOptions {
  readonly core: string;
  readonly version: string;
  readonly nodeVersion: string;
  /** Also serve the figures of the process itself. */
  readonly processMetrics: boolean;
}

/** Owns the registry. */
export class RouterMetrics implements RequestObserver {
  readonly #registry = new Registry();
  readonly #counters = new Map<CounterName, CounterSeries>();
  readonly #gauges = new Map<GaugeName, Gauge>();
  readonly #histograms = new Map<HistogramName, HistogramSeries>();
  readonly #stages: HistogramSeries;
  readonly #requests: CounterSeries;
  readonly #decisions: CounterSeries;
  readonly #unmatched: CounterSeries;
  readonly #firstToken: HistogramSeries;
  readonly #interToken: HistogramSeries;
  readonly #duration: HistogramSeries;
  #inFlight = 0;
  /** Served models and endpoints are few, but over years many may come and go. */
  readonly #models = new BoundedLabels(MODEL_LABELS_MAX);
  readonly #endpoints = new BoundedLabels(ENDPOINTS_MAX);
  #sources: CollectedSources | null = null;

  constructor(options: RouterMetricsOptions) {
    for (const definition of METRICS) this.#make(definition);
    this.#stages = this.#histogram('decision_stage_seconds');
    this.#requests = this.counter('requests_total');
    this.#decisions = this.counter('decisions_total');
    this.#unmatched = this.counter('unmatched_decisions_total');
    this.#firstToken = this.#histogram('time_to_first_token_seconds');
    this.#interToken = this.#histogram('inter_token_latency_seconds');
    this.#duration = this.#histogram('request_duration_seconds');
    if (options.processMetrics) collectDefaultMetrics({ register: this.#registry });
    this.gauge('core_info').set({ core: options.core }, 1);
    this.gauge('build_info').set({ version: options.version, node: options.nodeVersion }, 1);
  }

  /** Where the figures come from that others own. */
  collectFrom(sources: CollectedSources): void {
    this.#sources = sources;
  }

  /** The exposition text and its content type. */
  async expose(): Promise<{ readonly contentType: string; readonly body: string }> {
    this.gauge('requests_in_flight').set(this.#inFlight);
    if (this.#sources !== null) collectInto(this, this.#sources);
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  counter(name: CounterName): CounterSeries {
    return made(this.#counters.get(name), name);
  }

  gauge(name: GaugeName): Gauge {
    return made(this.#gauges.get(name), name);
  }

  admitted(_route: Route): void {
    this.#inFlight += 1;
  }

  stage(stage: RequestStage, micros: number): void {
    this.#stages.observe(micros / 1e6, stage);
  }

  stripped(count: number): void {
    this.counter('stripped_fields_total').inc(count);
  }

  mediaLeftOut(count: number): void {
    this.counter('media_left_out_total').inc(count);
  }

  decided(chosen: string | null, noMatchReason: NoMatchReason | null): void {
    if (chosen !== null) this.#decisions.inc(1, chosen);
    if (noMatchReason !== null) this.#unmatched.inc(1, noMatchReason);
  }

  scorerViolated(scorer: string, count: number): void {
    this.counter('scorer_violations_total').inc(count, scorer);
  }

  rewritten(model: string, target: string): void {
    this.counter('model_rewrites_total').inc(1, model, target);
  }

  objectiveUnknown(): void {
    this.counter('unknown_objectives_total').inc(1);
  }

  policyFailed(profile: string): void {
    this.counter('policy_failures_total').inc(1, profile);
  }

  attemptFailed(name: string, outcome: AttemptOutcome, retried: boolean): void {
    const endpoint = this.#endpoints.label(name);
    this.counter('attempts_failed_total').inc(1, endpoint, outcome, String(retried));
  }

  finished(request: FinishedRequest): void {
    const model = request.model === '' ? 'none' : this.#models.label(request.model);
    const { route, outcome, errorCode } = request;
    this.#inFlight -= 1;
    this.#requests.inc(1, model, route, request.status, outcome);
    if (errorCode !== null) {
      this.counter('errors_total').inc(1, errorCode, ERRORS[errorCode].source);
    }
    this.#observeLatency(request, model);
    this.#countTokens(request, model);
    this.#comparePrediction(request);
  }

  #observeLatency(request: FinishedRequest, model: string): void {
    if (outcomeIsAnswer(request) && request.firstByteMs !== null) {
      const prefix = prefixLabel(request.predictedCachedTokens);
      this.#firstToken.observe(request.firstByteMs / 1e3, model, prefix);
    }
    if (request.meanInterTokenMs !== null) {
      this.#interToken.observe(request.meanInterTokenMs / 1e3, model);
    }
    this.#duration.observe(request.lastByteMs / 1e3, model);
  }

  #countTokens(request: FinishedRequest, model: string): void {
    const { reportedPromptTokens, reportedCachedTokens, reportedCompletionTokens } = request;
    if (reportedPromptTokens !== null) {
      this.counter('prompt_tokens_total').inc(reportedPromptTokens, model);
    }
    if (reportedCachedTokens !== null) {
      this.counter('cached_prompt_tokens_total').inc(reportedCachedTokens, model);
    }
    if (reportedCompletionTokens !== null) {
      this.counter('completion_tokens_total').inc(reportedCompletionTokens, model);
    }
  }

  /** Only requests that have both figures count, or their sums could not be compared. */
  #comparePrediction(request: FinishedRequest): void {
    const { predictedCachedTokens: predicted, reportedCachedTokens: reported } = request;
    if (request.endpoint === null || predicted === null || reported === null) return;
    const endpoint = this.#endpoints.label(request.endpoint);
    this.counter('predicted_cached_tokens_total').inc(predicted, endpoint);
    this.counter('reported_cached_tokens_total').inc(reported, endpoint);
    const result = predicted === reported ? 'exact' : predicted > reported ? 'over' : 'under';
    this.counter('predictions_total').inc(1, endpoint, result);
  }

  #histogram(name: HistogramName): HistogramSeries {
    return made(this.#histograms.get(name), name);
  }

  #make(definition: MetricDefinition): void {
    const { kind, help, labels } = definition;
    const name = `${METRIC_PREFIX}${definition.name}`;
    if (kind === 'gauge') {
      const options = { name, help, labelNames: [...labels], registers: [this.#registry] };
      this.#gauges.set(definition.name, new Gauge(options));
      return;
    }
    if (kind === 'counter') {
      const counter = new CounterSeries({ name, help, labels });
      this.#counters.set(definition.name, counter);
      this.#registry.registerMetric(asMetric(counter));
    } else {
      const bounds = BUCKETS[definition.buckets];
      const histogram = new HistogramSeries({ name, help, labels, bounds });
      this.#histograms.set(definition.name, histogram);
      this.#registry.registerMetric(asMetric(histogram));
    }
  }
}

/** The registry's types know only the package's own classes; it calls `get` and `reset`. */
function asMetric(series: CounterSeries | HistogramSeries): Metric {
  return series as unknown as Metric;
}

/** The first `most` values of a label keep their names, the rest is `other`. */
class BoundedLabels {
  readonly #most: number;
  readonly #values = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  label(value: string): string {
    if (this.#values.has(value)) return value;
    if (this.#values.size >= this.#most) return 'other';
    this.#values.add(value);
    return value;
  }
}

function made<Metric>(metric: Metric | undefined, name: string): Metric {
  if (metric === undefined) throw new Error(`metric ${name} was not made`);
  return metric;
}

/** An error's first byte says nothing about how fast a prompt was processed. */
function outcomeIsAnswer(request: FinishedRequest): boolean {
  return request.status >= 200 && request.status < 300 && request.outcome !== 'answered-locally';
}

function prefixLabel(predictedCachedTokens: number | null): 'hit' | 'miss' | 'unknown' {
  if (predictedCachedTokens === null) return 'unknown';
  return predictedCachedTokens > 0 ? 'hit' : 'miss';
}
