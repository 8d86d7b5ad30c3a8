import type { DuckDBResult, DuckDBType, DuckDBValue } from '@duckdb/node-api';
import { chunkOfRows, type RowChunk } from '../row-chunk.ts';
import type { SqlColumn, SqlResult, SqlStatement } from '../sql-session.ts';

/** A type's name; JSON is text to DuckDB, and known by its alias. */
export const typeName = (type: DuckDBType): string => type.alias ?? type.toString();

export function columnsOf(result: DuckDBResult): SqlColumn[] {
  return result.columnNames().map((name, index) => ({ name, type: typeName(result.columnType(index)) }));
}

/** A command without rows. */
export function done(tag: string): SqlResult {
  return { columns: undefined, tag, chunks: async function* () {}, [Symbol.asyncDispose]: async () => {} };
}

/** Rows that are there already. */
export const rowsResult = (
  tag: string,
  columns: readonly SqlColumn[],
  rows: readonly (readonly DuckDBValue[])[],
): SqlResult => chunksResult(tag, columns, rows.length === 0 ? [] : [chunkOfRows(rows)]);

export function chunksResult(
  tag: string,
  columns: readonly SqlColumn[] | undefined,
  chunks: readonly RowChunk[],
): SqlResult {
  return {
    columns,
    tag,
    chunks: async function* () {
      yield* chunks;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** A statement that returns no rows; `run` may give another result than its tag. */
export const command = (
  tag: string,
  run: (values: readonly (string | null)[], signal: AbortSignal) => Promise<SqlResult | undefined>,
  parameterTypes: SqlStatement['parameterTypes'] = [],
): SqlStatement => ({
  kind: 'command',
  parameterTypes,
  describe: async () => undefined,
  execute: async (values, signal) => (await run(values, signal)) ?? done(tag),
});
