import type { Signal } from '../model/batch.ts';

/**
 * Each table's columns, defined once. Parquet, Iceberg and SQL schemas are derived from these.
 * Field ids are for ever: a column may be added with a new id, never renumbered.
 */
export interface Column {
  readonly fieldId: number;
  readonly name: string;
  readonly type: ColumnType;
  readonly required: boolean;
  readonly doc: string;
}

/** Iceberg's names. `timestamptz` is microseconds since the Unix epoch, UTC. */
export type ColumnType = 'long' | 'double' | 'string' | 'timestamptz';

export interface TableSchema {
  readonly table: Signal;
  readonly columns: readonly Column[];
  /** Files and segments are sorted by these columns, ascending, nulls first. */
  readonly sortBy: readonly string[];
  /** Columns whose bounds go into manifests, for pruning. `timestamp` also makes the day partition. */
  readonly boundColumns: readonly string[];
}

const column = (fieldId: number, name: string, type: ColumnType, required: boolean, doc: string): Column => ({
  fieldId,
  name,
  type,
  required,
  doc,
});

export const tableSchemas: Readonly<Record<Signal, TableSchema>> = {
  metrics: {
    table: 'metrics',
    columns: [
      column(1, 'name', 'string', true, 'Metric name (the label __name__)'),
      column(2, 'series_id', 'long', true, 'xxHash64 of labels: the same series has the same id everywhere'),
      column(3, 'timestamp', 'timestamptz', true, 'Time of the sample, UTC'),
      column(4, 'value', 'double', false, 'Value of the sample'),
      column(5, 'labels', 'string', true, 'All labels of the series as sorted JSON, __name__ included'),
      column(6, 'site', 'string', true, 'Site of the gateway that received it'),
    ],
    sortBy: ['name', 'series_id', 'timestamp'],
    boundColumns: ['name', 'series_id', 'timestamp'],
  },
  logs: {
    table: 'logs',
    columns: [
      column(1, 'stream_id', 'long', true, 'xxHash64 of labels: the same stream has the same id everywhere'),
      column(2, 'timestamp', 'timestamptz', true, 'Time of the line, UTC, microseconds'),
      column(3, 'timestamp_ns', 'long', true, 'Exact time of the line, nanoseconds since the Unix epoch'),
      column(4, 'line', 'string', true, 'The log line'),
      column(5, 'labels', 'string', true, 'Labels of the stream as sorted JSON'),
      column(6, 'attributes', 'string', false, 'Structured metadata of the line as sorted JSON'),
      column(7, 'severity', 'string', false, 'Severity as the source gave it'),
      column(8, 'trace_id', 'string', false, 'Trace the line belongs to, hex'),
      column(9, 'span_id', 'string', false, 'Span the line belongs to, hex'),
      column(10, 'site', 'string', true, 'Site of the gateway that received it'),
    ],
    sortBy: ['stream_id', 'timestamp_ns'],
    boundColumns: ['stream_id', 'timestamp'],
  },
};

/** The UTC day of a timestamp as Iceberg's day transform sees it: whole days since the Unix epoch. */
export function dayOfUs(timestampUs: number): number {
  return Math.floor(timestampUs / 86_400_000_000);
}

/** `YYYY-MM-DD` of a day since the Unix epoch. */
export function dayText(day: number): string {
  return new Date(day * 86_400_000).toISOString().replace(/T.*$/, '');
}
