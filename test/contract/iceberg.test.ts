import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { type CloudTablesOptions, openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { type Batch, type Signal, signals } from '../../lake/model/batch.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { type Engine, openEngine, sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { Prune } from '../../lake/tables.ts';
import { countedStore, tenant } from './lake-fixtures.ts';
import { icebirdRead, rowsOf } from './lake-readers.ts';
import {
  type EventRow,
  type ExemplarRow,
  eventsBatch,
  exemplarsBatch,
  type GapRow,
  gapsBatch,
  type LogRow,
  logsBatch,
  type MetricRow,
  metricsBatch,
  type RollupRow,
  rollupsBatch,
  type SpanRow,
  spansBatch,
} from './rows.ts';
import { ship } from './ship.ts';

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
    for (let number = 1; number <= 3; number++) {
      const gateway = `gw-${index + 1}`;
      await ship({ writer, store, folder, gateway, number, batches: batchesOf(index + 1, number) });
    }
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
  const rollups: RollupRow[] = [];
  const gaps: GapRow[] = [];
  const exemplars: ExemplarRow[] = [];
  const spans: SpanRow[] = [];
  const events: EventRow[] = [];
  for (let index = 0; index < days * rowsPerDay; index++) {
    const at =
      (firstDay + BigInt(index % days)) * dayUs + BigInt(gateway * 1_000_000 + number * 10_000 + index);
    const bits =
      index % 10 === 0 ? 0x7ff0000000000002n : new BigInt64Array(Float64Array.of(index / 3).buffer)[0];
    // Doubted times in some shipments only.
    const doubt =
      number === 2 && index % 20 === 3 ? (['device-past', at - dayUs] as const) : ([null, null] as const);
    metrics.push([BigInt(index % 7), at, bits ?? 0n, ...doubt]);
    const optional = index % 3 ? 'é' : null;
    exemplars.push([BigInt(index % 7), at, bits ?? 0n, optional]);
    spans.push([`service ${index % 4}`, at * 1000n + 7n, BigInt(index), optional]);
    events.push([`event ${index % 4}`, at * 1000n + 7n, optional]);
    rollups.push([BigInt(index % 7), at, bits ?? 0n, BigInt(index)]);
    gaps.push([
      at,
      at + 60_000_000n,
      `reason ${index}`,
      index % 2 ? BigInt(index) : null,
      index % 3 ? 'é' : null,
    ]);
    logs.push([
      BigInt(index % 5),
      at * 1000n + 7n,
      `line ${index} "of" ${gateway}-${number} é`,
      index % 2 ? '{"a":"b"}' : null,
      null,
      ...doubt,
    ]);
  }
  return [
    ...[metricsBatch(metrics), logsBatch(logs), rollupsBatch(rollups), gapsBatch(gaps)],
    ...[exemplarsBatch(exemplars), spansBatch(spans), eventsBatch(events)],
  ];
}

const openTables = (from: ObjectStore = store, more: Partial<CloudTablesOptions> = {}) =>
  openCloudTables({ store: from, tenant, locationOf, ...more });

async function viewRows(signal: Signal, prune: Prune = {}, tables = openTables()) {
  await using view = await (await tables).open(signal, prune);
  return {
    rows: await rowsOf(engine, view.from, signal),
    considered: view.filesConsidered,
    pruned: view.filesPruned,
  };
}

test.each(signals)('icebird and DuckDB read the same %s as our view', async (signal) => {
  const ours = await viewRows(signal);
  expect(ours.rows).toHaveLength(2 * 3 * days * rowsPerDay);
  expect(ours).toMatchObject({ considered: 18, pruned: 0 });

  const { rows, files } = await icebirdRead(locationOf(`${tenant}/lake/${signal}`), signal);
  expect(rows).toEqual(ours.rows);
  const paths = files.map(({ path, bytes }) => {
    expect(statSync(path).size).toBe(bytes);
    return sqlText(path);
  });
  expect(await rowsOf(engine, `read_parquet([${paths.join(', ')}])`, signal)).toEqual(ours.rows);
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
