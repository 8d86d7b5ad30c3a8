import type { DuckDBConnection } from '@duckdb/node-api';
import type { BatchColumn } from '../model/batch.ts';
import { isTextColumn, type TextColumn, textsOf } from '../model/text-column.ts';

/** Types of a table's columns, and with them of what is appended to it. */
export type RowType = 'BIGINT' | 'DOUBLE' | 'VARCHAR';

interface RowAppender extends Disposable {
  /** One array a column of the table; undefined where every row is null. */
  append(columns: readonly (BatchColumn | undefined)[], rows: number): void;
}

/** What one data chunk of DuckDB holds at most. */
const chunkRowsMax = 2048;

type DuckDb = typeof import('@duckdb/node-api');
type DataChunk = import('@duckdb/node-api').DuckDBDataChunk;

/**
 * Rows are there when it is disposed. They are collected into full chunks first, because a chunk costs more than its
 * rows when each batch has only one.
 */
export async function openRowAppender(
  connection: DuckDBConnection,
  table: string,
  types: readonly RowType[],
  schema?: string,
): Promise<RowAppender> {
  const duckdb = await import('@duckdb/node-api');
  const appender = await connection.createAppender(table, schema);
  let staged: (StagedColumn | undefined)[] = types.map(() => undefined);
  let stagedRows = 0;
  const flush = (): void => {
    if (stagedRows === 0) return;
    // A new chunk each time: one that was reset and refilled appends its first content again.
    const chunk = duckdb.DuckDBDataChunk.create(chunkTypes(duckdb, types, staged), stagedRows);
    staged.forEach((column, index) => {
      if (column) fill(chunk, index, column, stagedRows);
    });
    appender.appendDataChunk(chunk);
    stagedRows = 0;
    staged = staged.map((column) => (Array.isArray(column) ? undefined : column));
  };
  return {
    append: (given, rows) => {
      const columns = given.map((column) => column && plainColumn(column));
      for (let start = 0; start < rows; ) {
        const count = Math.min(chunkRowsMax - stagedRows, rows - start);
        for (let index = 0; index < types.length; index++) {
          const column = columns[index];
          const to = staged[index] ?? (column && stage(column));
          if (column && to) copy(column, start, count, to, stagedRows);
          else if (to && !Array.isArray(to)) throw otherType();
          staged[index] = to;
        }
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

type PlainColumn = Exclude<BatchColumn, TextColumn>;

/** DuckDB takes texts as strings only. */
const plainColumn = (column: BatchColumn): PlainColumn => (isTextColumn(column) ? textsOf(column) : column);

/** Nulls cost a call each to set; a column that has nothing else is of the type that has nothing else. */
function chunkTypes(
  duckdb: DuckDb,
  types: readonly RowType[],
  staged: readonly (StagedColumn | undefined)[],
) {
  return types.map((type, index) => (staged[index] ? duckdb[type] : duckdb.SQLNULL));
}

/** An array may be shorter than the rows: the rest, of batches without the column, is null. */
type StagedColumn = BigInt64Array | Float64Array | (string | bigint | null)[];

const stage = (column: PlainColumn): StagedColumn =>
  column instanceof BigInt64Array
    ? new BigInt64Array(chunkRowsMax)
    : column instanceof Float64Array
      ? new Float64Array(chunkRowsMax)
      : [];

/** Numbers are copied as arrays, which keeps the payloads of NaNs. */
function copy(from: PlainColumn, start: number, count: number, to: StagedColumn, at: number): void {
  if (from instanceof BigInt64Array && to instanceof BigInt64Array) {
    to.set(from.subarray(start, start + count), at);
  } else if (from instanceof Float64Array && to instanceof Float64Array) {
    to.set(from.subarray(start, start + count), at);
  } else if (Array.isArray(from) && Array.isArray(to)) {
    padWithNulls(to, at);
    for (let row = 0; row < count; row++) to.push(from[start + row] ?? null);
  } else {
    throw otherType();
  }
}

function padWithNulls(column: (string | bigint | null)[], rows: number): void {
  while (column.length < rows) column.push(null);
}

const otherType = (): TypeError => new TypeError('a column changed its type between batches');

function fill(chunk: DataChunk, index: number, column: StagedColumn, rows: number): void {
  if (Array.isArray(column)) {
    padWithNulls(column, rows);
    chunk.setColumnValues(index, column);
    return;
  }
  const vector = chunk.getColumnVector(index);
  copy(column, 0, rows, numbersOf(vector), 0);
  vector.flush();
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
