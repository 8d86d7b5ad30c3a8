import type { DuckDBConnection } from '@duckdb/node-api';
import type { TableName } from '../model/table-name.ts';
import { tableSchemas } from '../schema/tables.ts';
import { openDuckdb, sqlText } from '../sql/duckdb/engine.ts';
import { copyDays, seriesDdl } from './duckdb-copy.ts';
import { memoryLimit } from './duckdb-writer.ts';
import { type MergeRequest, otherRows } from './merge-request.ts';
import { hasSeriesName, rowsOfFile } from './row-table.ts';
import type { SegmentFile } from './segment-writer.ts';

/**
 * Writes one segment that holds the rows of several, durable when it resolves. The inputs stay as they are. Throws
 * FirnError `corrupt` when they do not hold the rows that they should, `limit` when they don't fit.
 */
export async function mergeSegments(request: MergeRequest<TableName>): Promise<SegmentFile> {
  const { signal, paths, rows, path, writerMemoryBytesMax, spillDirectory } = request;
  const instance = await openDuckdb({
    threads: '1',
    memory_limit: `${Math.floor(writerMemoryBytesMax / 1024)}KiB`,
    temp_directory: spillDirectory,
  });
  const connection = await instance.connect();
  try {
    await showFiles(connection, signal, paths);
    const files = await copyDays(connection, signal, 'site', () => path);
    const [file] = files;
    if (file === undefined || files.length > 1 || file.rows !== rows)
      throw otherRows(
        path,
        rows,
        files.map((each) => `${each.rows} of ${each.day}`),
      );
    return file;
  } catch (error) {
    throw memoryLimit(error, 'merge segments', writerMemoryBytesMax);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

/**
 * Shows the rows of files as a view, with the columns of `segment_rows` and its `rowid`, without taking them into memory.
 * Files that were written before a column was added lack it.
 */
export async function showFiles(
  connection: DuckDBConnection,
  signal: TableName,
  paths: readonly string[],
  view = 'segment_rows',
): Promise<void> {
  const list = `[${paths.map(sqlText).join(', ')}]`;
  const from = `read_parquet(${list}, union_by_name = true, hive_partitioning = false, file_row_number = true)`;
  const names = await connection.runAndReadAll(`SELECT DISTINCT name FROM parquet_schema(${list})`);
  const present = new Set(names.getRows().map(([name]) => String(name)));
  await connection.run(
    `CREATE TEMP VIEW ${view} AS SELECT ${rowsOfFile(signal, present)}, site,
      (file_index::BIGINT << 32) + file_row_number AS rowid FROM ${from}`,
  );
  const { seriesColumn } = tableSchemas[signal];
  if (seriesColumn === undefined) return;
  await connection.run(seriesDdl);
  const name = hasSeriesName(signal) ? 'min(name)' : "''";
  await connection.run(`INSERT INTO segment_series
    SELECT id, row_number() OVER (ORDER BY name, id) - 1, name, labels FROM
    (SELECT "${seriesColumn}" AS id, ${name} AS name, min(labels) AS labels FROM ${from} GROUP BY 1)`);
}
