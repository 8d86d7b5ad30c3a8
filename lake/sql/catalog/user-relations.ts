import type { UserTableInfo } from '../../tables.ts';
import { literal } from '../print/expression.ts';
import { type PgType, pgType } from './type-table.ts';

// Tables that the tenant loaded itself, in PostgreSQL's catalog. They come and go, so they are no constants: a statement
// that asks for them finds them in a variable of its connection, and a session that may not see them has none.

const variable = 'firn_user_tables';
const columnType =
  'STRUCT(number INTEGER, name VARCHAR, oid BIGINT, type VARCHAR, title VARCHAR, category VARCHAR, length INTEGER)';
const tableType = `STRUCT(oid BIGINT, name VARCHAR, columns ${columnType}[])`;

/** FROM text that yields a table as `t`, and each of its columns as `c`. */
export const fromUserTables = `(SELECT unnest(CAST(getvariable('${variable}') AS ${tableType}[])) AS t)`;
export const fromUserColumns = `(SELECT t, unnest(t.columns) AS c FROM ${fromUserTables})`;

/** Their object ids are these and after, far from all others. */
export const firstUserOid = 2 ** 30;

const pgNames: Readonly<Record<string, string>> = {
  BOOLEAN: 'bool',
  BIGINT: 'int8',
  DOUBLE: 'float8',
  DATE: 'date',
  TIMESTAMP: 'timestamp',
  TIMESTAMPTZ: 'timestamptz',
};

/** The statement that makes them known to a connection. */
export function showUserTables(tables: readonly UserTableInfo[]): string {
  const rows = tables.map(({ name, columns }) => {
    const list = columns.map((column, index) => {
      const { oid, name: type, title, category, length }: PgType = pgType(pgNames[column.type] ?? 'text');
      const texts = `'name': ${literal(column.name)}, 'type': ${literal(type)}, 'title': ${literal(title)}`;
      return `{'number': ${index + 1}, ${texts}, 'oid': ${oid}, 'category': ${literal(category)}, 'length': ${length}}`;
    });
    return `{'oid': ${oidOf(name)}, 'name': ${literal(name)}, 'columns': [${list.join(', ')}]}`;
  });
  return `SET VARIABLE ${variable} = [${rows.join(', ')}]`;
}

/** The same for a name always, also when others come and go (FNV-1a). Of the row's type it is one more. */
function oidOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return firstUserOid + (hash % 2 ** 29) * 2;
}
