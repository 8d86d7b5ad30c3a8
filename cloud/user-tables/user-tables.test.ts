import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { openSqlSession } from '../../lake/sql/session.ts';
import type { Tables } from '../../lake/tables.ts';
import { stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { widened } from './column-types.ts';
import { userTableRoutes } from './routes.ts';
import { userTableStore } from './user-table-store.ts';
import { openUserTables } from './user-tables.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-user-tables-'));
const store = directoryStore({ root: join(folder, 'lake') });
const clock = stillClock();
const tables = userTableStore(store, tenant, clock);
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
  const [statement] = await session.parse(sql);
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
  // Files of before are kept for views that are open, and go with a later load.
  clock.advance(4_000_000);
  await load('shifts', 'crew\n2\n');
  const left: string[] = [];
  for await (const { key } of store.list(`${tenant}/tables/shifts/data/`)) left.push(key);
  expect(left).toHaveLength(2);
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
