/** Columnar rows in memory: plain typed arrays, one entry a row, as receivers make them and the WAL keeps them. */
export type Batch = MetricsBatch | LogsBatch;
export type Signal = Batch['signal'];
export const signals = ['metrics', 'logs'] as const satisfies readonly Signal[];

/** The labels behind an id; `labels` is canonical JSON text (model/labels.ts), `id` its series id (model/series-id.ts). */
export interface SeriesEntry {
  readonly id: bigint;
  readonly labels: string;
}

export interface MetricsBatch {
  readonly signal: 'metrics';
  readonly rows: number;
  /** `rows` series ids. */
  readonly seriesId: BigInt64Array;
  /** `rows` timestamps, microseconds since the Unix epoch. */
  readonly timestampUs: BigInt64Array;
  /** `rows` values; NaN payloads (staleness markers) are kept bit for bit, so copy by array, never by text. */
  readonly value: Float64Array;
  /** An entry for every id in `seriesId` that is not known to be stored already; more do no harm. */
  readonly series: readonly SeriesEntry[];
  /** What the source said about metrics, by metric family name; often empty. */
  readonly metadata: readonly MetricMetadata[];
}

export interface LogsBatch {
  readonly signal: 'logs';
  readonly rows: number;
  readonly streamId: BigInt64Array;
  /** Exact time, nanoseconds since the Unix epoch. */
  readonly timestampNs: BigInt64Array;
  readonly line: readonly string[];
  /** Structured metadata as canonical JSON text of an object of strings, or null. */
  readonly attributes: readonly (string | null)[];
  readonly severity: readonly (string | null)[];
  readonly traceId: readonly (string | null)[];
  readonly spanId: readonly (string | null)[];
  readonly series: readonly SeriesEntry[];
}

export interface MetricMetadata {
  readonly name: string;
  /** Prometheus' words: counter, gauge, histogram, gaugehistogram, summary, info, stateset, unknown. */
  readonly type: string;
  readonly help: string;
  readonly unit: string;
}
