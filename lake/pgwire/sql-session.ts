/**
 * The port: what the PostgreSQL protocol needs of a SQL session. lake/sql implements it over DuckDB; a fake does in
 * tests. One session belongs to one connection; calls are made one at a time, except `cancel`.
 */
export interface SqlSession extends AsyncDisposable {
  /**
   * Splits and parses one query string, several statements separated by semicolons; nothing is executed. An empty or
   * comment-only text gives no statement. Throws SqlError (lake/sql/errors.ts) with the position.
   */
  parse(text: string): Promise<readonly SqlStatement[]>;
  /** Values of the run-time parameters that clients are told (`ParameterStatus`), by name. */
  readonly parameters: ReadonlyMap<string, string>;
}

export interface SqlStatement {
  /** Types that DuckDB wants for $1, $2, ... as SQL type names (`VARCHAR`, `TIMESTAMP WITH TIME ZONE`); null: unknown. */
  readonly parameterTypes: readonly (string | null)[];
  /** Columns of the result, without executing; undefined for a statement that returns no rows. */
  describe(): Promise<readonly SqlColumn[] | undefined>;
  /** Runs it. Parameters are text or null; the session casts them to what the statement wants. */
  execute(parameters: readonly (string | null)[], signal: AbortSignal): Promise<SqlResult>;
  readonly kind: StatementKind;
}

/** What the session state machine must know: it keeps transactions, everything else is a command with its tag. */
export type StatementKind = 'select' | 'begin' | 'commit' | 'rollback' | 'command';

export interface SqlColumn {
  readonly name: string;
  /** DuckDB's SQL type name, as `DESCRIBE` prints it: `BIGINT`, `VARCHAR[]`, `DECIMAL(18,3)`, `JSON`, ... */
  readonly type: string;
}

export interface SqlResult extends AsyncDisposable {
  readonly columns: readonly SqlColumn[] | undefined;
  /** Chunks of rows, as JavaScript values of @duckdb/node-api (bigint, number, string, DuckDBTimestampTZValue, ...). */
  chunks(): AsyncIterable<readonly (readonly unknown[])[]>;
  /** CommandComplete's tag; `SELECT` and `FETCH` get their count of rows appended by the protocol. */
  readonly tag: string;
}
