import type { DuckDBConnection, DuckDBPreparedStatement, DuckDBResult } from '@duckdb/node-api';
import type { Node } from 'libpg-query';
import type { Signal } from '../../model/batch.ts';
import type { Prune, Tables, TableView } from '../../tables.ts';
import { as, rewrite } from '../ast.ts';
import type { Engine } from '../duckdb/engine.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { canceled, SqlError } from '../errors.ts';
import type { ParsedStatement } from '../parse.ts';
import { aliasRules } from '../passes/aliases.ts';
import { castRules } from '../passes/casts.ts';
import { columnNameRules } from '../passes/column-names.ts';
import { functionRulesAt } from '../passes/functions.ts';
import { relationRules } from '../passes/relations.ts';
import { print } from '../print/printer.ts';
import { fill, type Hole, type Template } from '../print/template.ts';
import { boundsOf, boundsQuery } from '../prune.ts';
import type { SqlColumn, SqlResult, SqlStatement } from '../sql-session.ts';
import { emptyTableSql, tableSql } from '../tables.ts';
import { columnsOf } from './statement.ts';

// SELECT (and VALUES, WITH, set operations): rewritten for DuckDB, described over empty tables, run over a pinned view
// of each table that it names. Each run has a connection of its own, so that a result that is read slowly, or not to its
// end, is in nobody's way.

export interface SelectContext {
  readonly engine: Engine;
  readonly tables: Tables;
  /** Makes the session's facts known to a new connection. */
  readonly prepareConnection: (connection: DuckDBConnection) => Promise<void>;
  readonly statementTimeoutMs: () => number;
  readonly nowUs: () => number;
}

export interface SelectInput extends Pick<ParsedStatement, 'positionOf'> {
  readonly node: Node;
  /** Stands before the printed statement: `EXPLAIN `, or nothing. */
  readonly prefix: string;
  /** DuckDB's types of $1, $2, ... as the client declared them; null or absent where it did not. */
  readonly declaredTypes: readonly (string | null)[];
}

/** Rewrites and checks the statement. Throws SqlError. */
export async function selectStatement(input: SelectInput, context: SelectContext): Promise<SqlStatement> {
  const { node, positionOf, prefix } = input;
  const named = rewrite(node, columnNameRules);
  const rules = [
    ...relationRules(named, positionOf),
    ...functionRulesAt(positionOf),
    ...castRules,
    ...aliasRules,
  ];
  const root = rewrite(named, rules);
  const bounds = boundsOf(root);
  /** Prepares the statement over tables without rows: what its parameters and columns are. */
  async function describeAs(parameterTypes: readonly (string | undefined)[]): Promise<Printed> {
    const template = print(root, { positionOf, parameterTypes });
    const { sql, locationAt } = fill(template, (hole) =>
      hole.kind === 'now' ? nowSql(context.nowUs()) : emptyTableSql(hole.table),
    );
    const connection = await context.engine.connect();
    try {
      await context.prepareConnection(connection);
      const prepared = await connection.prepare(prefix + sql);
      const parameters = Array.from({ length: prepared.parameterCount }, (_, index) =>
        parameterTypeOf(prepared, index + 1),
      );
      return { template, parameters, ...describedColumns(prepared) };
    } catch (error) {
      throw fromDuckdb(error, prefix + sql, (offset) => positionOf(locationAt(offset - prefix.length)));
    } finally {
      connection.closeSync();
    }
  }

  /** A parameter whose type DuckDB leaves open is text, as in PostgreSQL. */
  async function describeOnce(): Promise<Printed> {
    const declared = input.declaredTypes.map((type) => type ?? undefined);
    const first = await describeAs(declared);
    if (!first.open && !first.parameters.includes(undefined)) return first;
    return describeAs(first.parameters.map((type, index) => declared[index] ?? type ?? 'VARCHAR'));
  }
  const { template, parameters, columns } = await describeOnce();

  async function pruneOf(
    connection: DuckDBConnection,
    table: Signal,
    nowUs: number,
    values: readonly (string | null)[],
  ): Promise<Prune> {
    const query = boundsQuery(bounds.get(table) ?? []);
    if (!query) return {};
    const { sql } = fill(print(query.select, { positionOf, parameterTypes: [] }), () => nowSql(nowUs));
    try {
      const prepared = await connection.prepare(sql);
      bind(prepared, values);
      const [row] = await (await prepared.run()).getRows();
      return row ? query.read(row) : {};
    } catch {
      // A bound that can't be computed alone restricts nothing; if it is wrong, the statement itself says so.
      return {};
    }
  }

  async function execute(values: readonly (string | null)[], signal: AbortSignal): Promise<SqlResult> {
    await using stack = new AsyncDisposableStack();
    const connection = await context.engine.connect();
    stack.defer(() => connection.closeSync());
    await context.prepareConnection(connection);
    const limit = limited(connection, signal, context.statementTimeoutMs());
    stack.use(limit);
    const nowUs = context.nowUs();
    const views = new Map<Signal, TableView>();
    for (const part of template.parts) {
      if (typeof part === 'string' || part.kind !== 'table' || views.has(part.table)) continue;
      const prune = await pruneOf(connection, part.table, nowUs, values);
      views.set(part.table, stack.use(await context.tables.open(part.table, prune, signal)));
    }
    const fillOf = (hole: Hole): string =>
      hole.kind === 'now' ? nowSql(nowUs) : tableSql(hole.table, views.get(hole.table)?.from ?? '');
    const { sql, locationAt } = fill(template, fillOf);
    const failed = (error: unknown): SqlError =>
      limit.reason() ??
      fromDuckdb(error, prefix + sql, (offset) => positionOf(locationAt(offset - prefix.length)));
    try {
      limit.check();
      const prepared = await connection.prepare(prefix + sql);
      bind(prepared, values);
      const result = await prepared.stream();
      const open = stack.move();
      return streamed(result, failed, () => open.disposeAsync());
    } catch (error) {
      throw failed(error);
    }
  }

  return {
    kind: 'select',
    parameterTypes: parameters.map((type) => type ?? null),
    describe: async () => columns,
    execute,
  };
}

interface Printed {
  readonly template: Template;
  /** DuckDB's types; undefined where it leaves one open. */
  readonly parameters: readonly (string | undefined)[];
  readonly columns: readonly SqlColumn[];
  readonly open: boolean;
}

/** `open` when DuckDB can't tell a column's type before every parameter has one. */
function describedColumns(prepared: DuckDBPreparedStatement): Pick<Printed, 'columns' | 'open'> {
  try {
    const columns = Array.from({ length: prepared.columnCount }, (_, index) => ({
      name: prepared.columnName(index),
      type: prepared.columnType(index).toString(),
    }));
    return { columns, open: false };
  } catch (error) {
    if (prepared.parameterCount === 0) throw error;
    return { columns: [], open: true };
  }
}

function parameterTypeOf(prepared: DuckDBPreparedStatement, index: number): string | undefined {
  try {
    const type = prepared.parameterType(index).toString();
    return type === 'ANY' || type === 'SQLNULL' ? undefined : type;
  } catch {
    return undefined; // DuckDB's way of saying that the type is open.
  }
}

/** Text for every parameter; DuckDB casts it to the type that the statement wants. */
function bind(prepared: DuckDBPreparedStatement, parameters: readonly (string | null)[]): void {
  const count = prepared.parameterCount;
  if (count > parameters.length) {
    throw new SqlError(
      '08P01',
      `bind message supplies ${parameters.length} parameters, but the statement requires ${count}`,
    );
  }
  for (let index = 1; index <= count; index++) {
    const value = parameters[index - 1];
    if (value === null || value === undefined) prepared.bindNull(index);
    else prepared.bindVarchar(index, value);
  }
}

/** Interrupts the connection when the signal is aborted or the time is up, and says which it was. */
function limited(connection: DuckDBConnection, signal: AbortSignal, timeoutMs: number) {
  let timedOut = false;
  const interrupt = (): void => connection.interrupt();
  signal.addEventListener('abort', interrupt);
  const timer = setTimeout(() => {
    timedOut = true;
    interrupt();
  }, timeoutMs);
  const reason = (): SqlError | undefined => {
    if (signal.aborted) return canceled('user request');
    return timedOut ? canceled('statement timeout') : undefined;
  };
  return {
    reason,
    check: () => {
      const error = reason();
      if (error) throw error;
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', interrupt);
    },
  };
}

function streamed(
  result: DuckDBResult,
  failed: (error: unknown) => SqlError,
  close: () => Promise<void>,
): SqlResult {
  return {
    columns: columnsOf(result),
    tag: 'SELECT',
    chunks: async function* () {
      try {
        for (;;) {
          const chunk = await result.fetchChunk();
          if (!chunk || chunk.rowCount === 0) return;
          yield chunk.getRows();
        }
      } catch (error) {
        throw failed(error);
      }
    },
    [Symbol.asyncDispose]: close,
  };
}

/** now() as a literal, exact to the microsecond. */
function nowSql(nowUs: number): string {
  return `make_timestamptz(${nowUs})`;
}

/** `SELECT` inside `EXPLAIN`, `DECLARE` and `COPY`. */
export const isSelect = (node: Node | undefined): boolean => as(node, 'SelectStmt') !== undefined;
