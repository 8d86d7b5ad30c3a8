import type { DuckDBConnection } from '@duckdb/node-api';

/** One column of rows: 64-bit integers, doubles, or texts. */
export type RowColumn = BigInt64Array | Float64Array | readonly (string | null)[];

/** Appends rows to a table whose columns are BIGINT, DOUBLE and VARCHAR in the order of the arrays. */
export interface RowAppender extends Disposable {
  append(columns: readonly RowColumn[], rows: number): void;
}

/** What one data chunk of DuckDB holds. */
const chunkRowsMax = 2048;

/** Rows are visible to other connections when it is disposed. */
export async function openRowAppender(
  connection: DuckDBConnection,
  table: string,
  schema?: string,
): Promise<RowAppender> {
  const { BIGINT, DOUBLE, DuckDBDataChunk, VARCHAR } = await import('@duckdb/node-api');
  const appender = await connection.createAppender(table, schema);
  return {
    append: (columns, rows) => {
      const types = columns.map((column) =>
        column instanceof BigInt64Array ? BIGINT : column instanceof Float64Array ? DOUBLE : VARCHAR,
      );
      for (let start = 0; start < rows; start += chunkRowsMax) {
        const end = Math.min(start + chunkRowsMax, rows);
        // A new chunk each time: one that was reset and refilled appends its first content again.
        const chunk = DuckDBDataChunk.create(types, end - start);
        columns.forEach((column, index) => {
          if (column instanceof BigInt64Array || column instanceof Float64Array) {
            const vector = chunk.getColumnVector(index);
            numbersOf(vector).set(column.subarray(start, end) as never);
            vector.flush();
          } else {
            chunk.setColumnValues(index, column.slice(start, end));
          }
        });
        appender.appendDataChunk(chunk);
      }
    },
    [Symbol.dispose]: () => appender.closeSync(),
  };
}

/**
 * The array behind a vector of numbers. It is private in the library's types, but its setter takes one BigInt at a
 * time, which is slower, and doubles must be copied as arrays to keep the payloads of NaNs.
 */
export function numbersOf(vector: unknown): BigInt64Array | Float64Array {
  const { items } = vector as { items?: unknown };
  if (items instanceof BigInt64Array || items instanceof Float64Array) return items;
  throw new TypeError('this version of @duckdb/node-api keeps the numbers of a vector elsewhere');
}
