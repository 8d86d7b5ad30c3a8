import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { servedTables } from '../../cloud/iceberg-rest/served-tables.ts';
import { startMaintain } from '../../cloud/maintain/maintain.ts';
import { widened } from '../../cloud/user-tables/column-types.ts';
import { userTableRoutes } from '../../cloud/user-tables/routes.ts';
import { userTableStore } from '../../cloud/user-tables/user-table-store.ts';
import { openUserTables } from '../../cloud/user-tables/user-tables.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { openSqlSession } from '../../lake/sql/session.ts';
import type { Tables } from '../../lake/tables.ts';
import { stillClock, tenant } from './lake-fixtures.ts';
import { readLocalTable } from './lake-readers.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-user-tables-'));
const store = directoryStore({ root: join(folder, 'lake') });
const clock = stillClock();
const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake'))}/${key}`;
const tables = userTableStore({ store, tenant, locationOf, clock });
const app = userTableRoutes({ tablesOf: () => tables, workDirectory: join(folder, 'work') });
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ directories: [join(folder, 'lake')], memoryBytesMax: 128e6, threads: 1 });
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function load(name: string, csv: string, query = ''): Promise<{ status: number; data: unknown }> {
  clock.advance(2_000); // what a statement knows of the tables may be a second old
  const response = await app.request(`/api/v1/firn/tables/${name}${query}`, { method: 'POST', body: csv });
  const { data, error } = (await response.json()) as { data?: unknown; error?: string };
  return { status: response.status, data: data ?? error };
}

async function rows(sql: string): Promise<unknown[][]> {
  const lake: Tables = {
    tenant,
    metricMetadata: async () => [],
    userTables: openUserTables({ tables, store, clock }),
    open: async () => ({
      from: `(SELECT 'temperature' AS name, 1::BIGINT AS series_id, make_timestamptz(0) AS timestamp, 21.5::DOUBLE AS value,
        '{"room":"hall-2"}' AS labels, 's' AS site, NULL::VARCHAR AS quality, NULL::TIMESTAMPTZ AS device_timestamp,
        NULL::VARCHAR AS histogram, NULL::TIMESTAMPTZ AS start_timestamp)`,
      ...{ filesConsidered: 1, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined },
    }),
  };
  await using session = await openSqlSession({ engine, tables: lake, clock, user: 'u', database: tenant });
  const [parsed] = await session.parse(sql);
  const statement = await parsed?.analyze();
  if (!statement) throw new Error('no statement');
  await using result = await statement.execute([], new AbortController().signal);
  const found: unknown[][] = [];
  for await (const chunk of result.chunks()) found.push(...chunk.rows().map((row) => row.map(String)));
  return found;
}

test('a CSV file becomes a table with the types that it has, and is joined with telemetry', async () => {
  const csv =
    'room,machine,capacity,installed,critical\nhall-1,press,12,2021-03-01,true\nhall-2,oven,7,2019-11-30,false\n';
  expect(await load('assets', csv)).toMatchObject({
    status: 201,
    data: {
      ...{ name: 'assets', rows: 2, rowsLoaded: 2 },
      columns: [
        { name: 'room', type: 'VARCHAR' },
        { name: 'machine', type: 'VARCHAR' },
        { name: 'capacity', type: 'BIGINT' },
        { name: 'installed', type: 'DATE' },
        { name: 'critical', type: 'BOOLEAN' },
      ],
    },
  });
  const sql = `SELECT a.machine, m.value FROM metrics m JOIN public.assets a ON a.room = m.labels->>'room'`;
  expect(await rows(sql)).toEqual([['oven', '21.5']]);
});

test('what is added may have other columns and wider values; what is loaded anew has its own', async () => {
  await load('shifts', 'day,crew\n2026-01-01,3\n');
  await load('shifts', 'crew,lead\n2.5,Ann\n', '?mode=append');
  expect(await rows('SELECT * FROM shifts ORDER BY crew')).toEqual([
    ['null', '2.5', 'Ann'],
    ['2026-01-01', '3', 'null'],
  ]);
  expect(await load('shifts', 'day,crew\n2026-01-02,night\n', '?mode=append')).toMatchObject({
    data: { columns: [{ type: 'DATE' }, { name: 'crew', type: 'VARCHAR' }, { name: 'lead' }], rows: 3 },
  });
  expect(await load('shifts', 'crew\n1\n')).toMatchObject({ data: { rows: 1, columns: [{ name: 'crew' }] } });
  expect(await rows('SELECT * FROM shifts')).toEqual([['1']]);
});

test('other engines find it in the catalog, with its columns by field id, and read its rows', async () => {
  await load('machines', 'id,built\n1,2020-01-02\n2,2021-03-04\n');
  await load('machines', 'id,note\n3,new\n', '?mode=append');
  const served = servedTables({ store, locationOf, clock, maxAgeMs: 0 });
  expect(await served.names(tenant)).toContain('machines');
  const { metadata } = (await served.load(tenant, 'machines')) ?? {};
  expect(metadata?.schemas.at(-1)?.fields.map(({ id, name, type }) => [id, name, type])).toEqual([
    [1, 'id', 'long'],
    [2, 'built', 'date'],
    [3, 'note', 'string'],
  ]);
  const readByOthers = async () => {
    const found = await readLocalTable(`${pathToFileURL(join(folder, 'lake', tenant, 'lake', 'machines'))}`);
    return found
      .map(({ id, built, note }) => [String(id), built ?? null, note ?? null])
      .sort(([one], [other]) => (String(one) < String(other) ? -1 : 1));
  };
  expect(await readByOthers()).toEqual([
    ['1', new Date('2020-01-02'), null],
    ['2', new Date('2021-03-04'), null],
    ['3', null, 'new'],
  ]);
  // Iceberg widens no number to text: the column is another one, and the rows are written again.
  await load('machines', 'id\nx7\n', '?mode=append');
  const changed = (await served.load(tenant, 'machines'))?.metadata.schemas.at(-1)?.fields;
  expect(changed?.map(({ id, name }) => [id, name])).toEqual([
    [4, 'id'],
    [2, 'built'],
    [3, 'note'],
  ]);
  expect((await readByOthers()).map(([id]) => id)).toEqual(['1', '2', '3', 'x7']);
  expect(await rows('SELECT id FROM machines ORDER BY id')).toEqual([['1'], ['2'], ['3'], ['x7']]);
});

test('clients see it where they look for tables', async () => {
  await load('seen', 'id,name,at\n1,a,2020-01-02\n');
  const [[oid] = []] = await rows(
    `SELECT oid FROM pg_class WHERE relname = 'seen' AND pg_table_is_visible(oid)`,
  );
  // What psql's \\d asks.
  const described = `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = '${oid}' AND a.attnum > 0 ORDER BY a.attnum`;
  expect(await rows(described)).toEqual([
    ['id', 'bigint', 'false'],
    ['name', 'text', 'false'],
    ['at', 'date', 'false'],
  ]);
  expect(
    await rows(`SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
      WHERE table_name IN ('seen', 'gaps') AND ordinal_position = 1 ORDER BY 2`),
  ).toEqual([
    ['public', 'gaps', 'timestamp', 'timestamp with time zone'],
    ['public', 'seen', 'id', 'bigint'],
  ]);
  expect(await rows(`SELECT count(*) FROM information_schema.tables WHERE table_name = 'seen'`)).toEqual([
    ['1'],
  ]);
  await app.request('/api/v1/firn/tables/seen', { method: 'DELETE' });
  clock.advance(2_000);
  expect(await rows(`SELECT tablename FROM pg_tables WHERE tablename = 'seen'`)).toEqual([]);
});

test('of loads at once each is there, or says that it is not', async () => {
  const loads = Array.from({ length: 4 }, (_, index) => load('busy', `a\n${index}\n`, '?mode=append'));
  const stored = (await Promise.all(loads)).filter(({ status }) => status === 201).length;
  expect(stored).toBe(4);
  expect(await rows('SELECT a FROM busy ORDER BY a')).toEqual([['0'], ['1'], ['2'], ['3']]);
});

test('files of before are there for views that are open, and go when their snapshots have', async () => {
  await using maintenance = startMaintain({
    ...{ store, locationOf, logger: createLogger('silent'), tenants: () => [tenant] },
    // Its own loop is to sleep.
    ...{ clock: { ...clock, sleep: systemClock.sleep }, intervalMs: 3_600_000 },
    workDirectory: join(folder, 'maintain'),
    limits: { snapshotsKeptMin: 1 },
  });
  const files = async (): Promise<number> => {
    let count = 0;
    for await (const _ of store.list(`${tenant}/lake/renewed/data/`)) count++;
    return count;
  };
  for (const each of [1, 2, 3]) await load('renewed', `a\n${each}\n`);
  await maintenance.keepHouseNow();
  expect(await files()).toBe(3);
  clock.advance(2 * 3_600_000);
  await maintenance.keepHouseNow(); // the snapshots go, and their files are noted
  clock.advance(8 * 86_400_000);
  await load('renewed', 'a\n4\n', '?mode=append');
  await maintenance.keepHouseNow();
  expect(maintenance.status.failures).toBe(0);
  expect(await files()).toBe(2);
  expect(await rows('SELECT a FROM renewed ORDER BY a')).toEqual([['3'], ['4']]);
});

test.each([
  ['metrics', 'a\n1\n', '', /name of a table of the lake/],
  ['Bad', 'a\n1\n', '', /no table name/],
  ['fine', 'a\n1\n', '?mode=merge', /replace or append/],
  ['fine', '', '', /no CSV/],
])('POST %s %j%s is refused', async (name, csv, query, why) => {
  const answer = await load(name, csv, query);
  expect(answer.status).toBe(400);
  expect(answer.data).toMatch(why);
});

test('a table that is dropped is no table any more', async () => {
  await load('gone', 'a\n1\n');
  expect((await app.request('/api/v1/firn/tables/gone', { method: 'DELETE' })).status).toBe(200);
  expect((await app.request('/api/v1/firn/tables/gone', { method: 'DELETE' })).status).toBe(404);
  clock.advance(2_000);
  await expect(rows('SELECT * FROM gone')).rejects.toThrow(/relation "gone" does not exist/);
  expect(await servedTables({ store, locationOf, clock }).names(tenant)).not.toContain('gone');
  await load('gone', 'b\n2\n', '?mode=append');
  expect(await rows('SELECT * FROM gone')).toEqual([['2']]);
});

test.each([
  ['BIGINT', 'DOUBLE', 'DOUBLE'],
  ['DOUBLE', 'BIGINT', 'DOUBLE'],
  ['DATE', 'TIMESTAMP', 'TIMESTAMP'],
  ['BOOLEAN', 'BIGINT', 'VARCHAR'],
  ['DATE', 'DATE', 'DATE'],
] as const)('%s and %s become %s', (one, other, both) => {
  expect(widened(one, other)).toBe(both);
});
