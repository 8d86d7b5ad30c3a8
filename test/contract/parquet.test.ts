import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Batch, type Signal, signals } from '../../lake/model/batch.ts';
import { mergeSegments } from '../../lake/parquet/duckdb-merge.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { mergeInMemory } from '../../lake/parquet/merge-in-memory.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import { segmentWriterContract } from './parquet.ts';
import {
  eventsBatch,
  exemplarsBatch,
  gapsBatch,
  logsBatch,
  type MetricRow,
  metricsBatch,
  rollupsBatch,
  seriesOf,
  spansBatch,
} from './rows.ts';

segmentWriterContract('duckdb', () => openDuckdbWriter());
segmentWriterContract('parquetjs', async () => openParquetjsWriter());
// Row groups of a few rows, so that every boundary is met.
segmentWriterContract(
  'parquetjs, small row groups',
  async () => openParquetjsWriter({ rowGroupRowsMax: 7, rowGroupCharsMax: 50 }),
  3000,
);

test('DuckDB reads files of both writers as one table, and prunes by their statistics', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'firn-parquet-'));
  await using duckdb = await openDuckdbWriter();
  await using parquetjs = openParquetjsWriter();
  const rows = (first: bigint): MetricRow[] => [
    [first, 1_700_000_000_000_000n, 0x3ff0000000000000n],
    [-first, 1_700_000_000_000_001n, 0x4000000000000000n],
  ];
  const paths: string[] = [];
  for (const [index, writer] of [duckdb, parquetjs].entries()) {
    const [file] = await writer.write({
      signal: 'metrics',
      site: 'plant',
      batches: [metricsBatch(rows(BigInt(index + 1)))],
      labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id < 0n ? -id : id)])),
      pathOf: (day) => join(folder, `${index}-${day}.parquet`),
    });
    paths.push(file?.path ?? '');
  }
  const instance = await openDuckdb({});
  const connection = await instance.connect();
  try {
    const from = `read_parquet([${paths.map(sqlText).join(', ')}])`;
    const types = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${from}`);
    expect(types.getRows().map(([name, type]) => [name, type])).toEqual([
      ['name', 'VARCHAR'],
      ['series_id', 'BIGINT'],
      ['timestamp', 'TIMESTAMP WITH TIME ZONE'],
      ['value', 'DOUBLE'],
      ['labels', 'VARCHAR'],
      ['site', 'VARCHAR'],
      ['quality', 'VARCHAR'],
      ['device_timestamp', 'TIMESTAMP WITH TIME ZONE'],
      ['histogram', 'VARCHAR'],
      ['start_timestamp', 'TIMESTAMP WITH TIME ZONE'],
    ]);
    const found = await connection.runAndReadAll(
      `SELECT series_id, epoch_us(timestamp), value FROM ${from} WHERE series_id IN (1, -2) ORDER BY 1`,
    );
    expect(found.getRows()).toEqual([
      [-2n, 1_700_000_000_000_001n, 2],
      [1n, 1_700_000_000_000_000n, 1],
    ]);
    const bounds = await connection.runAndReadAll(
      `SELECT stats_min_value, stats_max_value FROM parquet_metadata(${sqlText(paths[1] ?? '')})
       WHERE path_in_schema = 'series_id'`,
    );
    expect(bounds.getRows()).toEqual([['-2', '2']]);
  } finally {
    connection.closeSync();
    instance.closeSync();
    rmSync(folder, { recursive: true, force: true });
  }
});

test.each(signals)(
  '%s: files of both writers merge into one with the same rows, in order',
  async (signal) => {
    const folder = mkdtempSync(join(tmpdir(), 'firn-parquet-'));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const noonUs = 1_728_043_200_000_000n;
    const batchAt = (at: bigint): Readonly<Record<Signal, Batch>> => ({
      metrics: metricsBatch([
        [1n, at, 0x7ff0000000000002n],
        [2n, at, 0n, 'device-past', at - 1n],
        [2n, at + 1n, 0x7ff8000000000000n, null, null, '{}', at - 5n],
      ]),
      logs: logsBatch([[1n, at * 1000n, 'a', null, 'info', 'device-future', at + 1n]]),
      spans: spansBatch([
        ['b', at * 1000n, 1n, null],
        ['a', at * 1000n + 1n, 2n, 'x'],
      ]),
      events: eventsBatch([
        ['b', at * 1000n, 'x'],
        ['a', at * 1000n + 1n, null],
      ]),
      metrics_1m: rollupsBatch([
        [1n, at, 0x7ff0000000000002n, 3n],
        [2n, at, -(2n ** 63n), 60n],
      ]),
      gaps: gapsBatch([
        [at, at + 60n, 'b', null, null],
        [at - 1n, at, 'a', 5n, 'sda'],
      ]),
      exemplars: exemplarsBatch([
        [1n, at, 0x7ff0000000000002n, 'ab'],
        [2n, at, 0n, null],
      ]),
    });
    const paths: string[] = [];
    let rows = 0;
    for (const [index, writer] of [await openDuckdbWriter(), openParquetjsWriter()].entries()) {
      stack.use(writer);
      const files = await writer.write({
        signal,
        site: 'plant',
        batches: [batchAt(noonUs + 10n - BigInt(index))[signal]],
        labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
        pathOf: () => join(folder, `${index}.parquet`),
      });
      paths.push(...files.map(({ path }) => path));
      rows += files.reduce((sum, file) => sum + file.rows, 0);
    }
    const path = join(folder, 'merged.parquet');
    const limits = { writerMemoryBytesMax: 64e6, spillDirectory: folder };
    const request = { signal, paths, rows, path, ...limits };
    const merged = await mergeSegments(request);
    expect(Object.keys(merged.bounds)).toEqual(tableSchemas[signal].boundColumns);
    const inMemory = join(folder, 'in-memory.parquet');
    const same = await mergeInMemory({ ...request, path: inMemory }, 'plant', openParquetjsWriter());
    expect(same.bounds).toEqual(merged.bounds);
    await expect(
      mergeInMemory({ ...request, rows: rows + 1 }, 'plant', openParquetjsWriter()),
    ).rejects.toThrow(`should hold ${rows + 1} rows`);
    const instance = await openDuckdb({ threads: '1' });
    stack.defer(async () => instance.closeSync());
    const connection = await instance.connect();
    stack.defer(() => connection.closeSync());
    const { columns, sortBy } = tableSchemas[signal];
    const select = columns.map(({ name, type }) =>
      type === 'double' ? `"${name}"::BIT::VARCHAR` : `"${name}"`,
    );
    const read = async (from: string, order = ''): Promise<unknown[]> =>
      (
        await connection.runAndReadAll(`SELECT ${select.join(', ')} FROM read_parquet(${from}) ${order}`)
      ).getRowsJson();
    const parts = await read(`[${paths.map(sqlText).join(', ')}]`, `ORDER BY ${sortBy.join(', ')}`);
    expect(parts).toHaveLength(rows);
    expect(await read(sqlText(path))).toEqual(parts);
    expect(await read(sqlText(inMemory))).toEqual(parts);
  },
);

test('a writer that would need more memory than it may use says which limit to lower', async () => {
  const rows = Array.from({ length: 300_000 }, (_, index): MetricRow => [BigInt(index), BigInt(index), 0n]);
  const request = {
    signal: 'metrics' as const,
    site: 'plant',
    batches: [metricsBatch(rows)],
    labelsOf: (ids: Iterable<bigint>) => new Map([...ids].map((id) => [id, seriesOf(id)])),
    pathOf: () => 'never-written',
  };
  await using duckdb = await openDuckdbWriter({ writerMemoryBytesMax: 8 * 1024 * 1024 });
  await expect(duckdb.write(request)).rejects.toMatchObject({
    code: 'limit',
    subject: 'writerMemoryBytesMax',
  });
  await using parquetjs = openParquetjsWriter({ writerRowsMax: 1000 });
  await expect(parquetjs.write(request)).rejects.toMatchObject({ code: 'limit', subject: 'writerRowsMax' });
});
