import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../base/clock.ts';
import { defaultLogqlLimits } from '../../logql/limits.ts';
import { defaultQueryLimits } from '../../promql/limits.ts';
import { logScan } from '../../scan/log-scan.ts';
import { seriesScan } from '../../scan/series-scan.ts';
import { fixedClock as clock, constantRows, constantTables } from '../../sql/constant-tables.fixture.ts';
import { type Engine, openEngine } from '../../sql/duckdb/engine.ts';
import { openSqlSession } from '../../sql/session.ts';
import type { SqlSession } from '../../sql/sql-session.ts';
import { stepMsOf } from '../../sql/statements/language-tables.ts';
import { createLanguages } from './languages.ts';

// promql() and logql() in SQL: twenty samples ten minutes apart, a third of them `up`, and three lines.

let engine: Engine;
let session: SqlSession;
let open = 0;
const tables = constantTables({
  opened: () => open++,
  closed: () => open--,
  fromOf: (table) =>
    table === 'logs'
      ? `(SELECT * REPLACE (epoch_us(timestamp) * 1000 AS timestamp_ns) FROM ${constantRows.logs})`
      : constantRows[table],
});

beforeAll(async () => {
  engine = await openEngine({ directories: [], memoryBytesMax: 256e6, threads: 1 });
  const languages = createLanguages({
    ...{ scan: seriesScan({ tables, engine }), logs: logScan({ tables, engine }), rowsMax: 1000 },
    clock: systemClock,
    ...{ promqlLimits: defaultQueryLimits, logqlLimits: defaultLogqlLimits },
  });
  session = await openSqlSession({ engine, tables, languages, clock, user: 'ada', database: 'demo' });
});
afterAll(async () => {
  await session[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

async function run(sql: string, parameters: readonly (string | null)[] = []): Promise<string[][]> {
  const found: string[][] = [];
  for (const parsed of await session.parse(sql)) {
    const statement = await parsed.analyze();
    await using result = await statement.execute(parameters, new AbortController().signal);
    for await (const chunk of result.chunks()) found.push(...chunk.rows().map((row) => row.map(String)));
  }
  expect(open).toBe(0);
  return found;
}

test('a range of PromQL is a table that is joined with others', async () => {
  const rows = await run(`SELECT p.timestamp, p.value, m.series
    FROM promql('sum by (service) (up)', now() - interval '20 minutes', now(), '10m') p
    JOIN (SELECT labels->>'service' AS service, count(DISTINCT series_id) AS series FROM metrics GROUP BY 1) m
      ON m.service = p.labels->>'service' ORDER BY 1`);
  expect(rows).toEqual([['2026-11-21 05:00:00+00', '0', '20']]);
});

test('one instant, a parameter as the query, and two calls in one statement', async () => {
  expect(await run('SELECT value, labels FROM promql($1)', ['up * 0 + 7'])).toEqual([
    ['7', '{"a.b":"dot","service":"api-gateway"}'],
  ]);
  expect(
    await run('SELECT a.value + b.value FROM promql($1) a, promql($2, now()) b', ['vector(1)', 'vector(2)']),
  ).toEqual([['3']]);
});

test('lines of LogQL, and its metrics', async () => {
  expect(
    await run(`SELECT line, value, labels->>'service' FROM logql('{service="api-gateway"} |= "line 1"',
      now() - interval '1 day', now() + interval '1 second')`),
  ).toEqual([['line 1', 'null', 'api-gateway']]);
  const counts = await run(`SELECT value, line FROM logql('sum(count_over_time({service="api-gateway"}[1d]))',
    now() + interval '1 second')`);
  expect(counts).toEqual([['3', 'null']]);
});

test.each([
  [`SELECT * FROM promql('rate(')`, '22023', 'parse error'],
  [`SELECT * FROM promql('up', now(), now() - interval '1 hour', '1m')`, '22023', 'before its start'],
  [`SELECT * FROM promql('up', now() - interval '1 hour', now(), 'soon')`, '22023', 'no step'],
  [`SELECT * FROM promql('up', now() - interval '9000 days', now(), '1s')`, '22023', 'stepsMax'],
  [`SELECT * FROM promql('time()', now() - interval '2 hours', now(), '1s')`, '22023', 'rowsMax'],
  [`SELECT * FROM promql('up', name) FROM metrics`, '42601', 'syntax'],
  [`SELECT * FROM metrics, promql('up', metrics.timestamp)`, '42P01', ''],
  ['SELECT * FROM promql()', '42883', 'takes a query'],
  ['SELECT promql(1)', '42883', ''],
  ['SELECT * FROM firn_language."0"', '42P01', ''],
])('%s is refused with %s', async (sql, sqlstate, message) => {
  await expect(run(sql)).rejects.toMatchObject({ sqlstate, message: expect.stringContaining(message) });
});

test('columns are known without asking', async () => {
  const [parsed] = await session.parse('SELECT * FROM logql($1, $2)');
  const statement = await parsed?.analyze();
  expect(statement?.parameterTypes.length).toBe(2);
  expect((await statement?.describe())?.map(({ name, type }) => `${name} ${type}`)).toEqual([
    'timestamp TIMESTAMP WITH TIME ZONE',
    'value DOUBLE',
    'labels JSON',
    'line VARCHAR',
  ]);
});

test('steps are seconds, durations or intervals', () => {
  expect(['30', '1m30s', '1 day 00:05:00', '00:00:01.5', '', 'x'].map(stepMsOf)).toEqual([
    30_000,
    90_000,
    86_700_000,
    1500,
    Number.NaN,
    Number.NaN,
  ]);
});
