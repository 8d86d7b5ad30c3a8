import type { RowChunk } from './row-chunk.ts';
import type { TransactionEvent } from './temp-levels.ts';

/**
 * What the PostgreSQL protocol and the HTTP API need of a SQL session; session.ts makes one over DuckDB. One session belongs to one connection; calls are made one at a time, but the results of suspended portals stay
 * open while other statements run.
 */
export interface SqlSession extends AsyncDisposable {
  /**
   * Splits and parses one query string, several statements separated by semicolons; nothing is executed. An empty or
   * comment-only text gives no statement. Throws SqlError with the position.
   */
  parse(text: string): Promise<readonly ParsedText[]>;
  /** Values of the run-time parameters that clients are told (`ParameterStatus`), by name. */
  readonly parameters: ReadonlyMap<string, string>;
  /**
   * The protocol tells when a transaction begins and how it ended: cursors without hold close then, and what was SET in
   * one that did not commit, or by SET LOCAL, is as before, and so are temporary tables; these also go back to savepoints.
   */
  transaction(event: TransactionEvent): Promise<void>;
}

/** A statement of which nothing is known but that it can be parsed. */
interface ParsedText {
  /**
   * What it means now: after the statements before it, which may make the table that it names. `declaredTypes` are the
   * types that the client gave $1, $2, ... as DuckDB's names, null where it gave none: a help for inference that may be
   * ignored. Without them the statement is run at once, and may be found wrong only then. Throws SqlError with the position.
   */
  analyze(declaredTypes?: readonly (string | null)[]): Promise<SqlStatement>;
}

export interface SqlStatement {
  /** Types that DuckDB wants for $1, $2, ... as SQL type names (`VARCHAR`, `TIMESTAMP WITH TIME ZONE`); null: unknown. */
  readonly parameterTypes: readonly (string | null)[];
  /** Columns of the result, without executing; undefined for a statement that returns no rows. */
  describe(): Promise<readonly SqlColumn[] | undefined>;
  /**
   * Runs it. Parameters are PostgreSQL's text of the values (`t`, `\x6162`, `{1,2}`) or null; the session casts them to
   * what the statement wants. There may be more of them than the statement has.
   */
  execute(parameters: readonly (string | null)[], signal: AbortSignal): Promise<SqlResult>;
  readonly kind: StatementKind;
  /** COPY ... TO STDOUT: the rows go to the client in this format instead of as rows. */
  readonly copy?: CopyFormat;
  /** COPY ... FROM STDIN: rows that the client sends in this format are loaded instead of `execute`. */
  readonly copyIn?: {
    readonly format: CopyFormat;
    readonly columns: readonly SqlColumn[];
    load(rows: CopiedRows, signal: AbortSignal): Promise<SqlResult>;
  };
  /** FETCH and MOVE of rows forward: clients may mean a portal of the protocol by the cursor's name. */
  readonly fetches?: { readonly cursor: string; readonly rows: number; readonly moves: boolean };
  /** SAVEPOINT, RELEASE and ROLLBACK TO: the savepoint's name. */
  readonly savepoint?: string;
  /** DEALLOCATE: the name of the prepared statement to forget; null is all of them (also for DISCARD ALL). */
  readonly deallocates?: string | null;
}

/**
 * What the session state machine must know: it keeps transactions, everything else is a command with its tag.
 * `rollback-to` is ROLLBACK TO SAVEPOINT: it ends the failed state of a transaction, but not the transaction.
 */
export type StatementKind =
  | 'select'
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'release'
  | 'rollback-to'
  | 'command';

/** Rows that a client sends, some at a time: PostgreSQL's texts of the values. */
export type CopiedRows = AsyncIterable<readonly (readonly (string | null)[])[]>;

/** `absent` is how NULL is written. */
export type CopyFormat =
  | { readonly kind: 'binary' }
  | {
      readonly kind: 'text';
      readonly delimiter: string;
      readonly header: boolean;
      readonly absent: string;
    }
  | {
      readonly kind: 'csv';
      readonly delimiter: string;
      readonly header: boolean;
      readonly absent: string;
      readonly quote: string;
      readonly escape: string;
      /** Columns whose values are quoted whatever they are. */
      readonly forced: readonly string[] | 'all';
    };

export interface SqlColumn {
  readonly name: string;
  /** DuckDB's SQL type name, as `DESCRIBE` prints it: `BIGINT`, `VARCHAR[]`, `DECIMAL(18,3)`, `JSON`, ... */
  readonly type: string;
}

export interface SqlResult extends AsyncDisposable {
  readonly columns: readonly SqlColumn[] | undefined;
  /** Read them as slowly as is needed; each chunk before the next is asked for. */
  chunks(): AsyncIterable<RowChunk>;
  /** CommandComplete's tag; where there are rows, the protocol appends their count to it (but not to `SHOW`). */
  readonly tag: string;
}
