// The histogram of decision stages. A request passes ten of them on the main thread, so they are
// counted in typed arrays by number; labels and lines are made when somebody scrapes.

import type { MetricType, MetricValueWithName } from 'prom-client';
import { REQUEST_STAGES, type RequestStage } from '#contracts/observer.js';

/** Numbers of stages, so that observing one costs no search. */
const NUMBER_OF: ReadonlyMap<RequestStage, number> = new Map(
  REQUEST_STAGES.map((stage, number) => [stage, number]),
);

/** What prom-client's registry gets when it asks a metric for its values. */
interface MetricValues {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly aggregator: 'sum';
  readonly values: readonly MetricValueWithName<string>[];
}

/** Counts for one histogram with the label `stage`; registered like a metric of prom-client's. */
export class StageTimes {
  readonly name: string;
  readonly #help: string;
  /** Upper bounds, seconds. */
  readonly #bounds: readonly number[];
  /** By stage, then bucket; the last bucket has no bound. */
  readonly #counts: Float64Array;
  readonly #sums: Float64Array = new Float64Array(REQUEST_STAGES.length);

  constructor(options: {
    readonly name: string;
    readonly help: string;
    readonly bounds: readonly number[];
  }) {
    this.name = options.name;
    this.#help = options.help;
    this.#bounds = options.bounds;
    this.#counts = new Float64Array(REQUEST_STAGES.length * (options.bounds.length + 1));
  }

  observe(stage: RequestStage, seconds: number): void {
    const number = NUMBER_OF.get(stage) ?? 0;
    let bucket = 0;
    while (bucket < this.#bounds.length && seconds > (this.#bounds[bucket] as number)) bucket += 1;
    const at = number * (this.#bounds.length + 1) + bucket;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sums[number] = (this.#sums[number] as number) + seconds;
  }

  /** The stages observed so far, as the exposition format has a histogram. */
  async get(): Promise<MetricValues> {
    const values = REQUEST_STAGES.flatMap((stage, number) => this.#valuesOf(stage, number));
    const type = 'histogram' as unknown as MetricType;
    return { name: this.name, help: this.#help, type, aggregator: 'sum', values };
  }

  /** Forgets everything; part of what a registry may ask. */
  reset(): void {
    this.#counts.fill(0);
    this.#sums.fill(0);
  }

  #valuesOf(stage: RequestStage, number: number): MetricValueWithName<string>[] {
    const width = this.#bounds.length + 1;
    const row = this.#counts.subarray(number * width, (number + 1) * width);
    const count = row.reduce((sum, one) => sum + one, 0);
    if (count === 0) return [];
    let below = 0;
    const buckets = [...this.#bounds, '+Inf'].map((le, bucket) => {
      below += row[bucket] ?? 0;
      return { metricName: `${this.name}_bucket`, labels: { le, stage }, value: below };
    });
    const labels = { stage };
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: this.#sums[number] ?? 0 },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
