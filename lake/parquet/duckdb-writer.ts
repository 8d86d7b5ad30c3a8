import type { DuckDBConnection } from '@duckdb/node-api';
import { FirnError, messageOf } from '../base/errors.ts';
import { batchColumnsOf, columnOf } from '../schema/batch-columns.ts';
import { tableSchemas } from '../schema/tables.ts';
import { openDuckdb, sqlText } from '../sql/duckdb/engine.ts';
import { copyDays, seriesDdl } from './duckdb-copy.ts';
import { openRowAppender } from './duckdb-rows.ts';
import { rowDdl, rowTypesOf } from './row-table.ts';
import { type SegmentRows, type SegmentWriter, writerDefaults } from './segment-writer.ts';
import { rankSeries } from './series-order.ts';

export interface DuckdbWriterOptions {
  /** Memory for the rows of one call and for sorting them; beyond it a write fails with `limit`. */
  readonly writerMemoryBytesMax?: number;
}

/** Throws FirnError `unsupported` where DuckDB has no binary. One write at a time. */
export async function openDuckdbWriter(options: DuckdbWriterOptions = {}): Promise<SegmentWriter> {
  const { writerMemoryBytesMax } = { ...writerDefaults, ...options };
  // One thread: the order of row groups must not depend on which thread was first.
  const instance = await openDuckdb({
    threads: '1',
    memory_limit: `${Math.floor(writerMemoryBytesMax / 1024)}KiB`,
  });
  return {
    columns: 'field-ids',
    write: async (rows) => {
      const connection = await instance.connect();
      try {
        await loadRows(connection, rows);
        await loadSeries(connection, rows);
        return await copyDays(connection, rows.signal, sqlText(rows.site), rows.pathOf);
      } catch (error) {
        throw memoryLimit(error, 'write segment', writerMemoryBytesMax);
      } finally {
        connection.closeSync(); // and with it its temporary tables
      }
    },
    [Symbol.asyncDispose]: async () => instance.closeSync(),
  };
}

async function loadRows(connection: DuckDBConnection, { signal, batches }: SegmentRows): Promise<void> {
  await connection.run(`CREATE TEMP TABLE segment_rows (${rowDdl(signal)})`);
  using appender = await openRowAppender(connection, 'segment_rows', rowTypesOf(signal));
  const columns = batchColumnsOf(signal);
  for (const batch of batches) {
    appender.append(
      columns.map(({ name }) => columnOf(batch, name)),
      batch.rows,
    );
  }
}

async function loadSeries(connection: DuckDBConnection, { signal, labelsOf }: SegmentRows): Promise<void> {
  const { seriesColumn } = tableSchemas[signal];
  if (seriesColumn === undefined) return;
  const result = await connection.runAndReadAll(`SELECT DISTINCT "${seriesColumn}" FROM segment_rows`);
  const ids = result.getRows().map(([id]) => id as bigint);
  const series = rankSeries(signal, ids, labelsOf(ids));
  await connection.run(seriesDdl);
  using appender = await openRowAppender(connection, 'segment_series', [
    'BIGINT',
    'BIGINT',
    'VARCHAR',
    'VARCHAR',
  ]);
  const columns = [
    BigInt64Array.from(series, ({ id }) => id),
    BigInt64Array.from(series, (_, rank) => BigInt(rank)),
    series.map(({ name }) => name),
    series.map(({ labels }) => labels),
  ];
  appender.append(columns, series.length);
}

/** DuckDB says that its memory is full in words only. */
export function memoryLimit(error: unknown, operation: string, bytesMax: number): unknown {
  if (error instanceof FirnError || !/^Out of Memory|failed to pin block/i.test(messageOf(error)))
    return error;
  return new FirnError({
    code: 'limit',
    operation,
    subject: 'writerMemoryBytesMax',
    message: `the rows of one segment need more than ${bytesMax} bytes of memory`,
    hint: 'lower sealRowsMax or sealBytesMax, or raise writerMemoryBytesMax',
    cause: error,
  });
}
