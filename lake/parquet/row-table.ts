import type { TableName } from '../model/table-name.ts';
import { batchColumnsOf } from '../schema/batch-columns.ts';
import { type Column, type TableSchema, tableSchemas } from '../schema/tables.ts';
import type { RowType } from './duckdb-rows.ts';

// A table in DuckDB's memory that holds the rows of batches: the columns that batches bring, by their names, with times
// as integers. The rest is put together when rows are read from it.

const rowTypes: Readonly<Record<Column['type'], RowType>> = {
  long: 'BIGINT',
  timestamptz: 'BIGINT',
  double: 'DOUBLE',
  string: 'VARCHAR',
};

const quoted = (name: string): string => `"${name}"`;

export const rowTypesOf = (signal: TableName): RowType[] =>
  batchColumnsOf(signal).map(({ type }) => rowTypes[type]);

/** For CREATE TABLE. */
export const rowDdl = (signal: TableName): string =>
  batchColumnsOf(signal)
    .map(({ name, type }) => `"${name}" ${rowTypes[type]}`)
    .join(', ');

/** A SELECT list that makes such rows of a table's files; columns that none of them has are null. */
export function rowsOfFile(signal: TableName, present: ReadonlySet<string>): string {
  return batchColumnsOf(signal)
    .map(({ name, type }) => {
      const value = type === 'timestamptz' ? `epoch_us("${name}")` : quoted(name);
      return `${present.has(name) ? value : `NULL::${rowTypes[type]}`} AS "${name}"`;
    })
    .join(', ');
}

/** A column of the table as SQL over its rows. */
export function columnSql(
  { name, type, source }: Column,
  parts: { readonly site: string; readonly ofSeries: (name: string) => string },
): string {
  if (source === 'site') return parts.site;
  if (source === 'series') return parts.ofSeries(name);
  if (source !== 'batch') return `make_timestamptz(${microseconds(quoted(source.nanoseconds))})`;
  return type === 'timestamptz' ? `make_timestamptz("${name}")` : quoted(name);
}

export interface RowTime {
  /** SQL of the integer column that `timestamp` comes from. */
  readonly column: string;
  readonly unitsPerUs: bigint;
  /** SQL of its microseconds. */
  readonly us: string;
}

export function rowTimeOf({ columns, table }: TableSchema): RowTime {
  const source = columns.find(({ name }) => name === 'timestamp')?.source;
  if (source === 'batch') return { column: '"timestamp"', unitsPerUs: 1n, us: '"timestamp"' };
  if (typeof source !== 'object') throw new TypeError(`table ${table} has no timestamp of its own`);
  const column = quoted(source.nanoseconds);
  return { column, unitsPerUs: 1000n, us: microseconds(column) };
}

/** Columns that rows are sorted by after the rank of their series, where they have one. */
export function sortWithinSeries({ sortBy, columns, seriesColumn }: TableSchema): string[] {
  const own = columns.filter(({ name, source }) => source === 'batch' && name !== seriesColumn);
  return sortBy.filter((name) => own.some((column) => column.name === name));
}

/** Whether the rows have the name of their series as a column, by which series are then ordered first. */
export const hasSeriesName = (signal: TableName): boolean =>
  tableSchemas[signal].columns.some(({ name, source }) => name === 'name' && source === 'series');

/** Division that rounds down, as days before 1970 need it; DuckDB's `//` rounds towards zero. */
export const floorDivide = (value: string, by: bigint): string =>
  `((${value} // ${by}) - CAST(${value} % ${by} < 0 AS BIGINT))`;

const microseconds = (nanoseconds: string): string => floorDivide(nanoseconds, 1000n);
