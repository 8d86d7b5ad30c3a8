import { duckdbTypes, emptyRows } from '../schema/duckdb-types.ts';
import type { TableSchema } from '../schema/tables.ts';
import { sqlText } from '../sql/duckdb/engine.ts';

/**
 * A FROM clause over Parquet files: the schema's columns in their order and types, whatever else the files hold, and
 * null in files that were written before a column was added. Columns go by name, because not every file carries field
 * ids.
 */
export function filesSql(schema: TableSchema, paths: readonly string[]): string {
  const nothing = emptyRows(schema);
  if (paths.length === 0) return `(${nothing})`;
  const list = paths.map((path) => sqlText(literalGlob(path))).join(', ');
  const files = `SELECT * FROM read_parquet([${list}], union_by_name = true, hive_partitioning = false)`;
  const columns = schema.columns.map(({ name, type }) => `"${name}"::${duckdbTypes[type]} AS "${name}"`);
  // Not all of the files need have a column, not even one of them.
  return `(SELECT ${columns.join(', ')} FROM (${nothing} UNION ALL BY NAME ${files}))`;
}

/** DuckDB reads paths as patterns; this matches only the path itself. */
const literalGlob = (path: string): string => path.replace(/[*?[]/g, '[$&]');
