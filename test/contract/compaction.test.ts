import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { type MaintainOptions, maintainDefaults, startMaintain } from '../../cloud/maintain/maintain.ts';
import { openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Signal } from '../../lake/model/batch.ts';
import { tableNames } from '../../lake/model/table-name.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { countedStore, tenant } from './lake-fixtures.ts';
import { icebirdRead, rowsOf } from './lake-readers.ts';
import { logsBatch, metricsBatch } from './rows.ts';
import { ship } from './ship.ts';

// Real segments of both writers are ingested and compacted: independent readers must see the same rows in fewer files.

const dayUs = 86_400_000_000n;
const day = 20_000n;
const shipments = 6;
/** 20 rows a file: all of one tier. */
const rowsPerFile = 20;
const gapBits = 0x7ff0000000000002n;
const limits = { filesMin: 4, pastFilesMin: 4 };

let folder: string;
let store: ObjectStore;
let engine: Engine;
const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake')).href}/${key}`;
/** Two minutes on: nothing is too young. */
const later: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 120_000 };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-compaction-'));
  store = directoryStore({ root: join(folder, 'lake') });
  engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
});
afterEach(async () => {
  await engine[Symbol.asyncDispose]();
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Both days of the table get a file of each writer in each shipment. */
async function shipAll(from = 1): Promise<void> {
  const writers = [await openDuckdbWriter(), openParquetjsWriter()];
  for (const [index, writer] of writers.entries()) {
    for (let number = from; number < from + shipments; number++) {
      const times = Array.from({ length: 2 * rowsPerFile }, (_, row) => {
        return (day + BigInt(row % 2)) * dayUs + BigInt(index * 500 + number * 1_000_000 + row);
      });
      const bits = (row: number): bigint =>
        row % 10 === 0 ? gapBits : (new BigInt64Array(Float64Array.of(row / 3).buffer)[0] ?? 0n);
      const batches = [
        metricsBatch(times.map((at, row) => [BigInt(row % 7), at, bits(row)])),
        logsBatch(times.map((at, row) => [BigInt(row % 5), at * 1000n + 7n, `line ${row} é`, null, 'info'])),
      ];
      await ship({ writer, store, folder, gateway: `gw-${index + 1}`, number, batches });
    }
    await writer[Symbol.asyncDispose]();
  }
  await using ingest = startIngest({
    ...{ store, locationOf, tenants: () => [tenant], clock: systemClock, logger: createLogger('error') },
    limits: { shipmentsPerRoundMax: 2 },
    tableLimits: { smallManifestsMax: 2, manifestEntriesMax: 10 },
  });
  await ingest.pollNow();
  expect(ingest.status()).toMatchObject({ shipments: 2 * shipments, quarantined: 0, failures: 0 });
}

const maintain = (more: Partial<MaintainOptions> = {}) =>
  startMaintain({
    ...{ store, locationOf, tenants: () => [tenant], clock: later, logger: createLogger('error') },
    ...{ workDirectory: join(folder, 'work'), intervalMs: 3_600_000, limits },
    ...more,
  });

async function view(signal: Signal): Promise<{ rows: string[]; files: number }> {
  const tables = await openCloudTables({ store, tenant, locationOf });
  await using opened = await tables.open(signal, {});
  return { rows: await rowsOf(engine, opened.from, signal), files: opened.filesConsidered };
}

test('every reader sees the same rows in fewer files, and ingest goes on where it was', async () => {
  await shipAll();
  const before = { metrics: await view('metrics'), logs: await view('logs') };
  expect(before.metrics.files).toBe(2 * 2 * shipments);
  await using compaction = maintain();
  await compaction.runNow();
  expect(compaction.status).toMatchObject({ merges: 4, filesMerged: 48, superseded: 0, failures: 0 });
  for (const signal of ['metrics', 'logs'] as const) {
    const after = await view(signal);
    expect(after).toEqual({ rows: before[signal].rows, files: 2 });
    const icebird = await icebirdRead(locationOf(`${tenant}/lake/${signal}`), signal);
    expect(icebird.rows).toEqual(before[signal].rows);
    expect(icebird.files).toHaveLength(2);
  }
  await compaction.runNow();
  expect(compaction.status).toMatchObject({ merges: 4 });
  expect(readdirSync(join(folder, 'work'))).toEqual([]);

  await shipAll(shipments + 1);
  expect((await view('metrics')).rows).toHaveLength(2 * before.metrics.rows.length);
});

test('the bits of values survive', async () => {
  await shipAll();
  await using compaction = maintain();
  await compaction.runNow();
  const tables = await openCloudTables({ store, tenant, locationOf });
  await using opened = await tables.open('metrics', {});
  const connection = await engine.connect();
  const reader = await connection.runAndReadAll(
    `SELECT DISTINCT value::BIT::VARCHAR FROM ${opened.from} WHERE isnan(value)`,
  );
  expect(reader.getRows()).toEqual([[gapBits.toString(2).padStart(64, '0')]]);
  connection.closeSync();
});

test('it looks for work by itself', async () => {
  await shipAll();
  await using compaction = maintain({ intervalMs: 10 });
  await vi.waitFor(() => expect(compaction.status.merges).toBe(4), { timeout: 20_000 });
});

test('files of the newest snapshots are left alone', async () => {
  await shipAll();
  await using compaction = maintain({ clock: systemClock });
  await compaction.runNow();
  expect(compaction.status).toMatchObject({ merges: 0, failures: 0 });
});

test('a store that is elsewhere: so many requests for a compaction', async () => {
  await shipAll();
  const { store: counted, take } = countedStore(store);
  await using compaction = maintain({
    store: { ...counted, localPath: () => undefined },
    limits: { ...limits, filesMax: 12 },
    tableLimits: { smallManifestsMax: 2, manifestEntriesMax: 10 },
  });
  await compaction.runNow();
  expect(compaction.status).toMatchObject({ merges: 4 });
  const requests = take();
  const count = (pattern: RegExp): number => requests.filter((request) => pattern.test(request)).length;
  expect(count(/^getFile /)).toBe(48);
  expect(count(/^putFile /)).toBe(4);
  // Once for each table: the lease, and the fence that shuts out who had it before.
  expect(count(/^putIfAbsent leases\//)).toBe(2);
  expect(count(/^putIfAbsent .*v\d+\.metadata\.json$/)).toBe(4 + 2);
  // What it takes out of the inbox is noted first.
  expect(count(/^put (metrics|logs)\/[0-9a-f-]{36}\.json$/)).toBe(4);
  expect(count(/^put .*snap-.*avro$/)).toBe(4);
  // Each reads its table once; what it then writes itself, it reads back entry by entry only where it is asked for.
  expect(count(/^get .*snap-.*avro$/)).toBe(2);
  // Also of the tables that are not there.
  expect(count(/^get version-hint|^get metadata\/version-hint/)).toBe(tableNames.length);
  expect(count(/^delete /)).toBe(0);
  await compaction.runNow();
  expect(take()).toEqual(Array(2).fill(expect.stringMatching(/^get metadata\/v\d+\.metadata\.json$/)));
});

test('a group with a damaged file is left alone for a while and said once; the others are merged', async () => {
  await shipAll();
  let passedMs = 0;
  const clock = { ...later, monotonicMs: () => systemClock.monotonicMs() + passedMs };
  const key =
    'acme/inbox/gw-1/segments/metrics/000000000001-0000000000000010-0000000000000020-2024-10-04.parquet';
  await store.put(key, Buffer.from('not a Parquet file'));
  const lines: string[] = [];
  await using compaction = maintain({ clock, logger: createLogger('error', (line) => lines.push(line)) });
  await compaction.runNow();
  await compaction.runNow();
  expect(compaction.status).toMatchObject({ merges: 3, failures: 1 });
  expect(lines).toEqual([
    expect.stringMatching(/could not merge files.*tenant=acme table=metrics.*day 20000/),
  ]);
  expect((await view('logs')).files).toBe(2);
  expect(readdirSync(join(folder, 'work'))).toEqual([]);
  passedMs = maintainDefaults.mergeRetryMs;
  await compaction.runNow();
  expect(compaction.status).toMatchObject({ merges: 3, failures: 2 });
});

test.each([{ filesMin: 1 }, { pastFilesMin: 1 }, { filesMax: 3 }])('limits %j are refused', (wrong) => {
  expect(() => maintain({ limits: { ...limits, ...wrong } })).toThrow(
    expect.objectContaining({ code: 'invalid', subject: 'limits' }),
  );
});

test('a store that fails is tried again, and said once', async () => {
  await shipAll();
  const lines: string[] = [];
  let down = true;
  const putFile: ObjectStore['putFile'] = async (...args) => {
    if (down)
      throw new FirnError({ code: 'unavailable', operation: 'put', subject: args[0], message: 'down' });
    return store.putFile(...args);
  };
  const logger = createLogger('error', (line) => lines.push(line));
  await using compaction = maintain({ store: { ...store, putFile }, logger });
  await expect(compaction.runNow()).rejects.toMatchObject({ code: 'unavailable' });
  await expect(compaction.runNow()).rejects.toMatchObject({ code: 'unavailable' });
  expect(lines).toEqual([
    expect.stringMatching(/could not compact a table.*table=metrics/),
    expect.stringMatching(/could not compact a table.*table=logs/),
  ]);
  down = false;
  await compaction.runNow();
  expect(compaction.status).toMatchObject({ merges: 4, failures: 4 });
});

test('what a killed process left in the work directory goes', async () => {
  await mkdir(join(folder, 'work', 'left'), { recursive: true });
  await using compaction = maintain();
  await compaction.runNow();
  expect(readdirSync(join(folder, 'work'))).toEqual([]);
});
