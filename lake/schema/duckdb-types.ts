import type { ColumnType } from './tables.ts';

/** DuckDB's names of the types. */
export const duckdbTypes: Readonly<Record<ColumnType, string>> = {
  long: 'BIGINT',
  double: 'DOUBLE',
  string: 'VARCHAR',
  timestamptz: 'TIMESTAMPTZ',
};
