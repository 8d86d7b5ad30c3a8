import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';
import { type Column, columnOf } from './duckdb/vectors.ts';
import type { SqlColumn } from './sql-session.ts';

/** Some rows of a result: those from `start` to `end`, exclusive, of its columns. */
export interface RowChunk {
  readonly start: number;
  readonly end: number;
  /** Values of @duckdb/node-api (bigint, number, string, DuckDBTimestampTZValue, ...): an object or more for each row. */
  rows(): readonly (readonly DuckDBValue[])[];
  value(column: number, row: number): DuckDBValue;
  /** A column as it is in DuckDB's memory; of kind `other` where only `value` has it. */
  column(index: number): Column;
}

/** Rows that JavaScript made. */
export const chunkOfRows = (rows: readonly (readonly DuckDBValue[])[]): RowChunk => ({
  start: 0,
  end: rows.length,
  rows: () => rows,
  value: (column, row) => rows[row]?.[column] ?? null,
  column: () => ({ kind: 'other' }),
});

export function chunkOfDuckdb(chunk: DuckDBDataChunk, columns: readonly SqlColumn[]): RowChunk {
  const read: Column[] = [];
  return {
    start: 0,
    end: chunk.rowCount,
    rows: () => chunk.getRows(),
    value: (column, row) => chunk.getColumnVector(column).getItem(row) as DuckDBValue,
    column: (index) => {
      read[index] ??= columnOf(chunk, index, columns[index]?.type ?? '');
      return read[index];
    },
  };
}

export const sliceOf = (chunk: RowChunk, start: number, end: number): RowChunk => ({
  ...chunk,
  start,
  end,
  rows: () => chunk.rows().slice(start - chunk.start, end - chunk.start),
});
