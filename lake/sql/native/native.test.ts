import type { DuckDBValue } from '@duckdb/node-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Prune } from '../../tables.ts';
import { fixedClock as clock, constantTables, nowUs } from '../constant-tables.fixture.ts';
import { type Engine, openEngine } from '../duckdb/engine.ts';
import { openSqlSession } from '../session.ts';
import type { SqlSession } from '../sql-session.ts';

// Statements in DuckDB's own SQL, which PostgreSQL's parser refuses.

let engine: Engine;
let session: SqlSession;
let pruned: Prune[] = [];

beforeAll(async () => {
  const tables = constantTables({ opened: (prune) => pruned.push(prune) });
  engine = await openEngine({ directories: ['/'], memoryBytesMax: 256e6, threads: 1 });
  session = await openSqlSession({ engine, tables, clock, user: 'ada', database: 'demo' });
});
afterAll(async () => {
  await session[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

async function run(text: string, parameters: readonly (string | null)[] = []): Promise<DuckDBValue[][]> {
  pruned = [];
  const rows: DuckDBValue[][] = [];
  for (const parsed of await session.parse(text)) {
    const statement = await parsed.analyze();
    await using result = await statement.execute(parameters, new AbortController().signal);
    for await (const chunk of result.chunks()) rows.push(...chunk.rows().map((row) => [...row]));
  }
  return rows;
}

test.each<[string, unknown[][]]>([
  [
    `FROM metrics SELECT name, value WHERE value > 17 ORDER BY ALL`,
    [
      ['http_requests_total', 19],
      ['up', 18],
    ],
  ],
  [
    `SELECT name, value FROM metrics QUALIFY row_number() OVER (PARTITION BY name ORDER BY value) = 1 ORDER BY ALL`,
    [
      ['http_requests_total', 1],
      ['up', 0],
    ],
  ],
  [
    `SELECT * EXCLUDE (series_id, timestamp, labels, site, quality, device_timestamp, histogram, start_timestamp) FROM metrics WHERE value = 1`,
    [['http_requests_total', 1]],
  ],
  [`SELECT list_sum([x * 2 for x in [1, 2, 3] if x > 1])`, [[10n]]],
  [`PIVOT (FROM metrics SELECT name, value) ON name IN ('up', 'nope') USING sum(value)`, [[63, null]]],
  [`FROM (SUMMARIZE metrics) SELECT column_name, max WHERE column_name = 'value'`, [['value', '19.0']]],
  [`FROM (DESCRIBE metrics) SELECT count(*)`, [[10n]]],
  [
    `FROM logs l ASOF JOIN metrics m ON m.timestamp <= l.timestamp SELECT l.line, m.value ORDER BY 1 LIMIT 1`,
    [['line 0', 0]],
  ],
  [`FROM metrics SELECT labels->>'service', count(*) GROUP BY ALL`, [['api-gateway', 20n]]],
  [`FROM metrics SELECT count(*) WHERE __name__ = 'up' AND metrics.time IS NOT NULL`, [[7n]]],
  [`WITH metrics AS (FROM metrics SELECT name LIMIT 1) FROM metrics SELECT count(*)`, [[1n]]],
  [`FROM demo.public.metrics SELECT count(*)`, [[20n]]],
  [`FROM pg_class SELECT relname WHERE relname = 'metrics'`, [['metrics']]],
  [`FROM (SELECT 1) SELECT current_user, current_database(), 'metrics'`, [['ada', 'demo', 'metrics']]],
  [`FROM (SELECT 1) SELECT now() = make_timestamptz(${nowUs})`, [[true]]],
  [
    `FROM (SELECT 1) SELECT 9007199254740993, 170141183460469231731687303715884105727`,
    [[9007199254740993n, 170141183460469231731687303715884105727n]],
  ],
  [`FROM metrics TABLESAMPLE 100% SELECT count(*)`, [[20n]]],
])('%s', async (text, rows) => {
  expect(await run(text)).toEqual(rows);
});

test('with parameters, and over temporary tables', async () => {
  expect(await run(`FROM metrics SELECT count(*) WHERE name = $1 AND value < $2`, ['up', '7'])).toEqual([
    [3n],
  ]);
  await run('CREATE TEMP TABLE t AS SELECT 1 AS a');
  expect(await run('FROM t')).toEqual([[1]]);
  await run('DROP TABLE t');
});

test.each<[string, Prune[]]>([
  [
    `FROM metrics SELECT value WHERE timestamp > now() - INTERVAL 1 hour AND name = 'up'`,
    [{ fromUs: nowUs - 3600e6, name: 'up' }],
  ],
  [
    `FROM metrics m SELECT value WHERE m.time >= '2026-01-01' AND contains(name, 'u')`,
    [{ fromUs: 1767225600e6 }],
  ],
  [`FROM metrics SELECT value WHERE name = 'up' OR name = 'x'`, [{}]],
  [`FROM metrics SELECT value WHERE name = 'up' AND list_contains([1.0], value)`, [{}]],
  [`FROM (FROM metrics WHERE name = 'up') UNION ALL FROM metrics`, [{}]],
  [`WITH metrics AS (FROM metrics) FROM metrics WHERE name = 'up'`, [{}]],
])('%s reads what its conditions let it read', async (text, prunes) => {
  await run(text);
  expect(pruned).toEqual(prunes);
});

test.each([
  ['FROM metrics SELEC 1', '42601'],
  ['SELEC 1', '42601'],
  ['FROM metrics; FROM logs', '42601'],
  ['FROM nothing', '42P01'],
  [`FROM '/etc/passwd'`, '42P01'],
  ['FROM "x.parquet"', '42P01'],
  ['FROM METRICS.metrics', '42P01'],
  ['FROM acme.public.metrics', '0A000'],
  ['FROM memory.main.sqlite_master', '0A000'],
  [`WITH "/etc/passwd" AS (FROM metrics) FROM "/etc/passwd"`, '0A000'],
  [`FROM (WITH t AS (SELECT 1) FROM t), t`, '42P01'],
  [`FROM read_text('/etc/passwd')`, '42501'],
  [`FROM metrics SELECT [read_text(x) for x in ['/etc/passwd']]`, '42501'],
  [`FROM metrics SELECT main.getenv('HOME')`, '42501'],
  [`FROM metrics SELECT system.main.upper(name)`, '42883'],
  [`FROM metrics SELECT firn_catalog.version()`, '42883'],
  [`FROM metrics SELECT repeat('x', 2000000000)`, '22023'],
  [`FROM metrics SELECT main.repeat('x', 2000000000)`, '22023'],
  [`FROM metrics SELECT range(1000000000)`, '42883'],
  [`FROM metrics SELECT format('{:2000000000}', 1)`, '42883'],
  ['FROM metrics AT (VERSION => 1)', '0A000'],
  ['FROM metrics SELECT value + $x', '0A000'],
  ['SHOW ALL TABLES', '0A000'],
  [`COPY (FROM metrics) TO '/tmp/firn-stolen'`, '0A000'],
  [`ATTACH '/tmp/x.db'`, '0A000'],
  ['PRAGMA database_list', '0A000'],
  ['PIVOT metrics ON name USING sum(value)', '0A000'],
])('%s is refused with %s', async (text, sqlstate) => {
  await expect(run(text)).rejects.toMatchObject({ sqlstate });
});
