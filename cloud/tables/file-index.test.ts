import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import type { SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { countedStore, locationOf, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore } from '../../test/contract/memory-store.ts';
import { logsBatch, seriesOf } from '../../test/contract/rows.ts';
import { commit } from '../catalog/commit.ts';
import { dataFileOf } from '../catalog/data-file.ts';
import { openTable } from '../catalog/table.ts';
import { openFileCache } from './file-cache.ts';
import { openFileIndex } from './file-index.ts';
import { planScan } from './plan-scan.ts';
import { planJson } from './print-plan.ts';

// Three files of logs, each with traces of its own, by both writers: `large` has its filters before what is read first.

const folder = mkdtempSync(join(tmpdir(), 'firn-index-'));
afterAll(() => rmSync(folder, { recursive: true }));

const traceOf = (file: string, row: number): string => `${file}-${row}`;
const memory: MemoryStore = memoryStore();
const { store, take } = countedStore(memory);
const clock = stillClock();
const open = () => openTable({ store: memory, tenant, signal: 'logs', locationOf, clock });
const bytesOf = new Map<string, number>();

async function addFile(name: string, writer: SegmentWriter, rows: number): Promise<void> {
  const all = Array.from({ length: rows }, (_, row) => row);
  const batch = logsBatch(all.map((row) => [7n, BigInt(row), `line ${row}`, null, null]));
  const path = join(folder, `${name}.parquet`);
  const [file] = await writer.write({
    ...{ signal: 'logs', site: 'plant' },
    batches: [{ ...batch, traceId: all.map((row) => traceOf(name, row)) }],
    labelsOf: () => new Map([[7n, seriesOf(7n)]]),
    pathOf: () => path,
  });
  if (!file) throw new Error('no file');
  const key = `${tenant}/data/${name}.parquet`;
  await memory.put(key, readFileSync(path));
  bytesOf.set(name, statSync(path).size);
  const added = [dataFileOf({ ...file, key, signal: 'logs' }, open().locations)];
  await commit(open(), () => ({ added, summary: {} }));
}

beforeAll(async () => {
  await using small = openParquetjsWriter({ rowGroupRowsMax: 300 });
  await using large = openParquetjsWriter();
  await using duckdb = await openDuckdbWriter();
  await addFile('small', small, 1_000);
  await addFile('large', large, 120_000);
  await addFile('duckdb', duckdb, 1_000);
});

const readRange = (key: string, start: number, end: number) => store.getRange(key, start, end);
const namesOf = (plan: Awaited<ReturnType<typeof planScan>>) =>
  plan.files.map(({ path }) => path.replace(/^.*\/(\w+)\.parquet$/, '$1'));

test('one trace: a few small reads tell which file has it, and are not made again', async () => {
  const index = openFileIndex({ readRange, fileBytesMin: 0 });
  const table = open();
  take();
  const traceId = traceOf('large', 119_999);
  const plan = await planScan(table, { traceId }, 0, undefined, index);
  // DuckDB makes filters of columns with a dictionary only, and bounds of all.
  expect(namesOf(plan)).toEqual(['large']);
  expect(planJson('logs', { traceId }, plan).files).toMatchObject({ read: 1, prunedBy: { bloom: 2 } });
  // Two ends, and of the large file its filters, which are before it.
  expect(take()).toEqual(
    expect.arrayContaining(['getRange data/small.parquet', 'getRange data/large.parquet']),
  );
  expect(await planScan(table, { traceId: 'nobody' }, 0, undefined, index).then(namesOf)).toEqual([]);
  expect(take()).toEqual([]);
  expect(await planScan(table, { seriesId: 7n }, 0, undefined, index).then(namesOf)).toHaveLength(3);
  expect(await planScan(table, { seriesId: 8n }, 0, undefined, index).then(namesOf)).toHaveLength(0);
});

test('an end costs few requests, however large the file', async () => {
  const index = openFileIndex({ readRange, fileBytesMin: 0 });
  const column = tableSchemas.logs.columns.find(({ name }) => name === 'trace_id');
  if (!column) throw new Error('no column');
  const has = (name: string, value: string) =>
    index.mayHold({ key: `${tenant}/data/${name}.parquet`, bytes: bytesOf.get(name) ?? 0 }, column, value);
  take();
  expect(await Promise.all([has('small', 'x'), has('small', 'y')])).toEqual([false, false]);
  expect(take()).toEqual(['getRange data/small.parquet']);
  expect(await has('large', 'x')).toBe(false);
  expect(take()).toEqual(['getRange data/large.parquet', 'getRange data/large.parquet']);
});

test('a file that is hardly larger than its end is not looked at', async () => {
  take();
  const plan = await planScan(open(), { traceId: 'nobody' }, 0, undefined, openFileIndex({ readRange }));
  expect(namesOf(plan).sort()).toEqual(['duckdb', 'small']);
  expect(take().every((request) => request.endsWith('large.parquet'))).toBe(true);
});

test('a file whose end says nothing, or nothing that is true, stays in', async () => {
  await memory.put(`${tenant}/data/damaged.parquet`, Buffer.alloc(100_000, 'PAR1'));
  const [column] = tableSchemas.logs.columns;
  if (!column) throw new Error('no column');
  const index = openFileIndex({ readRange, fileBytesMin: 0 });
  for (const [name, bytes] of [
    ['damaged', 100_000],
    ['absent', 1_000],
    ['small', 999],
  ] as const)
    expect(await index.mayHold({ key: `${tenant}/data/${name}.parquet`, bytes }, column, 1n)).toBe(true);
});

test('of a file that there is a local copy of, the end is read there', async () => {
  const cache = await openFileCache({ store, directory: join(folder, 'cache'), cacheBytesMax: 1e9 });
  const key = `${tenant}/data/small.parquet`;
  const bytes = bytesOf.get('small') ?? 0;
  (await cache.acquire([{ key, bytes }]))[Symbol.dispose]();
  take();
  const whole = readFileSync(join(folder, 'small.parquet'));
  expect(Buffer.from(await cache.readRange(key, 10, 50))).toEqual(whole.subarray(10, 50));
  expect(take()).toEqual([]);
  await cache.readRange(`${tenant}/data/large.parquet`, 0, 4);
  expect(take()).toEqual(['getRange data/large.parquet']);
});
