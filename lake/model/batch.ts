import type { Gap } from './gap.ts';
import type { StreamClass } from './stream-class.ts';
import type { TextColumn, Texts } from './text-column.ts';

/** Columnar rows in memory: plain typed arrays, one entry a row, as receivers make them and the WAL keeps them. */
export type Batch =
  | MetricsBatch
  | LogsBatch
  | RollupsBatch
  | GapsBatch
  | ExemplarsBatch
  | SpansBatch
  | EventsBatch;
export type Signal = Batch['signal'];
/** A new one goes to the end: the places are part of ids that SQL clients see. */
export const signals = [
  'metrics',
  'logs',
  'metrics_1m',
  'gaps',
  'exemplars',
  'spans',
  'events',
] as const satisfies readonly Signal[];

/** The labels behind an id; `labels` is canonical JSON text (model/labels.ts), `id` its series id (model/series-id.ts). */
export interface SeriesEntry {
  readonly id: bigint;
  readonly labels: string;
}

/** An optional column is absent where every row has null, which then costs nothing. */
interface RowQuality {
  /** Why the row's time is not its device's: `device-past`, `device-future`. Null for a normal row. */
  readonly quality?: readonly (string | null)[];
  /** What the device said the time was, microseconds since the Unix epoch; null for a normal row. */
  readonly deviceTimestampUs?: readonly (bigint | null)[];
}

export interface MetricsBatch extends RowQuality {
  readonly signal: 'metrics';
  readonly rows: number;
  /** `rows` series ids. */
  readonly seriesId: BigInt64Array;
  /** `rows` timestamps, microseconds since the Unix epoch. */
  readonly timestampUs: BigInt64Array;
  /** `rows` values; NaN payloads (staleness markers) are kept bit for bit, so copy by array, never by text. */
  readonly value: Float64Array;
  /** A row that is a native histogram (model/native-histogram.ts, as text) has NaN as its value; null for a number. */
  readonly histogram?: readonly (string | null)[];
  /** Since when a counter or histogram counts, microseconds since the Unix epoch; null where the sender did not say. */
  readonly startTimestampUs?: readonly (bigint | null)[];
  /** An entry for every id in `seriesId` that is not known to be stored already; more do no harm. */
  readonly series: readonly SeriesEntry[];
  /** What the source said about metrics, by metric family name; often empty. */
  readonly metadata: readonly MetricMetadata[];
}

export interface LogsBatch extends RowQuality {
  readonly signal: 'logs';
  readonly rows: number;
  readonly streamId: BigInt64Array;
  /** Exact time, nanoseconds since the Unix epoch. */
  readonly timestampNs: BigInt64Array;
  readonly line: Texts<string>;
  /** Structured metadata as canonical JSON text of an object of strings, or null. */
  readonly attributes?: Texts;
  readonly severity?: Texts;
  readonly traceId?: Texts;
  readonly spanId?: Texts;
  readonly series: readonly SeriesEntry[];
}

/** Columns named ...Json are JSON text: objects with sorted keys, or arrays. Spans belong to no series. */
export interface SpansBatch {
  readonly signal: 'spans';
  readonly rows: number;
  /** Exact start, nanoseconds since the Unix epoch. */
  readonly startNs: BigInt64Array;
  readonly durationNs: BigInt64Array;
  readonly service: readonly string[];
  /** Ids are lower-case hex. */
  readonly traceId: readonly string[];
  readonly spanId: readonly string[];
  readonly parentSpanId?: readonly (string | null)[];
  readonly name: readonly string[];
  readonly kind: readonly string[];
  readonly status: readonly string[];
  readonly statusMessage?: readonly (string | null)[];
  readonly traceState?: readonly (string | null)[];
  readonly attributesJson: readonly string[];
  readonly resourceJson: readonly string[];
  readonly scopeJson?: readonly (string | null)[];
  readonly eventsJson?: readonly (string | null)[];
  readonly linksJson?: readonly (string | null)[];
  readonly series: readonly [];
}

/** Named events: what happened, as columns. They belong to no series. */
export interface EventsBatch {
  readonly signal: 'events';
  readonly rows: number;
  /** Exact time, nanoseconds since the Unix epoch. */
  readonly timestampNs: BigInt64Array;
  readonly name: readonly string[];
  readonly body?: readonly (string | null)[];
  readonly attributesJson: readonly string[];
  readonly resourceJson: readonly string[];
  readonly severity?: readonly (string | null)[];
  readonly source: readonly string[];
  readonly traceId?: readonly (string | null)[];
  readonly spanId?: readonly (string | null)[];
  readonly series: readonly [];
}

/** One minute of one series a row. */
export interface RollupsBatch {
  readonly signal: 'metrics_1m';
  readonly rows: number;
  readonly seriesId: BigInt64Array;
  /** Starts of minutes, microseconds since the Unix epoch. */
  readonly timestampUs: BigInt64Array;
  readonly min: Float64Array;
  readonly max: Float64Array;
  readonly sum: Float64Array;
  readonly count: BigInt64Array;
  readonly last: Float64Array;
  readonly series: readonly SeriesEntry[];
}

/** One Gap (model/gap.ts) a row. Gaps belong to no series. */
export interface GapsBatch {
  readonly signal: 'gaps';
  readonly rows: number;
  readonly fromUs: BigInt64Array;
  readonly toUs: BigInt64Array;
  readonly ofSignal: readonly Signal[];
  readonly ofClass: readonly StreamClass[];
  readonly kind: readonly Gap['kind'][];
  readonly reason: readonly string[];
  readonly rowsMissing?: readonly (bigint | null)[];
  readonly detail?: readonly (string | null)[];
  readonly gateway: readonly string[];
  readonly series: readonly [];
}

/** Single observations that stand for many, each with a link to its trace. Sent again, one may be there twice. */
export interface ExemplarsBatch {
  readonly signal: 'exemplars';
  readonly rows: number;
  readonly seriesId: BigInt64Array;
  /** Times of the observations, microseconds since the Unix epoch. */
  readonly timestampUs: BigInt64Array;
  readonly value: Float64Array;
  /** Canonical JSON text of the exemplar's own labels, trace and span included. */
  readonly exemplarLabels: readonly string[];
  readonly traceId?: readonly (string | null)[];
  readonly spanId?: readonly (string | null)[];
  readonly series: readonly SeriesEntry[];
}

/** One column of a batch: 64-bit integers, doubles, or, where there are nulls, plain arrays. */
export type BatchColumn =
  | BigInt64Array
  | Float64Array
  | readonly (bigint | null)[]
  | readonly (string | null)[]
  | TextColumn;

/** The same where each row's value stands by itself: what is read from files. */
export type RowColumn = Exclude<BatchColumn, TextColumn>;

type Fields<B> = Readonly<Record<string, Exclude<keyof B, 'signal' | 'rows' | 'series' | 'metadata'>>>;

/** Which field of a batch holds which column of its table (lake/schema/tables.ts). */
export const batchFields: { readonly [S in Signal]: Fields<Extract<Batch, { signal: S }>> } = {
  metrics: {
    series_id: 'seriesId',
    timestamp: 'timestampUs',
    value: 'value',
    quality: 'quality',
    device_timestamp: 'deviceTimestampUs',
    histogram: 'histogram',
    start_timestamp: 'startTimestampUs',
  },
  logs: {
    stream_id: 'streamId',
    timestamp_ns: 'timestampNs',
    line: 'line',
    attributes: 'attributes',
    severity: 'severity',
    trace_id: 'traceId',
    span_id: 'spanId',
    quality: 'quality',
    device_timestamp: 'deviceTimestampUs',
  },
  spans: {
    service: 'service',
    start_ns: 'startNs',
    duration_ns: 'durationNs',
    trace_id: 'traceId',
    span_id: 'spanId',
    parent_span_id: 'parentSpanId',
    name: 'name',
    kind: 'kind',
    status: 'status',
    status_message: 'statusMessage',
    trace_state: 'traceState',
    attributes: 'attributesJson',
    resource: 'resourceJson',
    scope: 'scopeJson',
    events: 'eventsJson',
    links: 'linksJson',
  },
  events: {
    name: 'name',
    timestamp_ns: 'timestampNs',
    body: 'body',
    attributes: 'attributesJson',
    resource: 'resourceJson',
    severity: 'severity',
    source: 'source',
    trace_id: 'traceId',
    span_id: 'spanId',
  },
  metrics_1m: {
    series_id: 'seriesId',
    timestamp: 'timestampUs',
    min: 'min',
    max: 'max',
    sum: 'sum',
    count: 'count',
    last: 'last',
  },
  gaps: {
    timestamp: 'fromUs',
    end_timestamp: 'toUs',
    signal: 'ofSignal',
    class: 'ofClass',
    kind: 'kind',
    reason: 'reason',
    rows: 'rowsMissing',
    detail: 'detail',
    gateway: 'gateway',
  },
  exemplars: {
    series_id: 'seriesId',
    timestamp: 'timestampUs',
    value: 'value',
    exemplar_labels: 'exemplarLabels',
    trace_id: 'traceId',
    span_id: 'spanId',
  },
};

export interface MetricMetadata {
  readonly name: string;
  /** Prometheus' words: counter, gauge, histogram, gaugehistogram, summary, info, stateset, unknown. */
  readonly type: string;
  readonly help: string;
  readonly unit: string;
}
