import { dirname } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import type { TableName } from '../model/table-name.ts';
import { batchColumnsOf } from '../schema/batch-columns.ts';
import { duckdbTypes } from '../schema/duckdb-types.ts';
import { type Column, dayText, type TableSchema, tableSchemas } from '../schema/tables.ts';
import { sqlText } from '../sql/duckdb/engine.ts';
import { publishFile, syncFolder } from './durable-file.ts';
import { columnSql, floorDivide, rowTimeOf, sortWithinSeries } from './row-table.ts';
import type { SegmentFile } from './segment-writer.ts';

// From two temporary tables to sorted Parquet files. `segment_rows` (row-table.ts) holds what differs from row to row,
// in order of arrival; `segment_series` the labels behind each id and its rank in the sort order. Only numbers go
// through the sort, and labels are looked up by rank afterwards: half the memory and three times the speed of sorting
// joined rows. Tables without series have no use for `segment_series`.

const US_PER_DAY = 86_400_000_000n;

export const seriesDdl =
  'CREATE TEMP TABLE segment_series (id BIGINT, rank BIGINT, name VARCHAR, labels VARCHAR)';

interface DaySummary {
  /** Days since the Unix epoch. */
  readonly day: number;
  readonly rows: number;
  readonly minUs: bigint;
  readonly maxUs: bigint;
  readonly bounds: SegmentFile['bounds'];
  /** Optional columns in which every row is null. */
  readonly empty: ReadonlySet<string>;
  /** See `mixedZeroOrNan`. */
  readonly mixed: boolean;
}

/**
 * DuckDB's dictionaries compare doubles with `==` and NaN with NaN, so that all NaNs and both zeros of a row group
 * become whichever came first (duckdb/duckdb#25781): a gap marker would turn every other NaN into a gap. A file that
 * has more than one of them in a column is written without dictionaries.
 */
const mixedZeroOrNan = ({ name }: Column): string => `(
  count(DISTINCT CASE WHEN isnan("${name}") THEN "${name}"::BIT::BIGINT END) > 1
  OR (coalesce(bool_or("${name}" = 0 AND signbit("${name}")), false)
    AND coalesce(bool_or("${name}" = 0 AND NOT signbit("${name}")), false)))`;

const rankOf = ({ seriesColumn }: TableSchema): string =>
  seriesColumn === undefined ? '' : `JOIN segment_series ON id = "${seriesColumn}"`;

/** The smallest and largest value of a column as SQL of text. */
function boundSql(schema: TableSchema, name: string): [min: string, max: string] {
  const column = schema.columns.find((each) => each.name === name);
  if (name === 'timestamp') {
    const { us } = rowTimeOf(schema);
    return [`min(${us})::VARCHAR`, `max(${us})::VARCHAR`];
  }
  if (column?.source !== 'series') return [`min("${name}")::VARCHAR`, `max("${name}")::VARCHAR`];
  // Series are ranked by it first.
  return [`min_by("${name}", rank)`, `max_by("${name}", rank)`];
}

async function summarize(connection: DuckDBConnection, schema: TableSchema): Promise<DaySummary[]> {
  const { us } = rowTimeOf(schema);
  const columns = batchColumnsOf(schema.table);
  const optional = columns.filter(({ type, required }) => !required && type !== 'double');
  const mixed = columns.filter(({ type }) => type === 'double').map(mixedZeroOrNan);
  const result = await connection.runAndReadAll(`
    SELECT ${floorDivide(us, US_PER_DAY)} AS day, count(*) AS n, min(${us}) AS min_us, max(${us}) AS max_us,
      ${mixed.join(' OR ') || 'false'} AS mixed,
      [${schema.boundColumns.flatMap((name) => boundSql(schema, name)).join(', ')}] AS bounds,
      [${optional.map(({ name }) => `count("${name}") = 0`).join(', ')}] AS empty
    FROM segment_rows ${rankOf(schema)} GROUP BY day ORDER BY day`);
  return result.getRowsJS().map((row): DaySummary => {
    const [day, rows, minUs, maxUs, isMixed, bounds, empty] = row as [
      ...[bigint, bigint, bigint, bigint, boolean],
      ...[string[], boolean[]],
    ];
    return {
      day: Number(day),
      rows: Number(rows),
      minUs,
      maxUs,
      bounds: Object.fromEntries(
        schema.boundColumns.map((name, index) => {
          return [name, { nulls: 0, min: bounds[2 * index] ?? '', max: bounds[2 * index + 1] ?? '' }];
        }),
      ),
      empty: new Set(optional.filter((_, index) => empty[index]).map(({ name }) => name)),
      mixed: isMixed,
    };
  });
}

/**
 * Writes the rows of the two tables: a file for each day. `site` is SQL: a literal, or the column `site` where
 * `segment_rows` has one.
 */
export async function copyDays(
  connection: DuckDBConnection,
  signal: TableName,
  site: string,
  pathOf: (day: string) => string,
): Promise<SegmentFile[]> {
  const schema = tableSchemas[signal];
  const files: SegmentFile[] = [];
  for (const summary of await summarize(connection, schema)) {
    const day = dayText(summary.day);
    const path = pathOf(day);
    const temporaryPath = `${path}.tmp`;
    await connection.run(copySql(schema, site, summary, temporaryPath));
    const { bytes, sha256 } = await publishFile(temporaryPath, path);
    const { rows, minUs, maxUs, bounds } = summary;
    const timestamps = { minTimestampUs: Number(minUs), maxTimestampUs: Number(maxUs) };
    files.push({ day, path, rows, bytes, sha256, ...timestamps, bounds });
  }
  for (const folder of new Set(files.map(({ path }) => dirname(path)))) await syncFolder(folder);
  return files;
}

function copySql(schema: TableSchema, site: string, summary: DaySummary, path: string): string {
  const { columns, seriesColumn } = schema;
  const time = rowTimeOf(schema);
  const start = BigInt(summary.day) * US_PER_DAY * time.unitsPerUs;
  const end = start + US_PER_DAY * time.unitsPerUs;
  const ofSeries = (name: string) => `(SELECT list(${name} ORDER BY rank) FROM segment_series)[rank + 1]`;
  const select = columns.map((column) => {
    // A column of nothing but nulls need not go through the sort.
    const value = summary.empty.has(column.name) ? nullOf(column) : columnSql(column, { site, ofSeries });
    return `${value} AS "${column.name}"`;
  });
  const within = sortWithinSeries(schema).map((name) => `"${name}"`);
  const order = [...(seriesColumn === undefined ? [] : ['rank']), ...within, 'r.rowid'];
  return `COPY (SELECT ${select.join(', ')} FROM (
      SELECT r.*${seriesColumn === undefined ? '' : ', rank'} FROM segment_rows r ${rankOf(schema)}
      WHERE ${time.column} >= ${start} AND ${time.column} < ${end} ORDER BY ${order.join(', ')}
    )) TO ${sqlText(path)} (${copyOptions(columns, summary.mixed)})`;
}

const nullOf = ({ type }: Column): string => `NULL::${duckdbTypes[type]}`;

function copyOptions(columns: readonly Column[], exactDoubles: boolean): string {
  const ids = columns.map(({ name, fieldId }) => `"${name}": ${fieldId}`).join(', ');
  const options = ['FORMAT parquet', 'COMPRESSION zstd', 'USE_TMP_FILE false', `FIELD_IDS {${ids}}`];
  return [...options, ...(exactDoubles ? ['DICTIONARY_SIZE_LIMIT 0'] : [])].join(', ');
}
