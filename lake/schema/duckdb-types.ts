import type { ColumnType, TableSchema } from './tables.ts';

/** DuckDB's names of the types. */
export const duckdbTypes: Readonly<Record<ColumnType, string>> = {
  long: 'BIGINT',
  double: 'DOUBLE',
  string: 'VARCHAR',
  timestamptz: 'TIMESTAMPTZ',
};

/** A SELECT of a table's columns that yields no row. */
export function emptyRows({ columns }: TableSchema): string {
  const nulls = columns.map(({ name, type }) => `NULL::${duckdbTypes[type]} AS "${name}"`);
  return `SELECT ${nulls.join(', ')} WHERE false`;
}
