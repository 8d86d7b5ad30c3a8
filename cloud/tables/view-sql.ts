import type { ColumnType, TableSchema } from '../../lake/schema/tables.ts';
import { sqlText } from '../../lake/sql/duckdb/engine.ts';

const duckdbTypes: Readonly<Record<ColumnType, string>> = {
  long: 'BIGINT',
  double: 'DOUBLE',
  string: 'VARCHAR',
  timestamptz: 'TIMESTAMPTZ',
};

/**
 * A FROM clause over Parquet files: the schema's columns in their order and types, whatever else the files hold.
 * Columns go by name, because segments from gateways without DuckDB carry no field ids.
 */
export function viewSql(schema: TableSchema, paths: readonly string[]): string {
  const columns = schema.columns.map(({ name, type }) => {
    const source = paths.length === 0 ? 'NULL' : `"${name}"`;
    return `${source}::${duckdbTypes[type]} AS "${name}"`;
  });
  if (paths.length === 0) return `(SELECT ${columns.join(', ')} WHERE false)`;
  const list = paths.map((path) => sqlText(literalGlob(path))).join(', ');
  return `(SELECT ${columns.join(', ')} FROM read_parquet([${list}], union_by_name = true, hive_partitioning = false))`;
}

/** DuckDB reads paths as patterns; this matches only the path itself. */
const literalGlob = (path: string): string => path.replace(/[*?[]/g, '[$&]');
