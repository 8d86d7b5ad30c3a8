import type { RollupTable, TableName } from '../model/table-name.ts';

/**
 * Each table's columns, defined once. Parquet, Iceberg and SQL schemas are derived from these, and so is how batches
 * become rows. Field ids are for ever: a column may be added with a new id, optional, never renumbered.
 */
export interface Column {
  readonly fieldId: number;
  readonly name: string;
  readonly type: ColumnType;
  readonly required: boolean;
  readonly doc: string;
  readonly source: ColumnSource;
}

/** Iceberg's names. `timestamptz` is microseconds since the Unix epoch, UTC. */
export type ColumnType = 'long' | 'double' | 'string' | 'timestamptz';

/**
 * Where a row's value comes from when it is written: a column of the batch, the labels of its series, the site of the
 * gateway, or another column, whose nanoseconds are rounded down.
 */
type ColumnSource = 'batch' | 'series' | 'site' | { readonly nanoseconds: string };

export interface TableSchema {
  readonly table: TableName;
  readonly doc: string;
  readonly columns: readonly Column[];
  /** The column with the id of a row's series. Absent: rows belong to no series. */
  readonly seriesColumn?: string;
  /** Files and segments are sorted by these columns, ascending, nulls first. A series' own columns come first. */
  readonly sortBy: readonly string[];
  /**
   * Columns in which a row that was sent again equals the one that is there; compaction keeps one of them. Absent: equal
   * rows are different rows. The sort columns are among what is compared.
   */
  readonly sameRowBy?: readonly string[];
  /** Columns whose bounds go into manifests, for pruning; all required. `timestamp` also makes the day partition. */
  readonly boundColumns: readonly string[];
  /** Columns whose values files have Bloom filters of: ids that bounds tell little about. */
  readonly bloomColumns?: readonly string[];
  /** Columns of texts that are searched for parts of them. */
  readonly searchedColumns?: readonly string[];
}

function column(
  fieldId: number,
  name: string,
  type: ColumnType,
  required: boolean,
  doc: string,
  source: ColumnSource = 'batch',
): Column {
  return { fieldId, name, type, required, doc, source };
}

// Columns that several tables have, by the field id that each gives them.

const metricName = (fieldId: number): Column =>
  column(fieldId, 'name', 'string', true, 'Metric name (the label __name__)', 'series');
const seriesId = (fieldId: number): Column =>
  column(
    fieldId,
    'series_id',
    'long',
    true,
    'xxHash64 of labels: the same series has the same id everywhere',
  );
const seriesLabels = (fieldId: number): Column =>
  column(
    fieldId,
    'labels',
    'string',
    true,
    'All labels of the series as sorted JSON, __name__ included',
    'series',
  );
const severity = (fieldId: number): Column =>
  column(fieldId, 'severity', 'string', false, 'Severity as the source gave it');
const site = (fieldId: number): Column =>
  column(fieldId, 'site', 'string', true, 'Site of the gateway that received it', 'site');
const quality = (fieldId: number): Column =>
  column(
    fieldId,
    'quality',
    'string',
    false,
    "Why timestamp is not the device's own time: device-past, device-future; NULL for a normal row",
  );
const deviceTimestamp = (fieldId: number): Column =>
  column(
    fieldId,
    'device_timestamp',
    'timestamptz',
    false,
    'What the device said the time was, where that was not believable; else NULL',
  );

const histogramDoc = 'The native histogram as JSON, where the row is one (its value is NaN then); else NULL';

const rollupFlagsDoc =
  'ended: a staleness marker comes after the last sample; histograms, starts, overflow: what else is in it, for which PromQL reads the samples; separated by commas, else NULL';

const metricOrder = ['name', 'series_id', 'timestamp'];
const byMetricSeries = {
  ...{ seriesColumn: 'series_id', sortBy: metricOrder, boundColumns: metricOrder },
  bloomColumns: ['series_id'],
};

export const tableSchemas: Readonly<Record<TableName, TableSchema>> = {
  metrics: {
    table: 'metrics',
    doc: 'Samples of all metrics',
    columns: [
      metricName(1),
      seriesId(2),
      column(3, 'timestamp', 'timestamptz', true, 'Time of the sample, UTC'),
      column(4, 'value', 'double', false, 'Value of the sample'),
      seriesLabels(5),
      site(6),
      quality(7),
      deviceTimestamp(8),
      column(9, 'histogram', 'string', false, histogramDoc),
      column(10, 'start_timestamp', 'timestamptz', false, 'Since when it counts, where the sender said so'),
    ],
    ...byMetricSeries,
    // A sample and a histogram of one time are two rows.
    sameRowBy: ['series_id', 'timestamp', 'histogram'],
  },
  logs: {
    table: 'logs',
    doc: 'Log lines of all streams',
    columns: [
      column(1, 'stream_id', 'long', true, 'xxHash64 of labels: the same stream has the same id everywhere'),
      column(2, 'timestamp', 'timestamptz', true, 'Time of the line, UTC, microseconds', {
        nanoseconds: 'timestamp_ns',
      }),
      column(3, 'timestamp_ns', 'long', true, 'Exact time of the line, nanoseconds since the Unix epoch'),
      column(4, 'line', 'string', true, 'The log line'),
      column(5, 'labels', 'string', true, 'Labels of the stream as sorted JSON', 'series'),
      column(6, 'attributes', 'string', false, 'Structured metadata of the line as sorted JSON'),
      severity(7),
      column(8, 'trace_id', 'string', false, 'Trace the line belongs to, hex'),
      column(9, 'span_id', 'string', false, 'Span the line belongs to, hex'),
      site(10),
      quality(11),
      deviceTimestamp(12),
    ],
    seriesColumn: 'stream_id',
    sortBy: ['stream_id', 'timestamp_ns'],
    boundColumns: ['stream_id', 'timestamp'],
    bloomColumns: ['stream_id', 'trace_id'],
    searchedColumns: ['line'],
    sameRowBy: ['stream_id', 'timestamp_ns', 'line'],
  },
  spans: {
    table: 'spans',
    doc: 'Spans of traces',
    columns: [
      column(1, 'service', 'string', true, 'Service that made the span: service.name of its resource'),
      column(2, 'timestamp', 'timestamptz', true, 'Start of the span, UTC, microseconds', {
        nanoseconds: 'start_ns',
      }),
      column(3, 'start_ns', 'long', true, 'Exact start of the span, nanoseconds since the Unix epoch'),
      column(4, 'duration_ns', 'long', true, 'How long it took, nanoseconds'),
      column(5, 'trace_id', 'string', true, 'Trace it belongs to, hex'),
      column(6, 'span_id', 'string', true, 'Its own id, hex'),
      column(7, 'parent_span_id', 'string', false, 'Span that it is a part of, hex; NULL for a root'),
      column(8, 'name', 'string', true, 'Name of the operation'),
      column(9, 'kind', 'string', true, 'unspecified, internal, server, client, producer, consumer'),
      column(10, 'status', 'string', true, 'unset, ok, error'),
      column(11, 'status_message', 'string', false, 'Why the status is error'),
      column(12, 'trace_state', 'string', false, 'W3C trace state'),
      column(13, 'attributes', 'string', true, 'Attributes of the span as sorted JSON'),
      column(14, 'resource', 'string', true, 'Attributes of its resource as sorted JSON'),
      column(15, 'scope', 'string', false, 'name, version and attributes of the instrumentation, as JSON'),
      column(16, 'events', 'string', false, 'What happened within it, as a JSON array'),
      column(17, 'links', 'string', false, 'Spans that it refers to, as a JSON array'),
      site(18),
    ],
    sortBy: ['service', 'start_ns'],
    boundColumns: ['service', 'timestamp'],
    bloomColumns: ['trace_id'],
    sameRowBy: ['service', 'start_ns', 'trace_id', 'span_id'],
  },
  events: {
    table: 'events',
    doc: 'Named events: log records that have an event name',
    columns: [
      column(1, 'name', 'string', true, 'Name of the event'),
      column(2, 'timestamp', 'timestamptz', true, 'When it happened, UTC, microseconds', {
        nanoseconds: 'timestamp_ns',
      }),
      column(3, 'timestamp_ns', 'long', true, 'Exact time, nanoseconds since the Unix epoch'),
      column(4, 'body', 'string', false, 'Text of the event, or JSON where it has a structure'),
      column(5, 'attributes', 'string', true, 'Attributes of the event as sorted JSON'),
      column(6, 'resource', 'string', true, 'Attributes of its resource as sorted JSON'),
      severity(7),
      column(8, 'source', 'string', true, 'Service that it comes from: service.name of its resource'),
      column(9, 'trace_id', 'string', false, 'Trace it belongs to, hex'),
      column(10, 'span_id', 'string', false, 'Span it belongs to, hex'),
      site(11),
    ],
    sortBy: ['name', 'timestamp_ns'],
    boundColumns: ['name', 'timestamp'],
    bloomColumns: ['trace_id'],
    sameRowBy: ['name', 'timestamp_ns', 'source', 'body', 'attributes'],
  },
  metrics_1m: {
    table: 'metrics_1m',
    doc: 'One-minute rollups of metrics, made where the samples could not be kept',
    columns: [
      metricName(1),
      seriesId(2),
      column(3, 'timestamp', 'timestamptz', true, 'Start of the minute, UTC'),
      column(4, 'min', 'double', false, 'Smallest value of the minute'),
      column(5, 'max', 'double', false, 'Largest value of the minute'),
      column(6, 'sum', 'double', false, 'Sum of the values of the minute'),
      column(7, 'count', 'long', true, 'How many samples the minute had'),
      column(8, 'last', 'double', false, 'Last value of the minute'),
      seriesLabels(9),
      site(10),
    ],
    ...byMetricSeries,
  },
  gaps: {
    table: 'gaps',
    doc: 'Time ranges whose rows are missing, or are there as rollups only, and why',
    columns: [
      column(1, 'timestamp', 'timestamptz', true, 'Start of the range, UTC'),
      column(2, 'end_timestamp', 'timestamptz', true, 'End of the range, UTC'),
      column(3, 'signal', 'string', true, 'Table whose rows are missing'),
      column(4, 'class', 'string', true, 'Class of the streams: alarms, metrics, logs'),
      column(5, 'kind', 'string', true, 'gap: rows are missing; rollup: they are in metrics_1m'),
      column(6, 'reason', 'string', true, 'Why'),
      column(7, 'rows', 'long', false, 'How many rows are missing; NULL where it is not known'),
      column(8, 'detail', 'string', false, 'More about it'),
      column(9, 'gateway', 'string', true, 'Gateway that reports it'),
      column(10, 'site', 'string', true, 'Site of that gateway', 'site'),
    ],
    sortBy: ['timestamp'],
    boundColumns: ['timestamp'],
  },
  exemplars: {
    table: 'exemplars',
    doc: 'Single observations of metrics, each with a link to its trace; one that was sent again may be there twice',
    columns: [
      metricName(1),
      seriesId(2),
      column(3, 'timestamp', 'timestamptz', true, 'Time of the observation, UTC'),
      column(4, 'value', 'double', false, 'What was observed'),
      seriesLabels(5),
      column(6, 'exemplar_labels', 'string', true, 'Labels of the exemplar itself as sorted JSON'),
      column(7, 'trace_id', 'string', false, 'Trace that the observation belongs to, hex'),
      column(8, 'span_id', 'string', false, 'Span that the observation belongs to, hex'),
      site(9),
    ],
    ...byMetricSeries,
    bloomColumns: ['series_id', 'trace_id'],
    sameRowBy: ['series_id', 'timestamp', 'value', 'exemplar_labels'],
  },
  metrics_rollup_1m: rollupSchema('metrics_rollup_1m', 'minute'),
  metrics_rollup_1h: rollupSchema('metrics_rollup_1h', 'hour'),
};

/** Buckets are open on the left and closed on the right, as the ranges of PromQL are. */
function rollupSchema(table: RollupTable, unit: 'minute' | 'hour'): TableSchema {
  return {
    table,
    doc: `One row for each series and ${unit} of metrics`,
    columns: [
      metricName(1),
      seriesId(2),
      column(
        3,
        'timestamp',
        'timestamptz',
        true,
        `Start of the ${unit}, UTC, which is not in it; its end is`,
      ),
      seriesLabels(4),
      site(5),
      column(6, 'count', 'long', true, 'How many samples; staleness markers and histograms are none'),
      column(7, 'min', 'double', false, 'Smallest value; NaN where all are'),
      column(8, 'max', 'double', false, 'Largest value; NaN where all are'),
      column(9, 'sum', 'double', false, 'Sum of the values'),
      column(10, 'sum_compensation', 'double', false, 'What rounding left out of sum'),
      column(11, 'first', 'double', false, 'First value'),
      column(12, 'first_timestamp', 'timestamptz', false, 'When it was measured, milliseconds'),
      column(13, 'last', 'double', false, 'Last value'),
      column(14, 'last_timestamp', 'timestamptz', false, 'When it was measured, milliseconds'),
      column(
        15,
        'increase',
        'double',
        false,
        'By how much a counter grew from first to last, over its resets',
      ),
      column(16, 'reset_sum', 'double', false, 'Sum of the values before each reset'),
      column(17, 'resets', 'long', true, 'How often a value was below the one before it'),
      column(18, 'changes', 'long', true, 'How often a value differed from the one before it'),
      column(19, 'flags', 'string', false, rollupFlagsDoc),
    ],
    ...byMetricSeries,
  };
}

/** The UTC day of a timestamp as Iceberg's day transform sees it: whole days since the Unix epoch. */
export function dayOfUs(timestampUs: number): number {
  return Math.floor(timestampUs / 86_400_000_000);
}

/** `YYYY-MM-DD` of a day since the Unix epoch. */
export function dayText(day: number): string {
  return new Date(day * 86_400_000).toISOString().replace(/T.*$/, '');
}
