import type { DuckDBConnection } from '@duckdb/node-api';
import { as, namesOf } from '../ast.ts';
import { interruptOnAbort } from '../duckdb/interrupt.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { notSupported, SqlError } from '../errors.ts';
import { identifier } from '../print/expression.ts';
import type { CopiedRows, SqlColumn, SqlResult, SqlStatement } from '../sql-session.ts';
import type { TempTable } from '../temp-tables.ts';
import { listText } from './bind.ts';
import { copyFormat } from './copy.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { tempTarget } from './modify.ts';
import { done } from './statement.ts';

// COPY table FROM STDIN into a temporary table. What the client sends comes as text, is kept as text beside the table, and
// goes into it in one statement: all of it, or nothing.

/** The statement, or undefined when the node is none, or its table is not temporary. Throws SqlError. */
export function copyFromStatement(input: SelectInput, context: SelectContext): SqlStatement | undefined {
  const copy = as(input.node, 'CopyStmt');
  const position = input.positionOf(0);
  if (!copy?.is_from) return undefined;
  if (copy.filename !== undefined || copy.is_program)
    throw new SqlError('42501', `permission denied to COPY from a ${copy.is_program ? 'program' : 'file'}`, {
      position,
      hint: 'COPY ... FROM STDIN (or \\copy of psql) takes the rows from the client',
    });
  const table = tempTarget(copy.relation, context.temp);
  if (!table) return undefined;
  if (copy.whereClause) throw notSupported('COPY FROM with WHERE', position, 'DELETE the rows afterwards');
  const columns = columnsOf(table, namesOf(copy.attlist));
  return {
    kind: 'command',
    parameterTypes: [],
    describe: async () => undefined,
    execute: async () => {
      throw notSupported('COPY FROM STDIN over this protocol', position);
    },
    copyIn: {
      ...{ format: copyFormat(copy.options ?? [], position, 'from STDIN'), columns },
      load: (rows, signal) =>
        context.temp.change(table.name, ({ from }) => load(from, columns, rows, signal, context)),
    },
  };
}

function columnsOf({ columns }: TempTable, names: readonly string[]): readonly SqlColumn[] {
  if (names.length === 0) return columns;
  return names.map((name) => {
    const column = columns.find((each) => each.name === name);
    if (!column) throw new SqlError('42703', `column "${name}" does not exist`);
    return column;
  });
}

const staging = 'firn_copy';

async function load(
  from: string,
  columns: readonly SqlColumn[],
  rows: CopiedRows,
  signal: AbortSignal,
  { lease }: SelectContext,
): Promise<SqlResult> {
  using leased = await lease();
  const { connection } = leased;
  await connection.run(
    `CREATE OR REPLACE TEMP TABLE ${staging} (${columns.map((_, index) => `c${index} VARCHAR`).join(', ')})`,
  );
  using _interruption = interruptOnAbort(connection, signal);
  const names = columns.map(({ name }) => identifier(name)).join(', ');
  const values = columns.map(({ type }, index) => valueSql(`c${index}`, type)).join(', ');
  const sql = `INSERT INTO ${from} (${names}) SELECT ${values} FROM temp.${staging}`;
  try {
    await stage(connection, columns, rows);
    const { rowsChanged } = await connection.run(sql);
    await connection.run(`DROP TABLE temp.${staging}`);
    leased.reusable = true;
    return done(`COPY ${rowsChanged}`);
  } catch (error) {
    throw fromDuckdb(error, sql, () => undefined);
  }
}

async function stage(
  connection: DuckDBConnection,
  columns: readonly SqlColumn[],
  rows: CopiedRows,
): Promise<void> {
  const appender = await connection.createAppender(staging, undefined, 'temp');
  try {
    for await (const some of rows) {
      for (const row of some) {
        columns.forEach(({ type }, index) => {
          const text = row[index] ?? null;
          if (text === null) appender.appendNull();
          else appender.appendVarchar(type.endsWith('[]') ? listText(text, type) : text);
        });
        appender.endRow();
      }
    }
  } finally {
    appender.closeSync();
  }
}

/** PostgreSQL's text of a value in the column's type. */
function valueSql(column: string, type: string): string {
  if (type === 'VARCHAR') return column;
  if (type === 'BLOB')
    return `CASE WHEN starts_with(${column}, '\\x') THEN unhex(${column}[3:]) ELSE encode(${column}) END`;
  return `CAST(${column} AS ${type})`;
}
