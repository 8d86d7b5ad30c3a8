import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { icebergManifests, icebergMetadata, icebergRead } from 'icebird';
import { splitManifestEntries } from 'icebird/src/manifest.js';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { type CloudTablesOptions, openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { type Batch, type Signal, signals } from '../../lake/model/batch.ts';
import { gatewayId } from '../../lake/model/ids.ts';
import { segmentKey, segmentName } from '../../lake/model/keys.ts';
import type { ManifestSegment } from '../../lake/model/manifest.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import type { SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { type Engine, openEngine, sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { Prune } from '../../lake/tables.ts';
import { countedStore, tenant } from './lake-fixtures.ts';
import { type LogRow, logsBatch, type MetricRow, metricsBatch, seriesOf } from './rows.ts';
import { manifestUpload } from './shipments.ts';

// Real segments of both writers go through ingest into Iceberg tables, and three readers must see the same rows: Firn's
// own view, icebird (which shares no code with Firn), and DuckDB over the files that icebird finds listed.

const dayUs = 86_400_000_000n;
const firstDay = 20_000n;
const rowsPerDay = 40;
const days = 3;

let folder: string;
let store: ObjectStore;
let engine: Engine;
let lakeFolder: string;
const locationOf = (key: string): string => `${pathToFileURL(lakeFolder).href}/${key}`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-iceberg-'));
  lakeFolder = join(folder, 'lake');
  store = directoryStore({ root: lakeFolder });
  engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  const writers = [await openDuckdbWriter(), openParquetjsWriter()];
  for (const [index, writer] of writers.entries()) {
    for (let number = 1; number <= 3; number++) await ship(writer, `gw-${index + 1}`, number);
    await writer[Symbol.asyncDispose]();
  }
  await using ingest = startIngest({
    store,
    locationOf,
    tenants: () => [tenant],
    clock: systemClock,
    logger: createLogger('error'),
    tableLimits: { smallManifestsMax: 1, manifestEntriesMax: 4 },
    limits: { shipmentsPerRoundMax: 1 },
  });
  await ingest.pollNow();
  expect(ingest.status()).toMatchObject({ shipments: 6, quarantined: 0, failures: 0 });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Rows of a shipment: over three days, with a value that no text can carry. */
function batchesOf(gateway: number, number: number): Batch[] {
  const metrics: MetricRow[] = [];
  const logs: LogRow[] = [];
  for (let index = 0; index < days * rowsPerDay; index++) {
    const at =
      (firstDay + BigInt(index % days)) * dayUs + BigInt(gateway * 1_000_000 + number * 10_000 + index);
    const bits =
      index % 10 === 0 ? 0x7ff0000000000002n : new BigInt64Array(Float64Array.of(index / 3).buffer)[0];
    metrics.push([BigInt(index % 7), at, bits ?? 0n]);
    logs.push([
      BigInt(index % 5),
      at * 1000n + 7n,
      `line ${index} "of" ${gateway}-${number} é`,
      index % 2 ? '{"a":"b"}' : null,
      null,
    ]);
  }
  return [metricsBatch(metrics), logsBatch(logs)];
}

async function ship(writer: SegmentWriter, gateway: string, number: number): Promise<void> {
  const [fromSeq, toSeq] = [(number - 1) * 10, number * 10];
  const segments: ManifestSegment[] = [];
  for (const batch of batchesOf(Number(gateway.at(-1)), number)) {
    const files = await writer.write({
      signal: batch.signal,
      site: 'plant',
      batches: [batch],
      labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
      pathOf: (day) => join(folder, `${gateway}-${number}-${batch.signal}-${day}.parquet`),
    });
    for (const { path, ...file } of files) {
      const key = segmentKey(
        tenant,
        gatewayId(gateway),
        batch.signal,
        segmentName(1, fromSeq, toSeq, file.day),
      );
      await store.putFile(key, path);
      segments.push({ ...file, key, signal: batch.signal, columns: writer.columns });
    }
  }
  const { key, body } = manifestUpload({
    format: 1,
    tenant,
    site: 'plant',
    gateway,
    epoch: 1,
    number,
    fromSeq,
    toSeq,
    sealedUs: 1,
    segments,
    metadata: [{ name: 'up', type: 'gauge', help: 'whether it is', unit: '' }],
  });
  await store.put(key, body);
}

/** Rows as sorted texts, so that readers can be compared. */
const textOf = (signal: Signal, row: Readonly<Record<string, unknown>>): string =>
  tableSchemas[signal].columns
    .map(({ name, type }) => {
      const value = row[name];
      if (value === null || value === undefined) return 'null';
      if (value instanceof Date) return String(BigInt(value.getTime()) * 1000n);
      return type === 'double' && typeof value === 'number' && Number.isNaN(value) ? 'NaN' : String(value);
    })
    .join(' | ');

/** `timestamp` as microseconds; icebird's Dates hold milliseconds, so readers are compared at those. */
async function rowsOf(from: string, signal: Signal): Promise<string[]> {
  const connection = await engine.connect();
  try {
    const columns = tableSchemas[signal].columns.map(({ name, type }) =>
      type === 'timestamptz' ? `epoch_ms("${name}") * 1000 AS "${name}"` : `"${name}"`,
    );
    const reader = await connection.runAndReadAll(`SELECT ${columns.join(', ')} FROM ${from}`);
    return reader
      .getRowObjects()
      .map((row) => textOf(signal, row))
      .sort();
  } finally {
    connection.closeSync();
  }
}

const openTables = (from: ObjectStore = store, more: Partial<CloudTablesOptions> = {}) =>
  openCloudTables({ store: from, tenant, locationOf, ...more });

async function viewRows(signal: Signal, prune: Prune = {}, tables = openTables()) {
  await using view = await (await tables).open(signal, prune);
  return {
    rows: await rowsOf(view.from, signal),
    considered: view.filesConsidered,
    pruned: view.filesPruned,
  };
}

/** icebird asks for files by `fetch`, which Node has no `file:` for. */
const fetchFile = async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
  const bytes = await readFile(fileURLToPath(url)).catch(() => undefined);
  if (!bytes) return new Response(null, { status: 404 });
  const range = /bytes=(\d+)-(\d*)/.exec(new Headers(init.headers).get('range') ?? '');
  if (!range) return new Response(bytes);
  const end = range[2] ? Number(range[2]) + 1 : bytes.length;
  return new Response(bytes.subarray(Number(range[1]), end), { status: 206 });
};

test.each(signals)('icebird and DuckDB read the same %s as our view', async (signal) => {
  const ours = await viewRows(signal);
  expect(ours.rows).toHaveLength(2 * 3 * days * rowsPerDay);
  expect(ours).toMatchObject({ considered: 18, pruned: 0 });

  vi.stubGlobal('fetch', fetchFile);
  try {
    const tableUrl = locationOf(`${tenant}/lake/${signal}`);
    const metadata = await icebergMetadata({ tableUrl });
    const rows = (await icebergRead({ tableUrl, metadata })) as Record<string, unknown>[];
    expect(rows.map((row) => textOf(signal, row)).sort()).toEqual(ours.rows);
    const paths = splitManifestEntries(await icebergManifests(metadata)).dataEntries.map(
      ({ data_file: file }) => {
        expect(statSync(fileURLToPath(file.file_path)).size).toBe(Number(file.file_size_in_bytes));
        return sqlText(fileURLToPath(file.file_path));
      },
    );
    expect(await rowsOf(`read_parquet([${paths.join(', ')}])`, signal)).toEqual(ours.rows);
  } finally {
    vi.unstubAllGlobals();
  }
});

test('files that cannot match are not read, and no row is lost by it', async () => {
  const all = await viewRows('metrics');
  const fromUs = Number((firstDay + 1n) * dayUs);
  const oneDay = await viewRows('metrics', { fromUs, toUs: fromUs + Number(dayUs) - 1 });
  expect(oneDay).toMatchObject({ considered: 18, pruned: 12 });
  expect(oneDay.rows).toHaveLength(all.rows.length / days);
  const moment = await viewRows('metrics', { fromUs, toUs: fromUs + 1_015_000 });
  expect(moment.pruned).toBe(17);
  expect(await viewRows('metrics', { name: '0' })).toMatchObject({ rows: [], considered: 18, pruned: 18 });
  expect((await viewRows('metrics', { name: 'up' })).pruned).toBe(0);
});

test('the view has the schema’s columns and types, with files and without', async () => {
  const tables = await openTables();
  const connection = await engine.connect();
  for (const signal of signals) {
    for (const prune of [{}, { toUs: 0 }]) {
      await using view = await tables.open(signal, prune);
      const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${view.from}`);
      const types = {
        long: 'BIGINT',
        double: 'DOUBLE',
        string: 'VARCHAR',
        timestamptz: 'TIMESTAMP WITH TIME ZONE',
      };
      expect(described.getRows().map(([name, type]) => [name, type])).toEqual(
        tableSchemas[signal].columns.map(({ name, type }) => [name, types[type]]),
      );
    }
  }
  connection.closeSync();
});

test('a tenant without tables has empty ones', async () => {
  const empty = directoryStore({ root: join(folder, 'empty') });
  expect(await viewRows('logs', {}, openTables(empty))).toEqual({ rows: [], considered: 0, pruned: 0 });
  expect(await (await openTables(empty)).metricMetadata()).toEqual([]);
  empty.close();
});

test('bits of values survive, and descriptions are there', async () => {
  const tables = await openTables();
  await using view = await tables.open('metrics', {});
  const connection = await engine.connect();
  const chunks = await (
    await connection.run(`SELECT value FROM ${view.from} WHERE isnan(value)`)
  ).fetchAllChunks();
  // As typed array: getters pass through numbers, which may make a NaN quiet.
  const vector = chunks[0]?.getColumnVector(0) as unknown as { items: Float64Array } | undefined;
  const bits = new BigUint64Array(vector?.items.slice(0, 1).buffer ?? new ArrayBuffer(8));
  expect(bits[0]).toBe(0x7ff0000000000002n);
  connection.closeSync();
  expect(await tables.metricMetadata()).toEqual([
    { name: 'up', type: 'gauge', help: 'whether it is', unit: '' },
  ]);
});

test('a store that is elsewhere is read through the local cache, each object once', async () => {
  const { store: counted, take } = countedStore(store);
  const remote = { ...counted, localPath: () => undefined };
  await expect(openTables(remote)).rejects.toMatchObject({ code: 'invalid', subject: 'cacheDirectory' });
  const cacheDirectory = join(folder, 'cache');
  const tables = openTables(remote, { cacheDirectory, snapshotMaxAgeMs: 60_000 });
  const here = await viewRows('metrics');
  const [there, again] = await Promise.all([
    viewRows('metrics', {}, tables),
    viewRows('metrics', {}, tables),
  ]);
  expect(there).toEqual(here);
  expect(again).toEqual(here);
  expect(take().filter((request) => request.startsWith('getFile'))).toHaveLength(18);
  await viewRows('metrics', {}, tables);
  expect(take()).toEqual([]);
  await viewRows('metrics', {}, openTables(remote, { cacheDirectory }));
  expect(take().filter((request) => request.startsWith('getFile'))).toEqual([]);
});

test('a view of too many files is refused with the way out', async () => {
  const tables = await openTables(store, { filesPerViewMax: 17 });
  await expect(tables.open('metrics', {})).rejects.toMatchObject({
    code: 'limit',
    subject: 'filesPerViewMax',
    hint: expect.stringContaining('time range'),
  });
  await using view = await tables.open('metrics', { toUs: Number((firstDay + 2n) * dayUs) - 1 });
  expect(view.filesPruned).toBe(6);
});

test('another tenant’s files in a table are an error, not an answer', async () => {
  const moved = { ...store, get: (key: string) => store.get(key.replace('other/', 'acme/')) };
  const tables = await openCloudTables({ store: moved, tenant: 'other' as typeof tenant, locationOf });
  await expect(tables.open('metrics', {})).rejects.toMatchObject({ code: 'corrupt' });
});
