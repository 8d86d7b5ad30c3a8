import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { seededRandom } from '../../test/contract/lake-fixtures.ts';
import {
  eventsBatch,
  exemplarsBatch,
  gapsBatch,
  logsBatch,
  metricsBatch,
  rollupsBatch,
  seriesOf,
  spansBatch,
} from '../../test/contract/rows.ts';
import type { Batch, Signal } from '../model/batch.ts';
import { tableSchemas } from '../schema/tables.ts';
import { openDuckdb, sqlText } from '../sql/duckdb/engine.ts';
import { mergeSegments } from './duckdb-merge.ts';
import { openDuckdbWriter } from './duckdb-writer.ts';
import { mergeStreaming, type StreamingMerge } from './merge-streaming.ts';
import { openParquetjsWriter } from './parquetjs-writer.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-merge-'));
  mkdirSync(join(folder, 'spill'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const dayUs = 20_000n * 86_400_000_000n;
const memoryBytesMax = 64e6;

async function fileOf(index: number, batch: Batch, site = 'plant'): Promise<string> {
  await using writer =
    index % 2 === 0 ? await openDuckdbWriter() : openParquetjsWriter({ rowGroupRowsMax: 50 });
  const path = join(folder, `in-${index}.parquet`);
  const labels = new Map(batch.series.map(({ id, labels: text }) => [id, text]));
  await writer.write({
    signal: batch.signal,
    site,
    batches: [batch],
    labelsOf: () => labels,
    pathOf: () => path,
  });
  return path;
}

async function rowsIn(signal: StreamingMerge['signal'], path: string): Promise<unknown[][]> {
  const instance = await openDuckdb({});
  const connection = await instance.connect();
  const columns = tableSchemas[signal].columns.map(({ name, type }) =>
    type === 'double' ? `"${name}"::BIT::VARCHAR` : `"${name}"::VARCHAR`,
  );
  const reader = await connection.runAndReadAll(
    `SELECT ${columns.join(', ')} FROM read_parquet(${sqlText(path)})`,
  );
  connection.closeSync();
  instance.closeSync();
  return reader.getRows();
}

type Draw = (n: number) => bigint;
const bits = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;

/** Rows that do not repeat: a time is of one file. */
const batches: Readonly<
  Record<Signal, (draw: Draw, us: (row: number) => bigint, rows: readonly number[]) => Batch>
> = {
  metrics: (draw, us, rows) =>
    metricsBatch(
      rows.map((row) => [draw(5), us(row), bits(row / 3), draw(3) === 0n ? 'device-past' : null, null]),
    ),
  logs: (draw, us, rows) =>
    logsBatch(
      rows.map((row) => [draw(5), us(row) * 1000n, `line ${row} é`, draw(2) === 0n ? '{}' : null, 'info']),
    ),
  spans: (draw, us, rows) =>
    spansBatch(rows.map((row) => [`s${draw(3)}`, us(row) * 1000n, 5n, draw(2) === 0n ? 'x' : null])),
  events: (draw, us, rows) =>
    eventsBatch(rows.map((row) => [`door${draw(3)}`, us(row) * 1000n, draw(2) === 0n ? 'x' : null])),
  metrics_1m: (draw, us, rows) => rollupsBatch(rows.map((row) => [draw(5), us(row), bits(row), 3n])),
  gaps: (draw, us, rows) => gapsBatch(rows.map((row) => [us(row), us(row) + 5n, 'test', draw(9), null])),
  exemplars: (draw, us, rows) => exemplarsBatch(rows.map((row) => [draw(5), us(row), bits(row), 'ab'])),
};

test.each(Object.keys(batches) as Signal[])('%s: what DuckDB merges, in the same order', async (signal) => {
  const random = seededRandom(signal.length);
  const draw: Draw = (n) => BigInt(Math.floor(random() * n));
  const paths: string[] = [];
  let rows = 0;
  for (let index = 0; index < 6; index++) {
    const numbers = Array.from({ length: 1 + Math.floor(random() * 200) }, (_, row) => row);
    rows += numbers.length;
    const batch = batches[signal](draw, (row) => dayUs + BigInt(row * 1000 + index), numbers);
    paths.push(await fileOf(index, batch, `site-${index % 3}`));
  }
  const path = join(folder, 'ours.parquet');
  const { file, ...counts } = await mergeStreaming({ signal, paths, rows, path, memoryBytesMax });
  const theirs = await mergeSegments({
    ...{ signal, paths, rows, path: join(folder, 'theirs.parquet') },
    ...{ writerMemoryBytesMax: 256e6, spillDirectory: join(folder, 'spill') },
  });
  expect(counts).toEqual({ repeated: 0, leftOut: 0 });
  expect(await rowsIn(signal, path)).toEqual(await rowsIn(signal, theirs.path));
  const { bounds, day, minTimestampUs, maxTimestampUs } = theirs;
  expect(file).toMatchObject({ rows, bounds, day, minTimestampUs, maxTimestampUs });
});

async function merged(request: Omit<StreamingMerge, 'path' | 'memoryBytesMax'>) {
  const path = join(folder, 'merged.parquet');
  const result = await mergeStreaming({ ...request, path, memoryBytesMax });
  return { ...result, found: result.file ? await rowsIn(request.signal, path) : [] };
}

test('a sample that was sent again is there once, with the value that queries show', async () => {
  const staleNan = 0x7ff0000000000002n;
  const paths = [
    await fileOf(
      0,
      metricsBatch([
        [1n, dayUs, bits(1)],
        [1n, dayUs + 1n, bits(7)],
        [1n, dayUs + 2n, staleNan],
      ]),
    ),
    await fileOf(
      1,
      metricsBatch([
        [1n, dayUs, bits(1)],
        [1n, dayUs + 1n, bits(9)],
        [1n, dayUs + 1n, bits(8)],
        [1n, dayUs + 2n, bits(-3)],
        [2n, dayUs, bits(1)],
        [1n, dayUs, bits(Number.NaN), null, null, '{"count":1}'],
      ]),
    ),
  ];
  const { found, repeated, file } = await merged({ signal: 'metrics', paths, rows: 9 });
  expect(repeated).toBe(4);
  expect(file?.rows).toBe(5);
  const valueIn = (row: unknown[]): bigint => BigInt(`0b${String(row[3])}`);
  const ofFirst = found.filter((row) => row[1] === '1' && row[8] === null).map(valueIn);
  expect(ofFirst).toEqual([1, 9, -3].map((value) => BigInt.asUintN(64, bits(value))));
  expect(found.filter((row) => row[8] !== null)).toHaveLength(1);
});

test('of lines with one time, those that were sent again are there once', async () => {
  const at = dayUs * 1000n;
  const lines = (...texts: string[]) => logsBatch(texts.map((text) => [3n, at, text, null, null]));
  const paths = [await fileOf(0, lines('a', 'b', 'c')), await fileOf(1, lines('b', 'd', 'a'))];
  const { found, repeated } = await merged({ signal: 'logs', paths, rows: 6 });
  expect(found.map((row) => row[3])).toEqual(['a', 'b', 'c', 'd']);
  expect(repeated).toBe(2);
});

test('rows that are to go are left out; of nothing there is no file', async () => {
  const path = await fileOf(
    1,
    metricsBatch(Array.from({ length: 300 }, (_, row) => [BigInt(row % 3), dayUs + BigInt(row), 0n])),
  );
  const gone = seriesOf(1n);
  const request = { signal: 'metrics', paths: [path], rows: 300 } as const;
  const some = await merged({
    ...request,
    leaveOut:
      ({ columns }) =>
      (row) =>
        columns.get('labels')?.[row] === gone,
  });
  expect(some).toMatchObject({ leftOut: 100, file: { rows: 200 } });
  expect(some.found.some((row) => row[4] === gone)).toBe(false);
  expect(await merged({ ...request, leaveOut: () => () => true })).toMatchObject({
    leftOut: 300,
    file: undefined,
  });
});

test('inputs that do not hold what they should, or are too large together, are refused', async () => {
  const path = await fileOf(
    1,
    metricsBatch([
      [1n, dayUs, 0n],
      [1n, dayUs + 1n, 0n],
    ]),
  );
  const request = {
    signal: 'metrics',
    paths: [path],
    path: join(folder, 'x.parquet'),
    memoryBytesMax,
  } as const;
  await expect(mergeStreaming({ ...request, rows: 3 })).rejects.toMatchObject({ code: 'corrupt' });
  await expect(mergeStreaming({ ...request, rows: 2, memoryBytesMax: 100 })).rejects.toMatchObject({
    code: 'limit',
    subject: 'maintain.memoryBytesMax',
  });
});
