import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { changeMetadata } from '../../cloud/catalog/commit.ts';
import { openTable } from '../../cloud/catalog/table.ts';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { type MaintainOptions, startMaintain } from '../../cloud/maintain/maintain.ts';
import { writeRetention } from '../../cloud/maintain/retention.ts';
import { listDeletes, requestDelete } from '../../cloud/maintain/row-deletes.ts';
import { openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { tenant } from './lake-fixtures.ts';
import { icebirdRead, rowsOf } from './lake-readers.ts';
import { type LogRow, logsBatch, metricsBatch } from './rows.ts';
import { ship } from './ship.ts';

// What maintenance does to a table, seen by three readers that agree: Firn, DuckDB on the files that the metadata lists,
// and icebird, which shares no code with Firn.

const dayUs = 86_400_000_000n;
const today = BigInt(Math.floor(Date.now() / 86_400_000));
const hourMs = 3_600_000;

let folder: string;
let store: ObjectStore;
let engine: Engine;
let laterMs: number;
let shipped: number;
const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake')).href}/${key}`;
const clock: Clock = {
  ...systemClock,
  nowMs: () => systemClock.nowMs() + laterMs,
  monotonicMs: () => systemClock.monotonicMs() + laterMs,
};

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-maintenance-'));
  store = directoryStore({ root: join(folder, 'lake') });
  engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  laterMs = 0;
  shipped = 0;
});
afterEach(async () => {
  await engine[Symbol.asyncDispose]();
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

const bits = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;

/** Ten samples and five lines, all of series 1 to 4 and streams 1 to 2, on one day; shipped and committed. */
async function shipDay(day: bigint, offset = 0): Promise<void> {
  const at = (row: number): bigint => day * dayUs + BigInt(offset + row) * 1_000_000n;
  const samples = Array.from(
    { length: 10 },
    (_, row) => [BigInt(1 + (row % 4)), at(row), bits(row)] as const,
  );
  const lines = Array.from(
    { length: 5 },
    (_, row): LogRow => [BigInt(1 + (row % 2)), at(row) * 1000n, `line ${offset + row}`, null, 'info'],
  );
  const number = ++shipped;
  await using writer = openParquetjsWriter();
  const batches = [metricsBatch(samples), logsBatch(lines)];
  await ship({ writer, store, folder, gateway: 'gw-1', number, batches });
  await using ingest = startIngest({
    ...{ store, locationOf, tenants: () => [tenant], clock, logger: createLogger('error') },
  });
  await ingest.pollNow();
}

const maintain = (more: Partial<MaintainOptions> = {}) =>
  startMaintain({
    ...{ store, locationOf, tenants: () => [tenant], clock, logger: createLogger('error') },
    ...{ workDirectory: join(folder, 'work'), intervalMs: hourMs },
    limits: { filesMin: 2, pastFilesMin: 2, fileAgeMsMin: 0 },
    ...more,
  });

const table = (signal: 'metrics' | 'logs') => openTable({ store, tenant, signal, locationOf, clock });

/** The rows, which all three readers agree about. */
async function rows(signal: 'metrics' | 'logs'): Promise<string[]> {
  const tables = await openCloudTables({ store, tenant, locationOf, clock });
  await using view = await tables.open(signal, {});
  const firn = await rowsOf(engine, view.from, signal);
  const icebird = await icebirdRead(locationOf(`${tenant}/lake/${signal}`), signal);
  expect(icebird.rows).toEqual(firn);
  const listed = filesSql(
    tableSchemas[signal],
    icebird.files.map(({ path }) => path),
  );
  expect(await rowsOf(engine, listed, signal)).toEqual(firn);
  return firn;
}

async function objects(part: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(`${tenant}/`)) if (key.includes(part)) keys.push(key);
  return keys;
}

test('three readers agree after appends, a schema change, compaction, deletes and expiry; nothing is left over', async () => {
  for (const offset of [0, 100, 200]) await shipDay(today - 3n, offset);
  expect(await rows('metrics')).toHaveLength(30);

  // As a table that an older Firn made: its newest column comes with the next commit.
  await changeMetadata(table('metrics'), (metadata) => ({
    ...metadata,
    lastColumnId: 9,
    schemas: metadata.schemas.map((schema) => ({
      ...schema,
      fields: schema.fields.filter(({ id }) => id < 10),
    })),
  }));
  await shipDay(today - 3n, 300);
  await shipDay(today - 3n, 300); // the same rows again, as after a lost reply
  expect(await rows('metrics')).toHaveLength(50);

  await using maintenance = maintain();
  await maintenance.runNow();
  expect(maintenance.status).toMatchObject({ rowsRepeated: 15, failures: 0 });
  const compacted = await rows('metrics');
  expect(compacted).toHaveLength(40);
  expect(await rows('logs')).toHaveLength(20);

  await requestDelete(
    store,
    tenant,
    { table: 'metrics', selector: '{topic="plant/sensor-2"}' },
    clock.nowMs(),
  );
  await requestDelete(
    store,
    tenant,
    { table: 'logs', selector: '', fromUs: Number((today - 3n) * dayUs + 300_000_000n) },
    clock.nowMs(),
  );
  await maintenance.keepHouseNow();
  expect((await rows('metrics')).length).toBe(compacted.filter((row) => !row.includes('sensor-2')).length);
  expect(await rows('logs')).toHaveLength(15);
  expect(await listDeletes(store, tenant)).toMatchObject([
    { rowsDeleted: 12, doneMs: expect.any(Number) },
    { rowsDeleted: 5, doneMs: expect.any(Number) },
  ]);
  // What comes later stays.
  await shipDay(today - 3n, 400);
  const last = await rows('metrics');
  expect(last.some((row) => row.includes('sensor-2'))).toBe(true);

  await maintenance.runNow();
  laterMs = 2 * hourMs;
  await maintenance.keepHouseNow(); // old snapshots go, and their files are noted
  for (const hours of [4, 6, 8]) {
    await shipDay(today, hours * 100);
    laterMs = hours * hourMs;
    await maintenance.keepHouseNow();
  }
  expect(maintenance.status.snapshotsExpired).toBeGreaterThan(0);
  expect((await rows('metrics')).length).toBe(last.length + 30);
  // Three are live; of the six that were merged or rewritten, the last may still wait.
  const inInbox = await objects('/segments/metrics/');
  expect(inInbox.length).toBeLessThan(5);
  expect(maintenance.status).toMatchObject({ failures: 0 });
});

test('retention: whole days go by metadata, some series by the files that hold them; late data too', async () => {
  for (const age of [40n, 10n, 1n]) for (const offset of [0, 100]) await shipDay(today - age, offset);
  await writeRetention(store, tenant, [
    { table: 'metrics', selector: '', keepDays: 30 },
    { table: 'metrics', selector: '{topic=~"plant/sensor-[12]"}', keepDays: 7 },
    { table: 'logs', selector: '', keepDays: 5 },
  ]);
  await using maintenance = maintain();
  await maintenance.keepHouseNow();
  const left = await rows('metrics');
  // Of ten samples three are of sensor 1, three of sensor 2.
  expect(left).toHaveLength(2 * 4 + 2 * 10);
  expect(await rows('logs')).toHaveLength(10);
  const version = (await table('metrics').load()).version;
  await maintenance.keepHouseNow();
  expect((await table('metrics').load()).version).toBe(version);
  await shipDay(today - 10n, 200);
  await maintenance.keepHouseNow();
  expect(await rows('metrics')).toHaveLength(3 * 4 + 2 * 10);
  expect(maintenance.status).toMatchObject({ failures: 0 });
});

test('two maintainers: one has the table until it goes or falls silent', async () => {
  for (const offset of [0, 100]) await shipDay(today, offset);
  await using second = maintain();
  {
    await using first = maintain();
    await first.runNow();
    expect(first.status.merges).toBe(2);
    for (const offset of [200, 300]) await shipDay(today, offset);
    await second.runNow();
    expect(second.status).toMatchObject({ merges: 0, failures: 0 });
  }
  await second.runNow();
  expect(second.status.merges).toBeGreaterThan(1);
  for (const offset of [400, 500]) await shipDay(today, offset);
  await using third = maintain();
  await third.runNow();
  expect(third.status.merges).toBe(0);
  laterMs = hourMs;
  await third.runNow();
  expect(third.status.merges).toBeGreaterThan(1);
});

test('a full disk: the table stays as it was, it is said once, and goes on when there is room', async () => {
  for (const offset of [0, 100]) await shipDay(today, offset);
  const before = await rows('metrics');
  let full = true;
  const putFile: ObjectStore['putFile'] = async (key, ...rest) => {
    if (full)
      throw new FirnError({
        ...{ code: 'unavailable', operation: 'put', subject: key },
        message: `no space left on device for ${key}`,
      });
    return store.putFile(key, ...rest);
  };
  const lines: string[] = [];
  const logger = createLogger('error', (line) => lines.push(line));
  await using maintenance = maintain({ store: { ...store, putFile }, logger });
  for (let round = 0; round < 2; round++) await maintenance.runNow().catch(() => undefined);
  expect(lines.filter((line) => line.includes('table=metrics'))).toEqual([
    expect.stringMatching(/could not compact a table.*no space left on device for acme\/lake\/metrics\/data/),
  ]);
  expect(await rows('metrics')).toEqual(before);
  full = false;
  await maintenance.runNow();
  expect(maintenance.status.merges).toBe(2);
  expect(await rows('metrics')).toEqual(before);
});
