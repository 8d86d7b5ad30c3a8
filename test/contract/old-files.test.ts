import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { evolvingTo, openTables } from '../../cloud/catalog/table.ts';
import { commitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { ingestLimits, openTenantIngest } from '../../cloud/ingest/tenant-ingest.ts';
import { startMaintain } from '../../cloud/maintain/maintain.ts';
import { openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { type Batch, type Signal, signals } from '../../lake/model/batch.ts';
import { plainReceipts } from '../../lake/model/receipt.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { mergeSegments } from '../../lake/parquet/duckdb-merge.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import type { SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { tenant } from './lake-fixtures.ts';
import { icebirdRead, rowsOf } from './lake-readers.ts';
import { oldSchema, oldWriter } from './old-files.ts';
import { logsBatch, metricsBatch, seriesOf } from './rows.ts';
import { ship } from './ship.ts';

// What an earlier version wrote stays readable beside what this one writes, and goes on with it.

const noonUs = 20_000n * 86_400_000_000n + 43_200_000_000n;
const later: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 120_000 };

let folder: string;
let store: ObjectStore;
let engine: Engine;
let writer: SegmentWriter;
const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake')).href}/${key}`;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-old-'));
  await mkdir(join(folder, 'spill'));
  store = directoryStore({ root: join(folder, 'lake') });
  engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  writer = await openDuckdbWriter();
});
afterEach(async () => {
  await writer[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Two rows of each table; the second's time is doubted. */
function batchesOf(number: number): readonly Batch[] {
  const at = noonUs + BigInt(number) * 1000n;
  const doubt = ['device-future', noonUs * 2n] as const;
  return [
    metricsBatch([
      [1n, at, 0x7ff0000000000002n],
      [2n, at, BigInt(number), ...doubt],
    ]),
    logsBatch([
      [1n, at * 1000n, `line ${number}`, null, 'info'],
      [2n, at * 1000n, 'doubted', '{}', null, ...doubt],
    ]),
  ];
}

const marksIn = (rows: readonly string[]): number =>
  rows.filter((row) => row.includes('device-future')).length;

test.each([
  ['old files alone', 3, 0],
  ['old and new files', 2, 2],
] as const)(
  '%s: are read and merged, without a doubt where there was no column for it',
  async (_, old, young) => {
    for (const [index, signal] of (['metrics', 'logs'] as const).entries()) {
      const paths: string[] = [];
      for (let number = 0; number < old + young; number++) {
        const batch = batchesOf(number)[index];
        const [file] = await (number < old ? oldWriter(writer) : writer).write({
          signal,
          site: 'plant',
          batches: batch ? [batch] : [],
          labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
          pathOf: () => join(folder, `${signal}-${number}.parquet`),
        });
        paths.push(file?.path ?? '');
      }
      const rows = await rowsOf(engine, filesSql(tableSchemas[signal], paths), signal);
      expect([rows.length, marksIn(rows)]).toEqual([2 * (old + young), young]);
      const path = join(folder, `${signal}.parquet`);
      await mergeSegments({
        ...{ signal, paths, rows: rows.length, path },
        ...{ writerMemoryBytesMax: 64e6, spillDirectory: join(folder, 'spill') },
      });
      expect(await rowsOf(engine, `read_parquet('${path}')`, signal)).toEqual(rows);
    }
  },
);

async function shipNumber(number: number, by: SegmentWriter): Promise<void> {
  await ship({ writer: by, store, folder, gateway: 'gw-1', number, batches: batchesOf(number) });
}

/** The first three shipments as an earlier version brought them in. */
async function oldLake(): Promise<void> {
  for (const number of [1, 2, 3]) await shipNumber(number, oldWriter(writer));
  const tables = openTables({ store, tenant, locationOf, clock: systemClock });
  const entries = signals.map((signal) => {
    const table = tables[signal];
    const schema = oldSchema(table.schema);
    return [signal, { ...table, schema, evolve: evolvingTo(schema) }] as const;
  });
  const ingest = openTenantIngest({
    receipts: plainReceipts,
    tenant,
    tables: Object.fromEntries(entries) as unknown as typeof tables,
    logger: createLogger('error'),
    limits: ingestLimits,
    verify: 'sha256',
    commitShipments,
  });
  expect(await ingest.round()).toMatchObject({ shipments: 3, failure: undefined });
}

const metadataOf = (signal: Signal, version: number) =>
  JSON.parse(
    readFileSync(join(folder, `lake/${tenant}/lake/${signal}/metadata/v${version}.metadata.json`), 'utf8'),
  );

async function rowsIn(signal: Signal): Promise<{ rows: string[]; files: number }> {
  const tables = await openCloudTables({ store, tenant, locationOf });
  await using view = await tables.open(signal, {});
  const rows = await rowsOf(engine, view.from, signal);
  const icebird = await icebirdRead(locationOf(`${tenant}/lake/${signal}`), signal);
  expect(icebird.rows).toEqual(rows);
  return { rows, files: view.filesConsidered };
}

test('a table gets the new columns with its next commit, and again with a merge, for every reader', async () => {
  await oldLake();
  for (const signal of ['metrics', 'logs'] as const) {
    expect(metadataOf(signal, 1)).toMatchObject({
      'current-schema-id': 0,
      'last-column-id': signal === 'metrics' ? 6 : 10,
    });
    const { rows } = await rowsIn(signal);
    expect([rows.length, marksIn(rows)]).toEqual([6, 0]);
  }
  await shipNumber(4, writer);
  const shared = { store, locationOf, tenants: () => [tenant], logger: createLogger('error') };
  {
    await using ingest = startIngest({ ...shared, clock: systemClock });
    await ingest.pollNow();
    expect(ingest.status()).toMatchObject({ shipments: 1, quarantined: 0, failures: 0 });
  }
  for (const signal of ['metrics', 'logs'] as const) {
    const metadata = metadataOf(signal, 2);
    const { columns } = tableSchemas[signal];
    const oldColumns = oldSchema(tableSchemas[signal]).columns.length;
    const newest = columns.at(-1);
    expect(metadata).toMatchObject({ 'current-schema-id': 1, 'last-column-id': columns.length });
    expect(metadata.schemas.map(({ fields }: { fields: unknown[] }) => fields.length)).toEqual([
      oldColumns,
      columns.length,
    ]);
    expect(metadata.schemas[1].fields.slice(-1)).toMatchObject([
      { id: columns.length, name: newest?.name, type: 'timestamptz', required: false },
    ]);
    expect(JSON.parse(metadata.properties['schema.name-mapping.default'])).toHaveLength(columns.length);
    expect(metadata.snapshots.map((snapshot: Record<string, unknown>) => snapshot['schema-id'])).toEqual([
      0, 1,
    ]);
    const { rows, files } = await rowsIn(signal);
    expect([rows.length, marksIn(rows), files]).toEqual([8, 1, 4]);
  }
  await using maintain = startMaintain({
    ...{ ...shared, clock: later, workDirectory: join(folder, 'work'), intervalMs: 3_600_000 },
    limits: { filesMin: 4, pastFilesMin: 4 },
  });
  const before = { metrics: await rowsIn('metrics'), logs: await rowsIn('logs') };
  await maintain.runNow();
  expect(maintain.status).toMatchObject({ merges: 2, failures: 0 });
  for (const signal of ['metrics', 'logs'] as const) {
    expect(await rowsIn(signal)).toEqual({ rows: before[signal].rows, files: 1 });
    expect(metadataOf(signal, 3)).toMatchObject({ 'current-schema-id': 1 });
  }
});
