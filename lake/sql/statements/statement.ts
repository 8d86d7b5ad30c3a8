import type { DuckDBResult, DuckDBValue } from '@duckdb/node-api';

/** A statement that was parsed and checked; nothing of it has run. */
export interface SqlStatement {
  readonly kind: StatementKind;
  /** DuckDB's types of $1, $2, ... by name; null where DuckDB leaves it open. */
  parameterTypes(): Promise<readonly (string | null)[]>;
  /** Columns of the result without running it; undefined when it returns no rows. */
  describe(): Promise<readonly SqlColumn[] | undefined>;
  /** Runs it; parameters are text or null. Throws SqlError; 57014 when the signal is aborted. */
  execute(parameters: readonly (string | null)[], signal: AbortSignal): Promise<SqlResult>;
}

/** `begin`, `commit` and `rollback` are for whoever keeps the transaction's state: the protocol. */
export type StatementKind = 'select' | 'begin' | 'commit' | 'rollback' | 'command';

export interface SqlColumn {
  readonly name: string;
  /** DuckDB's name of the type: `BIGINT`, `VARCHAR[]`, `DECIMAL(18,3)`, `TIMESTAMP WITH TIME ZONE`, ... */
  readonly type: string;
}

export interface SqlResult extends AsyncDisposable {
  readonly columns: readonly SqlColumn[] | undefined;
  /** Rows in chunks, as @duckdb/node-api gives values. To be read once. */
  chunks(): AsyncIterable<readonly (readonly DuckDBValue[])[]>;
  /** What the command is called when it is complete; for `SELECT` and `FETCH` the number of rows is added to it. */
  readonly tag: string;
}

export function columnsOf(result: DuckDBResult): SqlColumn[] {
  return result.columnNames().map((name, index) => ({ name, type: result.columnType(index).toString() }));
}

/** A command without rows. */
export function done(tag: string): SqlResult {
  return { columns: undefined, tag, chunks: async function* () {}, [Symbol.asyncDispose]: async () => {} };
}

/** A result that is there already. */
export function rowsResult(
  tag: string,
  columns: readonly SqlColumn[],
  rows: readonly (readonly DuckDBValue[])[],
): SqlResult {
  return {
    columns,
    tag,
    chunks: async function* () {
      if (rows.length > 0) yield rows;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
