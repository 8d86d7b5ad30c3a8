import type { DuckDBValue } from '@duckdb/node-api';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { fixedClock as clock, constantTables } from './constant-tables.fixture.ts';
import { type Engine, openEngine } from './duckdb/engine.ts';
import { openSqlSession } from './session.ts';
import type { SqlSession } from './sql-session.ts';
import { tempTablesMax } from './temp-tables.ts';

// Temporary tables as a client has them: in its own session, and back as they were when a transaction says so.

let engine: Engine;
let session: SqlSession;
const open = (): Promise<SqlSession> =>
  openSqlSession({ engine, tables: constantTables(), clock, user: 'ada', database: 'demo' });

beforeAll(async () => {
  engine = await openEngine({ directories: [], memoryBytesMax: 256e6, threads: 1 });
  session = await open();
});
afterAll(async () => {
  await session[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await run('DISCARD TEMP');
});

interface Answer {
  readonly rows: DuckDBValue[][];
  readonly tag: string;
}

async function answerOf(
  text: string,
  parameters: readonly (string | null)[] = [],
  asked = session,
): Promise<Answer> {
  let answer: Answer = { rows: [], tag: '' };
  for (const parsed of await asked.parse(text)) {
    const statement = await parsed.analyze();
    await using result = await statement.execute(parameters, new AbortController().signal);
    const rows: DuckDBValue[][] = [];
    for await (const chunk of result.chunks()) rows.push(...chunk.rows().map((row) => [...row]));
    answer = { rows, tag: result.tag };
  }
  return answer;
}
const run = async (text: string, parameters: readonly (string | null)[] = []): Promise<DuckDBValue[][]> =>
  (await answerOf(text, parameters)).rows;
const tagOf = async (text: string): Promise<string> => (await answerOf(text)).tag;

test('made of columns, of a query and of another table, in one text with what reads it', async () => {
  expect(await tagOf('CREATE TEMP TABLE a (x int, y text)')).toBe('CREATE TABLE');
  expect(
    await tagOf(`CREATE TEMP TABLE b (n) AS SELECT name, max(value) AS top FROM metrics GROUP BY 1`),
  ).toBe('SELECT 2');
  expect(await run('SELECT n, top FROM b ORDER BY 1; SELECT top FROM b ORDER BY 1')).toEqual([[18], [19]]);
  expect(await run('SELECT value INTO TEMP c FROM metrics; SELECT count(*) FROM c')).toEqual([[20n]]);
  expect(
    await run('CREATE TEMP TABLE d (LIKE metrics, extra int); SELECT extra, name, labels FROM d'),
  ).toEqual([]);
  expect(await run('CREATE TEMP TABLE e AS SELECT 1 AS a WITH NO DATA; SELECT a FROM e')).toEqual([]);
});

test('what writes says how much, and gives back what is asked for', async () => {
  await run(`CREATE TEMP TABLE t (a int PRIMARY KEY, b text DEFAULT 'none', c numeric(10, 2))`);
  expect(await tagOf(`INSERT INTO t VALUES (1), (2), (3)`)).toBe('INSERT 0 3');
  expect(
    await run(`INSERT INTO t (a, c) VALUES ($1, $2) RETURNING t.a + 1, b AS was, *`, ['4', '2.5']),
  ).toEqual([[5, 'none', 4, 'none', expect.anything()]]);
  expect(await tagOf(`UPDATE t AS x SET b = v.w FROM (VALUES (1, 'one')) v(n, w) WHERE v.n = x.a`)).toBe(
    'UPDATE 1',
  );
  expect(await tagOf('DELETE FROM t USING metrics m WHERE m.value = t.a AND t.a > 2')).toBe('DELETE 2');
  expect(
    await tagOf(
      `INSERT INTO t (a, b) VALUES (1, 'x'), (9, 'y') ON CONFLICT (a) DO UPDATE SET b = excluded.b`,
    ),
  ).toBe('INSERT 0 2');
  expect(await run('SELECT a, b FROM t ORDER BY 1')).toEqual([
    [1, 'x'],
    [2, 'none'],
    [9, 'y'],
  ]);
  expect(await run('TRUNCATE t; SELECT * FROM t')).toEqual([]);
});

test.each([
  ['INSERT INTO t (a) VALUES (1)', '23505'],
  ['INSERT INTO t (a) VALUES (NULL)', '23502'],
  ['INSERT INTO t (a, b) VALUES (2, -1)', '23514'],
  [`INSERT INTO t (a, s) VALUES (2, 'abcd')`, '22001'],
  [`INSERT INTO t (a) VALUES ('x')`, '22P02'],
  ['INSERT INTO t (nope) VALUES (1)', '42703'],
  ['UPDATE t SET nope = 1', '42703'],
  ['INSERT INTO t VALUES (1, 2, 3, 4)', '42601'],
  ['CREATE TEMP TABLE t (a int)', '42P07'],
  ['CREATE TEMP TABLE public.u (a int)', '42P16'],
  ['CREATE TEMP TABLE u (a int GENERATED ALWAYS AS (1) STORED)', '0A000'],
  ['DROP TABLE u', '42P01'],
  ['INSERT INTO u VALUES (1)', '25006'],
  ['INSERT INTO pg_temp.u VALUES (1)', '42P01'],
  ['INSERT INTO public.metrics (value) VALUES (1)', '25006'],
  ['DROP TABLE IF EXISTS t, metrics', '25006'],
])('%s is refused with %s', async (text, sqlstate) => {
  await run(
    'CREATE TEMP TABLE t (a int PRIMARY KEY, b int CHECK (b > 0), s varchar(3)); INSERT INTO t VALUES (1)',
  );
  await expect(run(text)).rejects.toMatchObject({ sqlstate });
  expect(await run('SELECT count(*) FROM t')).toEqual([[1n]]);
});

test('a transaction that did not commit, and a savepoint, leave no trace', async () => {
  const count = 'SELECT count(*) FROM t';
  await run('CREATE TEMP TABLE t (a int NOT NULL); INSERT INTO t VALUES (1)');
  await session.transaction({ kind: 'begin' });
  await run('INSERT INTO t VALUES (2); CREATE TEMP TABLE u AS SELECT 1 AS x');
  await session.transaction({ kind: 'savepoint' });
  await run('DELETE FROM t; DROP TABLE u');
  expect(await run(count)).toEqual([[0n]]);
  await session.transaction({ kind: 'rollback-to', depth: 0 });
  expect(await run(`${count}; SELECT x FROM u`)).toEqual([[1]]);
  await run('INSERT INTO t VALUES (3)');
  await session.transaction({ kind: 'release', depth: 0 });
  expect(await run(count)).toEqual([[3n]]);
  await session.transaction({ kind: 'rollback' });
  expect(await run(count)).toEqual([[1n]]);
  await expect(run('SELECT * FROM u')).rejects.toMatchObject({ sqlstate: '42P01' });
  await expect(run('INSERT INTO t VALUES (NULL)')).rejects.toMatchObject({ sqlstate: '23502' });
});

test('ON COMMIT drops a table, or its rows', async () => {
  await session.transaction({ kind: 'begin' });
  await run(`CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT 1 AS a;
    CREATE TEMP TABLE emptied (a int) ON COMMIT DELETE ROWS; INSERT INTO emptied VALUES (1)`);
  expect(await run('SELECT g.a, e.a FROM gone g, emptied e')).toEqual([[1, 1]]);
  await session.transaction({ kind: 'commit' });
  expect(await run('SELECT * FROM emptied')).toEqual([]);
  await expect(run('SELECT * FROM gone')).rejects.toMatchObject({ sqlstate: '42P01' });
});

test('a result goes on while its table is changed and dropped', async () => {
  await run('CREATE TEMP TABLE t AS SELECT i FROM generate_series(1, 10000) i');
  const [parsed] = await session.parse('SELECT i FROM t');
  const statement = await parsed?.analyze();
  await using result = await statement?.execute([], new AbortController().signal);
  let rows = 0;
  for await (const { start, end } of result?.chunks() ?? []) {
    if (rows === 0) await run('DELETE FROM t WHERE i % 2 = 0; DROP TABLE t');
    rows += end - start;
  }
  expect(rows).toBe(10_000);
});

test('the catalog lists them to this session and to no other, where they are not there', async () => {
  const listed = `SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'LOCAL TEMPORARY'`;
  await run(`CREATE TEMP TABLE mine (a int, b text[], c numeric(10, 2))`);
  expect(await run(listed)).toEqual([['pg_temp_1', 'mine']]);
  expect(
    await run(`SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
      WHERE attrelid = 'mine'::regclass ORDER BY attnum`),
  ).toEqual([
    ['a', 'integer'],
    ['b', 'text[]'],
    ['c', 'numeric'],
  ]);
  expect(
    await run(`SELECT 'pg_temp.mine'::regclass, relpersistence FROM pg_class WHERE relname = 'mine'`),
  ).toEqual([['mine', 't']]);
  await using other = await open();
  expect((await answerOf(listed, [], other)).rows).toEqual([]);
  await expect(answerOf('SELECT * FROM mine', [], other)).rejects.toMatchObject({ sqlstate: '42P01' });
  await expect(answerOf(`SELECT 'mine'::regclass`, [], other)).rejects.toMatchObject({ sqlstate: '42P01' });
});

test('a temporary table hides a table of the lake, which its schema still finds', async () => {
  await run('CREATE TEMP TABLE metrics AS SELECT 1 AS a');
  expect(await run('SELECT * FROM metrics')).toEqual([[1]]);
  expect(await run('SELECT count(*) FROM public.metrics')).toEqual([[20n]]);
});

test('there is a limit, and nothing is left when the session ends', async () => {
  const other = await open();
  for (let index = 0; index < tempTablesMax; index++)
    await answerOf(`CREATE TEMP TABLE t${index} (a int)`, [], other);
  await expect(answerOf('CREATE TEMP TABLE more (a int)', [], other)).rejects.toMatchObject({
    sqlstate: '53400',
    message: expect.stringContaining('tempTablesMax'),
  });
  const connection = await engine.connect();
  const left = async (): Promise<unknown> =>
    (
      await connection.runAndReadAll(
        `SELECT count(*) FROM duckdb_tables() WHERE schema_name LIKE 'firn_temp%'`,
      )
    ).getRows()[0]?.[0];
  expect(await left()).toBe(BigInt(tempTablesMax));
  await other[Symbol.asyncDispose]();
  expect(await left()).toBe(0n);
  connection.closeSync();
});

test('PREPARE, EXECUTE and DEALLOCATE', async () => {
  await run('PREPARE add (int, text) AS SELECT $1 + 1 AS a, $2 AS b');
  expect(await run(`EXECUTE add(1 + 1, 'x')`)).toEqual([[3, 'x']]);
  expect(await run(`EXECUTE add($1, upper('y'))`, ['5'])).toEqual([[6, 'Y']]);
  await expect(run('PREPARE add AS SELECT 1')).rejects.toMatchObject({ sqlstate: '42P05' });
  await expect(run('EXECUTE add(1)')).rejects.toMatchObject({ sqlstate: '42601' });
  await expect(run('PREPARE write AS DELETE FROM metrics')).rejects.toMatchObject({ sqlstate: '25006' });
  await run('CREATE TEMP TABLE t (a int); PREPARE put AS INSERT INTO t VALUES ($1)');
  expect(await tagOf('EXECUTE put(7)')).toBe('INSERT 0 1');
  expect(await run('SELECT a FROM t')).toEqual([[7]]);
  await run('DEALLOCATE add');
  await expect(run('EXECUTE add(1, 2)')).rejects.toMatchObject({ sqlstate: '26000' });
});
