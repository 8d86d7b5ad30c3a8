import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Hono } from 'hono';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { changeMetadata, commit } from '../../cloud/catalog/commit.ts';
import { dataFileOf } from '../../cloud/catalog/data-file.ts';
import { tagsMax } from '../../cloud/catalog/tags.ts';
import { type CloudTables, openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { type TableRouteOptions, tableRoutes } from '../../cloud/tables/routes.ts';
import { answerBySession } from '../../lake/api/sql/routes.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { dayText } from '../../lake/schema/tables.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { openSqlSession } from '../../lake/sql/session.ts';
import { stillClock, tenant } from './lake-fixtures.ts';
import { metricsBatch, seriesOf } from './rows.ts';

// Four commits a minute apart, of one sample each: states of a table by time, snapshot and tag, and plans of reading it.

const folder = mkdtempSync(join(tmpdir(), 'firn-time-travel-'));
const store = directoryStore({ root: folder });
const locationOf = (key: string): string => `${pathToFileURL(folder).href}/${key}`;
const clock = stillClock();
const startMs = clock.nowMs();
const day = Math.floor(startMs / 86_400_000);
let engine: Engine;
let tables: CloudTables;
let app: Hono;

/** The bits of a double. */
const bitsOf = (value: number): bigint => new BigInt64Array(Float64Array.of(value).buffer)[0] ?? 0n;

beforeAll(async () => {
  engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  tables = await openCloudTables({ store, tenant, locationOf, clock, snapshotMaxAgeMs: 0 });
  await using writer = openParquetjsWriter();
  for (let index = 0; index < 4; index++) {
    clock.advance(60_000);
    const path = join(folder, 'made.parquet');
    const [file] = await writer.write({
      signal: 'metrics',
      site: 'plant',
      batches: [metricsBatch([[BigInt(index), BigInt(startMs) * 1000n, bitsOf(index)]])],
      labelsOf: (ids) => new Map([...ids].map((id) => [id, seriesOf(id)])),
      pathOf: () => path,
    });
    if (!file) throw new Error('nothing was written');
    const key = `${tenant}/data/${index}.parquet`;
    await store.putFile(key, path);
    const table = tables.icebergTable('metrics');
    const added = dataFileOf({ ...file, key, signal: 'metrics' }, table.locations);
    await commit(table, () => ({ added: [added], summary: {} }));
  }
  const runSql: TableRouteOptions['runSql'] = (c, over, statement) =>
    answerBySession(() => openSqlSession({ engine, tables: over, clock, user: 'ada', database: tenant }))(
      c,
      statement,
    );
  app = new Hono().route('/', tableRoutes({ bodyBytesMax: 1024, tablesOf: async () => tables, runSql }));
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  store.close();
  rmSync(folder, { recursive: true });
});

async function values(sql: string): Promise<unknown[]> {
  await using session = await openSqlSession({ engine, tables, clock, user: 'ada', database: tenant });
  const found: unknown[] = [];
  for (const parsed of await session.parse(sql)) {
    const statement = await parsed.analyze();
    await using result = await statement.execute([], new AbortController().signal);
    for await (const chunk of result.chunks()) found.push(...chunk.rows().map(([value]) => value));
  }
  return found;
}
const timeText = (minutes: number): string => new Date(startMs + minutes * 60_000).toISOString();
const snapshots = async () => (await tables.icebergTable('metrics').load()).metadata?.snapshots ?? [];
const call = async (method: string, path: string, body?: string) => {
  const answer = await app.request(path, { method, ...(body !== undefined && { body }) });
  const text = await answer.text();
  return { status: answer.status, text, json: text === '' ? undefined : (JSON.parse(text) as unknown) };
};

test('by time: what was committed until then, and not before the history that is kept', async () => {
  const at = (minutes: number) =>
    values(`SELECT value FROM metrics FOR SYSTEM_TIME AS OF TIMESTAMPTZ '${timeText(minutes)}' ORDER BY 1`);
  expect(await at(1)).toEqual([0]);
  expect(await at(1.5)).toEqual([0]);
  expect(await at(3)).toEqual([0, 1, 2]);
  expect(await at(100)).toEqual([0, 1, 2, 3]);
  await expect(at(0.5)).rejects.toMatchObject({
    sqlstate: '22023',
    hint: expect.stringContaining(timeText(1)),
  });
  expect(await values("SELECT count(*) FROM logs FOR SYSTEM_TIME AS OF now() - interval '1 day'")).toEqual([
    0n,
  ]);
});

test('by snapshot, beside the newest', async () => {
  const [, second] = await snapshots();
  expect(
    await values(`SELECT value FROM metrics FOR SYSTEM_VERSION AS OF ${second?.snapshotId} ORDER BY 1`),
  ).toEqual([0, 1]);
  expect(
    await values(`SELECT value FROM metrics EXCEPT
      SELECT value FROM metrics FOR SYSTEM_VERSION AS OF ${second?.snapshotId} ORDER BY 1`),
  ).toEqual([2, 3]);
  await expect(values('SELECT 1 FROM metrics FOR VERSION AS OF 5')).rejects.toMatchObject({
    sqlstate: '22023',
  });
});

const tags = '/api/v1/firn/tables/metrics/tags';

test('by tag, which outlives the snapshots around it', async () => {
  expect(await call('PUT', `${tags}/audit-26?as_of=${timeText(2)}`)).toMatchObject({ status: 200 });
  expect(await call('PUT', `${tags}/audit-26?as_of=${timeText(2.5)}`)).toMatchObject({ status: 200 });
  expect(await call('PUT', `${tags}/audit-26`)).toMatchObject({ status: 409 });
  expect(await call('PUT', `${tags}/main`)).toMatchObject({ status: 409 });
  expect(await call('PUT', `${tags}/month?max_age_days=30`)).toMatchObject({ status: 200 });
  expect((await call('GET', tags)).json).toEqual({
    tags: [
      { name: 'audit-26', snapshot: expect.any(String), committed: timeText(2) },
      { name: 'month', snapshot: expect.any(String), committed: timeText(4), maxAgeDays: 30 },
    ],
  });
  const sql = "SELECT value FROM metrics FOR VERSION AS OF 'audit-26' ORDER BY 1";
  expect(await values(sql)).toEqual([0, 1]);
  // As expiry does: all snapshots but those that a reference names.
  await changeMetadata(tables.icebergTable('metrics'), (metadata) => {
    const named = new Set(Object.values(metadata.refs).map((ref) => ref['snapshot-id']));
    return { ...metadata, snapshots: metadata.snapshots.filter(({ snapshotId }) => named.has(snapshotId)) };
  });
  expect(await snapshots()).toHaveLength(2);
  expect(await values(sql)).toEqual([0, 1]);
  expect(await call('DELETE', `${tags}/audit-26`)).toMatchObject({ status: 204 });
  expect(await call('DELETE', `${tags}/audit-26`)).toMatchObject({ status: 404 });
  expect(await call('DELETE', `${tags}/main`)).toMatchObject({ status: 404 });
  await expect(values(sql)).rejects.toMatchObject({ hint: 'its tags are month' });
});

test.each([
  ['PUT', `${tags}/-bad`, 400],
  ['PUT', `${tags}/x?as_of=yesterday`, 400],
  ['PUT', `${tags}/x?as_of=snapshot:1`, 404],
  ['PUT', `${tags}/x?max_age_days=0`, 400],
  ['PUT', '/api/v1/firn/tables/logs/tags/x', 404],
  ['GET', '/api/v1/firn/tables/nothing/tags', 400],
])('%s %s is answered with %i', async (method, path, status) => {
  expect(await call(method, path)).toMatchObject({
    status,
    json: { error: { message: expect.any(String) } },
  });
});

test('tags are limited', async () => {
  const statuses: number[] = [];
  for (let index = 0; index <= tagsMax; index++)
    statuses.push((await call('PUT', `${tags}/t${index}`)).status);
  // One was there before.
  expect(statuses.indexOf(422)).toBe(tagsMax - 1);
});

test('a plan says what would be read, and by what the rest is pruned', async () => {
  const plan = async (query: string) => (await call('GET', `/api/v1/firn/plan?table=metrics&${query}`)).json;
  expect(await plan('name=a_total')).toMatchObject({
    plans: [
      {
        asked: { name: 'a_total' },
        files: { considered: 4, read: 1, prunedBy: { name: 3 } },
        rows: 1,
        reads: [{ path: locationOf(`${tenant}/data/1.parquet`), day: dayText(day) }],
      },
    ],
  });
  expect(await plan('series_id=2')).toMatchObject({
    plans: [{ files: { read: 1, prunedBy: { series: 3 } } }],
  });
  expect(await plan(`end=${timeText(-1440)}`)).toMatchObject({
    plans: [{ files: { read: 0, prunedBy: { partition: 4 } }, manifests: { read: 0 } }],
  });
  expect(await plan('start=2030-01-01T00:00:00Z&as_of=tag:month')).toMatchObject({
    plans: [{ files: { read: 0 } }],
  });
  const sql = `SELECT value FROM metrics WHERE name = 'up' AND series_id = 0 AND timestamp > now() - interval '1 h'`;
  expect((await call('POST', '/api/v1/firn/plan', sql)).json).toMatchObject({
    plans: [{ asked: { name: 'up', series_id: '0' }, files: { read: 1, prunedBy: { name: 3 } } }],
  });
  const answer = await app.request('/api/v1/firn/plan?format=text', { method: 'POST', body: sql });
  expect(await answer.text()).toMatch(
    /^scan metrics where .*\n {2}snapshot \d+ .*\n.*\n {2}files: 1 of 4 read, pruned: 3 by name\n/,
  );
  expect(await call('POST', '/api/v1/firn/plan', 'SELECT nope FROM metrics')).toMatchObject({ status: 400 });
  expect(await call('GET', '/api/v1/firn/plan?table=metrics&series_id=x')).toMatchObject({ status: 400 });
});
