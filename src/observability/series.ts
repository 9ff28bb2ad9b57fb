// Counters and histograms as the request path needs them: a series is found through maps of its
// label values, without joining them into a string or making an object per call. They are
// registered with prom-client's registry, which asks for their values when somebody scrapes.

import type { MetricType, MetricValueWithName } from 'prom-client';

/** A label's value; numbers become text when somebody scrapes. */
export type LabelValue = string | number;

/** What prom-client's registry gets when it asks a metric for its values. */
interface MetricValues {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly aggregator: 'sum';
  readonly values: readonly MetricValueWithName<string>[];
}

export interface SeriesOptions {
  readonly name: string;
  readonly help: string;
  /** Names of the labels, four at most; values are given in the same order. */
  readonly labels: readonly string[];
}

/** The series of one metric by their label values. */
class SeriesTable<Series> {
  readonly #depth: number;
  readonly #make: () => Series;
  #root: unknown;

  constructor(depth: number, make: () => Series) {
    this.#depth = depth;
    this.#make = make;
    this.#root = this.#empty(0);
  }

  at(first: LabelValue, second: LabelValue, third: LabelValue, fourth: LabelValue): Series {
    let node = this.#root;
    if (this.#depth > 0) node = this.#child(node, first, 1);
    if (this.#depth > 1) node = this.#child(node, second, 2);
    if (this.#depth > 2) node = this.#child(node, third, 3);
    if (this.#depth > 3) node = this.#child(node, fourth, 4);
    return node as Series;
  }

  reset(): void {
    this.#root = this.#empty(0);
  }

  /** Every series with its label values. */
  *entries(): Generator<readonly [readonly LabelValue[], Series]> {
    yield* this.#below(this.#root, []);
  }

  *#below(
    node: unknown,
    values: readonly LabelValue[],
  ): Generator<readonly [readonly LabelValue[], Series]> {
    if (values.length === this.#depth) {
      yield [values, node as Series];
      return;
    }
    for (const [value, child] of node as Map<LabelValue, unknown>) {
      yield* this.#below(child, [...values, value]);
    }
  }

  #child(node: unknown, value: LabelValue, level: number): unknown {
    const children = node as Map<LabelValue, unknown>;
    let child = children.get(value);
    if (child === undefined) {
      child = this.#empty(level);
      children.set(value, child);
    }
    return child;
  }

  #empty(level: number): unknown {
    return level === this.#depth ? this.#make() : new Map();
  }
}

/** A count that only rises, by label values. */
export class CounterSeries {
  readonly name: string;
  readonly #options: SeriesOptions;
  readonly #table: SeriesTable<{ value: number }>;

  constructor(options: SeriesOptions) {
    this.name = options.name;
    this.#options = options;
    this.#table = new SeriesTable(options.labels.length, () => ({ value: 0 }));
  }

  inc(
    by: number,
    first: LabelValue = '',
    second: LabelValue = '',
    third: LabelValue = '',
    fourth: LabelValue = '',
  ): void {
    this.#table.at(first, second, third, fourth).value += by;
  }

  /** Forgets every series. */
  reset(): void {
    this.#table.reset();
  }

  async get(): Promise<MetricValues> {
    const values = [...this.#table.entries()].map(([labelValues, { value }]) => ({
      labels: labelled(this.#options.labels, labelValues),
      value,
    }));
    return metricValues(this.#options, 'counter', values);
  }
}

/** Counts by bucket, by label values. */
export class HistogramSeries {
  readonly name: string;
  readonly #options: SeriesOptions & { readonly bounds: readonly number[] };
  /** Counts by bucket, of which the last has no bound; then the sum. */
  readonly #table: SeriesTable<Float64Array>;

  /** `bounds` are the buckets' upper bounds, rising. */
  constructor(options: SeriesOptions & { readonly bounds: readonly number[] }) {
    this.name = options.name;
    this.#options = options;
    const width = options.bounds.length + 2;
    this.#table = new SeriesTable(options.labels.length, () => new Float64Array(width));
  }

  observe(value: number, first: LabelValue = '', second: LabelValue = ''): void {
    const { bounds } = this.#options;
    const row = this.#table.at(first, second, '', '');
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket += 1;
    row[bucket] = (row[bucket] as number) + 1;
    row[bounds.length + 1] = (row[bounds.length + 1] as number) + value;
  }

  reset(): void {
    this.#table.reset();
  }

  async get(): Promise<MetricValues> {
    const values = [...this.#table.entries()].flatMap(([labelValues, row]) =>
      this.#valuesOf(labelled(this.#options.labels, labelValues), row),
    );
    return metricValues(this.#options, 'histogram', values);
  }

  #valuesOf(
    labels: Readonly<Record<string, string>>,
    row: Float64Array,
  ): MetricValueWithName<string>[] {
    const { name, bounds } = this.#options;
    let below = 0;
    const buckets = [...bounds, '+Inf'].map((le, bucket) => {
      below += row[bucket] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: row[bounds.length + 1] ?? 0 },
      { metricName: `${name}_count`, labels, value: below },
    ];
  }
}

function labelled(
  names: readonly string[],
  values: readonly LabelValue[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name, position) => [name, String(values[position])]));
}

function metricValues(
  { name, help }: SeriesOptions,
  type: 'counter' | 'histogram',
  values: readonly object[],
): MetricValues {
  return {
    name,
    help,
    // The enumeration of the package's types does not exist when the program runs.
    type: type as unknown as MetricType,
    aggregator: 'sum',
    values: values as readonly MetricValueWithName<string>[],
  };
}
