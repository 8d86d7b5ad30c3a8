import type { DuckDBConnection } from '@duckdb/node-api';
import type { Batch } from '../model/batch.ts';

/** One column of rows: 64-bit integers, doubles, or texts. */
type RowColumn = BigInt64Array | Float64Array | readonly (string | null)[];

/** Appends rows to a table whose columns are BIGINT, DOUBLE and VARCHAR in the order of the arrays. */
interface RowAppender extends Disposable {
  append(columns: readonly RowColumn[], rows: number): void;
}

/** What one data chunk of DuckDB holds at most. */
const chunkRowsMax = 2048;

type DataChunk = import('@duckdb/node-api').DuckDBDataChunk;

/**
 * Rows are there when it is disposed. They are collected into full chunks first, because a chunk costs more than its
 * rows when each batch has only one.
 */
export async function openRowAppender(
  connection: DuckDBConnection,
  table: string,
  schema?: string,
): Promise<RowAppender> {
  const { BIGINT, DOUBLE, DuckDBDataChunk, VARCHAR } = await import('@duckdb/node-api');
  const appender = await connection.createAppender(table, schema);
  let staged: StagedColumn[] = [];
  let stagedRows = 0;
  const typeOf = (column: RowColumn) =>
    column instanceof BigInt64Array ? BIGINT : column instanceof Float64Array ? DOUBLE : VARCHAR;
  const flush = (): void => {
    if (stagedRows === 0) return;
    // A new chunk each time: one that was reset and refilled appends its first content again.
    const chunk = DuckDBDataChunk.create(staged.map(typeOf), stagedRows);
    staged.forEach((column, index) => void fill(chunk, index, column, stagedRows));
    appender.appendDataChunk(chunk);
    stagedRows = 0;
  };
  return {
    append: (columns, rows) => {
      if (staged.length === 0) staged = columns.map(stage);
      for (let start = 0; start < rows; ) {
        const count = Math.min(chunkRowsMax - stagedRows, rows - start);
        columns.forEach((column, index) => void copy(column, start, count, staged[index], stagedRows));
        stagedRows += count;
        start += count;
        if (stagedRows === chunkRowsMax) flush();
      }
    },
    [Symbol.dispose]: () => {
      flush();
      appender.closeSync();
    },
  };
}

type StagedColumn = BigInt64Array | Float64Array | (string | null)[];

const stage = (column: RowColumn): StagedColumn =>
  column instanceof BigInt64Array
    ? new BigInt64Array(chunkRowsMax)
    : column instanceof Float64Array
      ? new Float64Array(chunkRowsMax)
      : [];

/** Numbers are copied as arrays, which keeps the payloads of NaNs. */
function copy(from: RowColumn, start: number, count: number, to: StagedColumn | undefined, at: number): void {
  if (from instanceof BigInt64Array && to instanceof BigInt64Array) {
    to.set(from.subarray(start, start + count), at);
  } else if (from instanceof Float64Array && to instanceof Float64Array) {
    to.set(from.subarray(start, start + count), at);
  } else if (Array.isArray(from) && Array.isArray(to)) {
    for (let row = 0; row < count; row++) to[at + row] = from[start + row] ?? null;
  } else {
    throw new TypeError('a column changed its type between batches');
  }
}

function fill(chunk: DataChunk, index: number, column: StagedColumn, rows: number): void {
  if (Array.isArray(column)) {
    chunk.setColumnValues(index, column.slice(0, rows));
    return;
  }
  const vector = chunk.getColumnVector(index);
  copy(column, 0, rows, numbersOf(vector), 0);
  vector.flush();
}

/** The columns of a batch in the order of `layouts`: id, time, and what else the signal has. */
export function columnsOf(batch: Batch): RowColumn[] {
  if (batch.signal === 'metrics') return [batch.seriesId, batch.timestampUs, batch.value];
  const { streamId, timestampNs, line, attributes, severity, traceId, spanId } = batch;
  return [streamId, timestampNs, line, attributes, severity, traceId, spanId];
}

/**
 * The array behind a vector of numbers. It is private in the library's types, but its setter takes one BigInt at a
 * time, which is slower, and doubles must be copied as arrays to keep the payloads of NaNs.
 */
function numbersOf(vector: unknown): BigInt64Array | Float64Array {
  const { items } = vector as { items?: unknown };
  if (items instanceof BigInt64Array || items instanceof Float64Array) return items;
  throw new TypeError('this version of @duckdb/node-api keeps the numbers of a vector elsewhere');
}
