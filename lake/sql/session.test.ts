import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBValue } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Prune } from '../tables.ts';
import {
  fixedClock as clock,
  constantRows,
  constantTables,
  nowMs,
  nowUs,
} from './constant-tables.fixture.ts';
import { type Engine, openDuckdb, openEngine, sqlText } from './duckdb/engine.ts';
import { SqlError } from './errors.ts';
import { openSqlSession } from './session.ts';
import type { SqlSession } from './sql-session.ts';

// Statements as clients send them, over tables that are made of constants.

let folder: string;
let engine: Engine;
let session: SqlSession;
let pruned: Prune[] = [];
let open = 0;
/** Whether the tables leave out rows outside of what they are asked for, as files that can't match would be. */
let pruning = true;

function whereOf({ fromUs, toUs, name }: Prune): string {
  const bounds = [
    fromUs === undefined ? 'true' : `timestamp >= make_timestamptz(${fromUs})`,
    toUs === undefined ? 'true' : `timestamp <= make_timestamptz(${toUs})`,
    name === undefined ? 'true' : `name = ${sqlText(name)}`,
  ];
  return bounds.join(' AND ');
}

const tables = constantTables({
  opened: (prune) => {
    pruned.push(prune);
    open++;
  },
  closed: () => open--,
  fromOf: (table, prune) =>
    pruning ? `(SELECT * FROM ${constantRows[table]} WHERE ${whereOf(prune)})` : constantRows[table],
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-'));
  const writer = await openDuckdb({});
  const connection = await writer.connect();
  await connection.run(`COPY (SELECT 42 AS secret) TO ${sqlText(join(folder, 'x.parquet'))}`);
  connection.closeSync();
  writer.closeSync();
  engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  session = await openSqlSession({ engine, tables, clock, user: 'ada', database: 'demo' });
});

afterAll(async () => {
  await session[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function run(text: string, parameters: readonly (string | null)[] = []): Promise<DuckDBValue[][]> {
  pruned = [];
  const found: DuckDBValue[][] = [];
  for (const parsed of await session.parse(text)) {
    const statement = await parsed.analyze();
    await using result = await statement.execute(parameters, new AbortController().signal);
    for await (const chunk of result.chunks()) found.push(...chunk.rows().map((row) => [...row]));
  }
  return found;
}

async function errorOf(text: string): Promise<SqlError> {
  const error = await run(text).catch((thrown: unknown) => thrown);
  if (error instanceof SqlError) return error;
  throw new Error(`no SqlError for ${text}: ${String(error)}`);
}

test.each(['timestamp', 'time'])('the metrics of the last hour, with the column called %s', async (time) => {
  const found = await run(
    `SELECT ${time}, value, labels FROM metrics WHERE __name__ = 'http_requests_total' AND ${time} > now() - interval '1 hour' ORDER BY ${time} DESC;`,
  );
  expect(found.map(([, value]) => value)).toEqual([1, 2, 4, 5]);
  expect(pruned).toEqual([{ fromUs: nowUs - 3600e6, name: 'http_requests_total' }]);
});

test('the logs of a service: ->> binds more tightly than =, and message is line', async () => {
  const found = await run(
    `SELECT timestamp, message, labels FROM logs WHERE labels->>'service' = 'api-gateway' AND timestamp > now() - interval '30 minutes';`,
  );
  expect(found.map(([, message]) => message)).toEqual(['line 0', 'line 1', 'line 2']);
  expect(await run(`SELECT line = message, labels->>'a.b' FROM logs LIMIT 1`)).toEqual([[true, 'dot']]);
  expect(await run(`SELECT labels->>$1 FROM logs LIMIT 1`, ['service'])).toEqual([['api-gateway']]);
});

test('a star gives each column once', async () => {
  const [parsed] = await session.parse(`SELECT * FROM metrics WHERE __name__ = 'up'`);
  const statement = await parsed?.analyze();
  const columns = await statement?.describe();
  expect(columns?.map(({ name }) => name)).toEqual([
    'name',
    'series_id',
    'timestamp',
    'value',
    'labels',
    'site',
    'quality',
    'device_timestamp',
    'histogram',
    'start_timestamp',
  ]);
});

test('spans and events are tables, and what they hold as JSON is JSON', async () => {
  expect(
    await run(`SELECT service, duration_ns / 1000, attributes->'http.status', events->0->>'name', time = timestamp
      FROM spans WHERE span_id = 'c1'`),
  ).toEqual([['press', 1, '200', 'retry', true]]);
  expect(await run(`SELECT name, body FROM events WHERE source = 'press'`)).toEqual([['door', 'open']]);
});

test('gaps and rollups are tables like the others, whatever their columns are called', async () => {
  expect(
    await run(`SELECT signal, class, kind, reason, rows, detail, gateway, timeend - time = interval '1 hour'
      FROM gaps WHERE timestamp <= now() AND end_timestamp > now() - interval '1 minute'`),
  ).toEqual([['metrics', 'metrics', 'gap', 'disk-full', 120n, null, 'gw-1', true]]);
  expect(pruned).toEqual([{ toUs: nowUs }]);
  expect(await run('SELECT g.rows AS last, count(*) FROM gaps AS g GROUP BY rows ORDER BY rows')).toEqual([
    [120n, 1n],
  ]);
  expect(
    await run(`SELECT min(min), max(max), sum(sum) / sum(count), max(last), count(count)
      FROM metrics_1m WHERE __name__ = 'up' AND labels->>'service' = 'api-gateway'`),
  ).toEqual([[1.5, 3.5, 2.5, 3.5, 2n]]);
  expect(pruned).toEqual([{ name: 'up' }]);
  expect(
    await run(
      `SELECT count(*) FROM metrics WHERE quality = 'device-past' AND device_timestamp < '1971-01-01'`,
    ),
  ).toEqual([[1n]]);
  expect(
    await run(`SELECT value, exemplar_labels->>'trace_id' = trace_id FROM exemplars WHERE __name__ = 'up'`),
  ).toEqual([[1.5, true]]);
  expect(
    await run(`SELECT table_name, (SELECT count(*) FROM information_schema.columns c WHERE c.table_name = t.table_name)
      FROM information_schema.tables t WHERE table_schema = 'public' ORDER BY 1`),
  ).toEqual([
    ['events', 12n],
    ['exemplars', 11n],
    ['gaps', 12n],
    ['logs', 14n],
    ['metrics', 12n],
    ['metrics_1m', 12n],
    ['metrics_rollup_1h', 21n],
    ['metrics_rollup_1m', 21n],
    ['spans', 19n],
  ]);
  expect(
    await run(`SELECT obj_description(c.oid, 'pg_class') <> '', col_description(c.oid, 7) FROM pg_class c
      WHERE relname IN ('gaps', 'metrics_1m') ORDER BY relname`),
  ).toEqual([
    [true, 'How many rows are missing; NULL where it is not known'],
    [true, 'How many samples the minute had'],
  ]);
  expect((await errorOf('SELECT * FROM gap')).hint).toBe(
    'the tables are metrics, logs, metrics_1m, gaps, exemplars, spans, events, metrics_rollup_1m, metrics_rollup_1h',
  );
});

test.each([
  ['SELECT nope FROM metrics', '42703', 8],
  ["SELECT 'ä', nope FROM metrics", '42703', 13],
  ['SELECT * FROM nope', '42P01', 15],
  ['SELECT * FROM other.metrics', '42P01', 15],
  ['selec 1', '42601', 1],
  ["SELECT 'ä', 1 +", '42601', 16],
  ['SELECT nope(1)', '42883', 8],
])('%s is refused as %s at %i', async (text, sqlstate, position) => {
  expect(await errorOf(text)).toMatchObject({ sqlstate, position });
});

test.each([
  ['INSERT INTO metrics VALUES (1)', /25006/],
  ['DELETE FROM metrics', /25006/],
  ['CREATE TABLE t (a int)', /25006/],
  ["COPY (SELECT 1) TO '/x.csv'", /42501/],
  ["COPY (SELECT 1) TO PROGRAM 'cat'", /42501/],
  ["COPY metrics FROM '/x.csv'", /42501/],
  ["ATTACH 'x.db'", /0A000/],
  ['INSTALL httpfs', /0A000/],
  ['PRAGMA database_list', /0A000/],
  ["SET memory_limit = '1GB'", /42704/],
  ["SELECT * FROM read_parquet('x.parquet')", /42501|42883/],
  ["SELECT * FROM read_text('x')", /42501|42883/],
  ["SELECT * FROM glob('*')", /42501|42883/],
  ['SELECT * FROM duckdb_settings()', /42501|42883/],
  ['SELECT * FROM duckdb_tables', /42P01/],
  ['SELECT * FROM sqlite_master', /42P01/],
  ['SELECT * FROM firn_catalog.pg_class', /42P01/],
  ["SELECT getvariable('firn_user')", /42501|42883/],
  ["SELECT json_execute_serialized_sql('x')", /42501|42883/],
  ["SELECT * FROM query('select 1')", /42501|42883/],
])('%s is refused', async (text, sqlstate) => {
  expect((await errorOf(text)).sqlstate).toMatch(sqlstate);
});

test('a name of WITH is visible where SQL says, and nowhere does it let a file or a view of the engine in', async () => {
  for (const name of [join(folder, 'x.parquet'), 'sqlite_master', 'pg_settings_of_engine', 'duckdb_tables']) {
    const common = `WITH "${name}" AS (SELECT 1 AS a) SELECT a FROM "${name}"`;
    expect(await run(common)).toEqual([[1]]);
    expect(await errorOf(`SELECT * FROM (${common}) t, "${name}"`)).toMatchObject({ sqlstate: '42P01' });
    expect(
      await errorOf(`WITH b AS (SELECT * FROM "${name}"), "${name}" AS (SELECT 1) SELECT * FROM b`),
    ).toMatchObject({
      sqlstate: '42P01',
    });
  }
  expect(await run('WITH metrics AS (SELECT * FROM metrics LIMIT 2) SELECT count(*) FROM metrics')).toEqual([
    [2n],
  ]);
  const series =
    'WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n';
  expect(await run(`${series} ORDER BY i`)).toEqual([[1], [2], [3]]);
});

test('a statement that is aborted ends with 57014, and its view is let go', async () => {
  const [parsed] = await session.parse(
    'SELECT count(*) FROM metrics, generate_series(1, 100000) a, generate_series(1, 100000) b',
  );
  const statement = await parsed?.analyze();
  const controller = new AbortController();
  const running = (async () => {
    await using result = await statement?.execute([], controller.signal);
    for await (const _ of result?.chunks() ?? []);
  })();
  setTimeout(() => controller.abort(), 200);
  await expect(running).rejects.toMatchObject({ sqlstate: '57014' });
  expect(open).toBe(0);
});

test('a text over statementBytesMax, and a nesting that is too deep, are refused', async () => {
  await using small = await openSqlSession({
    engine,
    tables,
    clock,
    user: 'ada',
    database: 'demo',
    limits: { statementBytesMax: 20 },
  });
  await expect(small.parse('SELECT 1 + 1 + 1 + 1 + 1')).rejects.toMatchObject({ sqlstate: '54000' });
  expect(await errorOf(`SELECT ${'('.repeat(20_000)}1${')'.repeat(20_000)}`)).toMatchObject({
    sqlstate: '54001',
  });
  expect(await errorOf(`SELECT ${'1+'.repeat(50_000)}1`)).toMatchObject({ sqlstate: '54001' });
});

const offsets = fc.integer({ min: -25, max: 5 });
const time = fc.constantFrom('timestamp', 'time', 'm.timestamp');
const instant = offsets.chain((hours) =>
  fc.constantFrom(
    `now() + interval '${hours * 10} minutes'`,
    `timestamptz '2026-11-21 05:00:00+00' + interval '${hours * 10} minutes'`,
    `'${new Date(nowMs + hours * 600_000).toISOString()}'`,
    'NULL',
  ),
);
const atom = fc.oneof(
  fc.tuple(time, fc.constantFrom('<', '<=', '=', '>', '>=', '<>'), instant).map((parts) => parts.join(' ')),
  fc.tuple(instant, fc.constantFrom('<', '<=', '>', '>='), time).map((parts) => parts.join(' ')),
  fc.tuple(time, instant, instant).map(([column, low, high]) => `${column} BETWEEN ${low} AND ${high}`),
  fc.constantFrom(
    `name = 'up'`,
    `__name__ = 'http_requests_total'`,
    `'up' = name`,
    'value > 5',
    `name <> 'up'`,
  ),
);
/** With every column that of one table. */
const columnsOf = (table: string, text: string): string =>
  text.replaceAll(/\b(?<![.'])(?:m\.)?(timestamp|time|name|__name__|value)\b(?! ')/g, `${table}.$1`);
const condition = fc.letrec<{ tree: string }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    atom,
    fc
      .tuple(tie('tree'), fc.constantFrom('AND', 'OR'), tie('tree'))
      .map(([a, word, b]) => `(${a} ${word} ${b})`),
    tie('tree').map((inner) => `NOT (${inner})`),
  ),
})).tree;
const conjunction = fc.array(atom, { minLength: 1, maxLength: 3 }).map((atoms) => atoms.join(' AND '));
const statement = fc.oneof(
  { weight: 3, arbitrary: conjunction.map((where) => `SELECT value FROM metrics m WHERE ${where}`) },
  fc
    .tuple(conjunction, conjunction)
    .map(
      ([a, b]) => `SELECT value FROM metrics m WHERE ${a} UNION ALL SELECT value FROM metrics m WHERE ${b}`,
    ),
  condition.map((where) => `SELECT value FROM metrics m WHERE ${where}`),
  fc
    .tuple(condition, condition)
    .map(
      ([a, b]) => `SELECT value FROM metrics m WHERE ${a} UNION ALL SELECT value FROM metrics m WHERE ${b}`,
    ),
  condition.map((where) => `SELECT value FROM metrics m WHERE ${where} UNION ALL SELECT value FROM metrics`),
  condition.map((where) => `SELECT m.value FROM metrics m LEFT JOIN metrics o ON ${columnsOf('m', where)}`),
  fc
    .tuple(fc.constantFrom('JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN'), conjunction, conjunction)
    .map(
      ([join, on, where]) =>
        `SELECT m.value FROM metrics m ${join} metrics o ON m.series_id = o.series_id AND ${columnsOf('o', on)} WHERE ${columnsOf('m', where)}`,
    ),
  condition.map(
    (where) =>
      `WITH w AS (SELECT value, name, __name__, timestamp, time FROM metrics) SELECT value FROM w m WHERE ${where}`,
  ),
);

test('a pruned answer is the unpruned answer', { timeout: 60_000 }, async () => {
  let used = 0;
  await fc.assert(
    fc.asyncProperty(statement, async (text) => {
      pruning = true;
      const answer = await run(text);
      if (pruned.some((prune) => Object.keys(prune).length > 0)) used++;
      pruning = false;
      const whole = await run(text);
      const sorted = (found: DuckDBValue[][]): number[] =>
        found.map(([value]) => Number(value)).sort((a, b) => a - b);
      expect(sorted(answer)).toEqual(sorted(whole));
    }),
    { numRuns: 150 },
  );
  pruning = true;
  expect(used).toBeGreaterThan(20);
});

test.each([
  [`FROM metrics m JOIN (VALUES ('up')) a(n) ON a.n = m.name WHERE m.timestamp >= to_timestamp(1)`, true],
  [`FROM metrics m, (VALUES ('up')) a(n) WHERE m.timestamp >= to_timestamp(1) AND a.n = m.name`, true],
  [`FROM (VALUES ('up')) a(n) LEFT JOIN metrics m ON a.n = m.name AND m.timestamp >= to_timestamp(1)`, true],
  [`FROM metrics m LEFT JOIN (VALUES ('up')) a(n) ON a.n = m.name AND m.timestamp >= to_timestamp(1)`, false],
  [`FROM metrics m JOIN (VALUES (now())) a(time) ON true WHERE a.time >= to_timestamp(1)`, false],
  [`FROM metrics m CROSS JOIN (SELECT now() AS n) a WHERE timestamp >= to_timestamp(1)`, false],
])('SELECT … %s is pruned: %s', async (from, isPruned) => {
  const text = `SELECT m.value ${from}`.replaceAll('to_timestamp(1)', `timestamptz '1970-01-01 00:00:01Z'`);
  await run(text);
  expect(pruned).toEqual([isPruned ? { fromUs: 1_000_000 } : {}]);
});

test('columns that an alias renames are not what they are called', async () => {
  expect(await run(`SELECT count(*) FROM metrics AS m(timestamp, name) WHERE timestamp = 'up'`)).toEqual([
    [7n],
  ]);
  expect(pruned).toEqual([{}]);
});

test.each([
  ['SELECT $1::int[] AS a', ['SMALLINT[]'], ['{1,2,NULL}'], '[1, 2, NULL]'],
  ['SELECT $1::text[] AS a', ['VARCHAR[]'], [`{a,"it's",NULL}`], `['a', 'it''s', NULL]`],
  ['SELECT length($1::text) AS a', [], ['{1,2}'], '5'],
  ['SELECT hex($1::bytea) AS a', ['BLOB'], ['\\x00ff'], '00FF'],
])('%s takes PostgreSQL’s text of its parameter', async (text, types, values, expected) => {
  const [parsed] = await session.parse(text);
  const statement = await parsed?.analyze(types);
  if (!statement) throw new Error('no statement');
  await using result = await statement.execute(values, new AbortController().signal);
  for await (const chunk of result.chunks()) expect(String(chunk.value(0, 0))).toBe(expected);
});

test('a large LIMIT is counted by the reader, which stops there', async () => {
  const count = async (sql: string): Promise<number> => {
    const [parsed] = await session.parse(sql);
    const statement = await parsed?.analyze();
    await using result = await statement?.execute([], new AbortController().signal);
    let rows = 0;
    for await (const chunk of result?.chunks() ?? []) {
      rows += chunk.end - chunk.start;
      expect(chunk.rows()).toHaveLength(chunk.end - chunk.start);
    }
    return rows;
  };
  const rows = 'SELECT i FROM generate_series(1, 1000000000) t(i)';
  expect(await count(`${rows} LIMIT 30000`)).toBe(30_000);
  expect(await count(`${rows} LIMIT 20480`)).toBe(20_480);
  expect(await count('SELECT i FROM generate_series(1, 15000) t(i) LIMIT 30000')).toBe(15_000);
  expect(await count('SELECT i FROM generate_series(1, 15000) t(i) LIMIT 12000 OFFSET 10000')).toBe(5000);
  const [plan] = await run(`EXPLAIN ${rows} LIMIT 30000`);
  expect(String(plan)).toContain('limit');
});
