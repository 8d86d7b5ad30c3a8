import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { fixedClock as clock, constantTables } from './constant-tables.fixture.ts';
import { type Engine, openEngine } from './duckdb/engine.ts';
import { parseStatements } from './parse.ts';
import { isSingleRow } from './passes/single-row.ts';
import { openSqlSession } from './session.ts';
import type { SqlSession } from './sql-session.ts';

// What is kept of a statement from one time to the next, and what is found only when it runs.

let engine: Engine;
let session: SqlSession;
let opened = 0;
const tables = constantTables({ opened: () => opened++, closed: () => undefined });
const open = () => openSqlSession({ engine, tables, clock, user: 'ada', database: 'demo' });

beforeAll(async () => {
  engine = await openEngine({ directories: [], memoryBytesMax: 256e6, threads: 1 });
});
afterAll(() => engine[Symbol.asyncDispose]());
beforeEach(async () => {
  session = await open();
});
afterEach(() => session[Symbol.asyncDispose]());

async function run(text: string, parameters: readonly string[] = [], by = session): Promise<unknown[][]> {
  const rows: unknown[][] = [];
  for (const parsed of await by.parse(text)) {
    const statement = await parsed.analyze(parameters.length > 0 ? [] : undefined);
    await using result = await statement.execute(parameters, new AbortController().signal);
    for await (const chunk of result.chunks()) rows.push(...chunk.rows().map((row) => [...row]));
  }
  return rows;
}

test('a temporary table hides a lasting one also from a text that was asked before', async () => {
  const text = 'SELECT count(*) FROM metrics';
  const other = await open();
  expect(await run(text)).toEqual([[20n]]);
  await run('CREATE TEMP TABLE metrics (n int); INSERT INTO metrics VALUES (1)');
  expect(await run(text)).toEqual([[1n]]);
  expect(await run(text, [], other)).toEqual([[20n]]);
  await run('DROP TABLE metrics');
  expect(await run(text)).toEqual([[20n]]);
  await other[Symbol.asyncDispose]();
});

test('a text has the types of parameters that it is asked with', async () => {
  const [parsed] = await session.parse('SELECT $1');
  for (const type of ['INTEGER', 'VARCHAR', 'INTEGER'])
    expect((await parsed?.analyze([type]))?.parameterTypes).toEqual([type]);
});

test('what a session has set is seen by the statements that it prepared before', async () => {
  const text = `SELECT current_setting('application_name') AS name`;
  await run(`SET application_name = 'one'`);
  expect(await run(text)).toEqual([['one']]);
  await run(`SET application_name = 'two'`);
  expect(await run(text)).toEqual([['two']]);
});

test('a parameter beside a whole number is one, as in PostgreSQL', async () => {
  expect(await run('SELECT $1 + 1, 2 * $2', ['41', '-7'])).toEqual([[42, -14]]);
  await expect(run('SELECT $1 + 1', ['4.5x'])).rejects.toMatchObject({ sqlstate: '22P02' });
});

test('plain numbers and all others that the type has', async () => {
  const text = 'SELECT $1::int, $2::bigint, $3::float8';
  const typed = async (values: readonly string[]) => (await run(text, values))[0];
  expect(await typed(['-12', '123456789012345678', '-0.5'])).toEqual([-12, 123456789012345678n, -0.5]);
  expect(await typed(['2147483647', '-9223372036854775808', '1e300'])).toEqual([
    ...[2147483647, -9223372036854775808n, 1e300],
  ]);
  await expect(typed(['2147483648', '0', '0'])).rejects.toMatchObject({ sqlstate: '22P02' });
});

test('a wrong statement is found when it is prepared, and before it opens a table', async () => {
  const [parsed] = await session.parse('SELECT nothing + 1');
  await expect(parsed?.analyze([])).rejects.toMatchObject({ sqlstate: '42703' });
  const statement = await parsed?.analyze();
  const running = statement?.execute([], new AbortController().signal);
  await expect(running).rejects.toMatchObject({ sqlstate: '42703', position: 8 });
  opened = 0;
  await expect(run('SELECT nothing FROM metrics')).rejects.toMatchObject({ sqlstate: '42703' });
  expect(opened).toBe(0);
});

test.each([
  ['SELECT 1, $1, (SELECT max(i) FROM t)', true],
  ['SELECT 1 WHERE false', true],
  ['SELECT 1 FROM t', false],
  ['SELECT 1 UNION ALL SELECT 2', false],
  ['VALUES (1), (2)', false],
  ['SELECT 1 + unnest(x)', false],
  ['SELECT regexp_split_to_table(x, y)', false],
])('%s is one row at most: %s', (text, is) => {
  const [parsed] = parseStatements(text, 1000);
  expect(parsed?.node && isSingleRow(parsed.node)).toBe(is);
});

test('functions that make several rows do', async () => {
  expect(await run('SELECT generate_series(1, 3)')).toHaveLength(3);
  expect(await run(`SELECT regexp_split_to_table('a b', ' ')`)).toEqual([['a'], ['b']]);
});

test('labels are JSON where they are given out, also when nothing reads them as such', async () => {
  for (const text of [
    'SELECT * FROM metrics',
    'SELECT labels, name FROM metrics',
    'SELECT labels FROM metrics GROUP BY 1',
  ]) {
    const [parsed] = await session.parse(text);
    const statement = await parsed?.analyze();
    await using result = await statement?.execute([], new AbortController().signal);
    expect(result?.columns?.find(({ name }) => name === 'labels')?.type).toBe('JSON');
    expect(await statement?.describe()).toEqual(result?.columns);
  }
});
