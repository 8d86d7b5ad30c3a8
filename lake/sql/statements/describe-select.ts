import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';
import type { Node } from 'libpg-query';
import type { Tables, UserTableInfo } from '../../tables.ts';
import { type OwnRelation, showOwnTables } from '../catalog/user-relations.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { SqlError } from '../errors.ts';
import type { Languages } from '../languages.ts';
import type { ParsedStatement } from '../parse.ts';
import { type LanguageCall, parametersOf } from '../passes/language-calls.ts';
import { type Filled, fill, type Template } from '../print/template.ts';
import type { TableBounds } from '../prune.ts';
import type { SqlColumn } from '../sql-session.ts';
import { emptyTableSql } from '../tables.ts';
import type { TempTables } from '../temp-tables.ts';
import type { Connections } from './connections.ts';
import { emptyLanguageTable } from './language-tables.ts';
import { typeName } from './statement.ts';

// What a SELECT's parameters and columns are, without running it: DuckDB prepares it over tables without rows.

export interface SelectContext {
  readonly tables: Tables;
  /** The one that a name in three parts may start with. */
  readonly database: string;
  readonly lease: Connections['lease'];
  readonly statementTimeoutMs: () => number;
  /** Temporary tables of the session. */
  readonly temp: TempTables;
  /** Absent where no other language can be asked. */
  readonly languages: Languages | undefined;
  /** Rows of one result. */
  readonly rowsMax: number;
  readonly nowUs: () => number;
}

export interface SelectInput extends Pick<ParsedStatement, 'positionOf' | 'travels'> {
  readonly node: Node;
  /** Stands before the printed statement: `EXPLAIN `, or nothing. */
  readonly prefix: string;
  /** DuckDB's types of $1, $2, ... as the client declared them; null or absent where it did not. */
  readonly declaredTypes: readonly (string | null)[];
  /** Whether it shall be found wrong before it runs. */
  readonly isPrepared: boolean;
}

/** A statement whose passes are done. */
export interface RewrittenSelect extends Omit<SelectInput, 'node' | 'isPrepared'> {
  /** DuckDB's SQL, with casts of parameters to these types. */
  readonly print: (parameterTypes: readonly (string | undefined)[]) => Template;
  /** Types that parameters have where DuckDB leaves them open; text where this does, too. */
  readonly assumedTypes: readonly (string | undefined)[];
  readonly bounds: TableBounds;
  readonly asksCatalog: boolean;
  /** May be true where that is not known. */
  readonly hasParameters: boolean;
  /** Tables may have text in their columns of JSON: these are only extracted from, or given out as they are described. */
  readonly jsonAsText: boolean;
  /** Its result is one row at most. */
  readonly isSingleRow: boolean;
  /** The reader of the result stops after so many rows. */
  readonly rowsWanted: number;
  /** As they are when the statement is described. */
  readonly userTables: readonly UserTableInfo[];
  /** What it asks of other languages. */
  readonly calls: readonly LanguageCall[];
}

export interface DescribedSelect {
  readonly template: Template;
  /** DuckDB's types; undefined where it leaves one open. */
  readonly parameters: readonly (string | undefined)[];
  readonly columns: readonly SqlColumn[];
  readonly open: boolean;
}

/** `open` when DuckDB can't tell a column's type before every parameter has one. */
function describedColumns(prepared: DuckDBPreparedStatement): Pick<DescribedSelect, 'columns' | 'open'> {
  try {
    const columns = Array.from({ length: prepared.columnCount }, (_, index) => ({
      name: prepared.columnName(index),
      type: typeName(prepared.columnType(index)),
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

/** Descriptions go with the statement that they are of, which may be remembered (remembered.ts). */
const known = new WeakMap<RewrittenSelect, Promise<DescribedSelect>>();

/** A parameter whose type DuckDB leaves open is text, as in PostgreSQL. Throws SqlError. */
export function describeSelect(select: RewrittenSelect, context: SelectContext): Promise<DescribedSelect> {
  const described = known.get(select) ?? describeAnew(select, context);
  known.set(select, described);
  // An error may be of the moment: that memory was short.
  described.catch(() => known.delete(select));
  return described;
}

async function describeAnew(select: RewrittenSelect, context: SelectContext): Promise<DescribedSelect> {
  const declared = select.declaredTypes.map((type) => type ?? undefined);
  const first = await describeAs(select, context, declared);
  if (!first.open && !first.parameters.includes(undefined)) return first;
  const types = first.parameters.map(
    (type, index) => declared[index] ?? type ?? select.assumedTypes[index] ?? 'VARCHAR',
  );
  return describeAs(select, context, types);
}

async function describeAs(
  select: RewrittenSelect,
  context: SelectContext,
  parameterTypes: readonly (string | undefined)[],
): Promise<DescribedSelect> {
  const template = select.print(parameterTypes);
  const filled = fill(template, (hole) =>
    hole.kind === 'now'
      ? nowSql(context.nowUs())
      : hole.kind === 'user-table'
        ? emptyUserTable(select.userTables, hole.name)
        : hole.kind === 'temp-table'
          ? tempTableSql(context, hole.name)
          : hole.kind === 'language'
            ? emptyLanguageTable(select.calls[hole.index]?.language ?? 'promql')
            : emptyTableSql(hole.table, hole.plain),
  );
  using lease = await context.lease();
  try {
    if (select.asksCatalog) await showTables(lease.connection, context);
    const prepared = await lease.connection.prepare(select.prefix + filled.sql);
    lease.reusable = true;
    const count = Math.max(prepared.parameterCount, parametersOf(select.calls));
    const parameters = Array.from({ length: count }, (_, index) => parameterTypeOf(prepared, index + 1));
    const columns = describedColumns(prepared);
    // Its plan would stay in memory until JavaScript's garbage is collected.
    prepared.destroySync();
    return { template, parameters, ...columns };
  } catch (error) {
    throw failureOf(select, filled, error);
  }
}

function emptyUserTable(tables: readonly UserTableInfo[], name: string): string {
  const { columns = [] } = tables.find((table) => table.name === name) ?? {};
  const nulls = columns.map((column) => `NULL::${column.type} AS "${column.name.replaceAll('"', '""')}"`);
  return `(SELECT ${nulls.join(', ')} WHERE false)`;
}

/** Throws SqlError 42P01 for one that was dropped since the statement was prepared. */
export function tempTableSql({ temp }: SelectContext, name: string): string {
  const table = temp.find(name);
  if (table) return table.from;
  throw new SqlError('42P01', `relation "${name}" does not exist`);
}

/** Lets PostgreSQL's catalog list the tenant's own tables, and what is temporary in the session. */
export async function showTables(
  connection: DuckDBConnection,
  { tables, temp }: SelectContext,
): Promise<void> {
  const userTables = (await tables.userTables?.list()) ?? [];
  const own: readonly OwnRelation[] = [
    ...temp.list().map(({ name, columns }) => ({ name, columns, isTemp: true, kind: 'r' as const })),
    ...temp.views.list().map((view) => ({ ...view, isTemp: true, kind: 'v' as const })),
    ...temp.sequences.list().map(({ name }) => ({ name, columns: [], isTemp: true, kind: 'S' as const })),
    ...userTables.map((table) => ({ ...table, isTemp: false, kind: 'r' as const })),
  ];
  await connection.run(showOwnTables(own));
}

/** DuckDB's error in PostgreSQL's terms, at its place in the client's text. */
export function failureOf(
  { prefix, positionOf }: Pick<SelectInput, 'prefix' | 'positionOf'>,
  { sql, locationAt }: Filled,
  error: unknown,
): SqlError {
  return fromDuckdb(error, prefix + sql, (offset) => positionOf(locationAt(offset - prefix.length)));
}

/** now() as a literal, exact to the microsecond. */
export function nowSql(nowUs: number): string {
  return `make_timestamptz(${nowUs})`;
}
