import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rewrite } from '../ast.ts';
import { installCatalog } from '../catalog/catalog.ts';
import { seriesItemsMax, textBytesMax } from '../catalog/value-functions.ts';
import { type Engine, openEngine } from '../duckdb/engine.ts';
import { parseStatements } from '../parse.ts';
import { print } from '../print/printer.ts';
import { fill } from '../print/template.ts';
import { castRules } from './casts.ts';
import { allowedFunctions, deniedFunctions, renamedFunctions } from './function-names.ts';
import { functionRules, functionRulesAt } from './functions.ts';
import { relationRules } from './relations.ts';

// Statements of PostgreSQL's dialect through the passes, as far as DuckDB and back.

const captures = join(import.meta.dirname, '..', '..', '..', '..', 'shared', 'protocols');
const nowUs = 1_700_000_000_000_000;
const metrics = `(SELECT 'up' AS "name", CAST('{"a.b":"x","n":1,"list":["p","q"]}' AS JSON) AS "labels",
  TIMESTAMPTZ '2026-01-01 00:01:30+00' AS "timestamp", 2.5::DOUBLE AS "value")`;

let engine: Engine;
let connection: DuckDBConnection;

beforeAll(async () => {
  engine = await openEngine({ directories: [], memoryBytesMax: 500e6, threads: 1 });
  connection = await engine.connect();
  await installCatalog(connection, { database: 'plant' });
  await installCatalog(connection, { database: 'plant' });
  await connection.run(`SET VARIABLE firn_user = 'ada'`);
});

afterAll(async () => {
  connection.closeSync();
  await engine[Symbol.asyncDispose]();
});

function duckdbOf(sql: string, index = 0): string {
  const parsed = parseStatements(sql, 1e6)[index];
  if (!parsed?.node) throw parsed?.refusal ?? new Error('no statement');
  const { node, positionOf } = parsed;
  const rules = [
    ...relationRules(node, positionOf, { database: 'plant' }),
    ...functionRulesAt(positionOf),
    ...castRules,
  ];
  const template = print(rewrite(node, rules), { positionOf, parameterTypes: [] });
  return fill(template, (hole) => (hole.kind === 'now' ? `make_timestamptz(${nowUs})` : metrics)).sql;
}

async function rowsOf(sql: string): Promise<unknown[][]> {
  const rows = (await connection.runAndReadAll(duckdbOf(sql))).getRowsJson();
  return rows as unknown[][];
}

const one = async (expression: string): Promise<unknown> => (await rowsOf(`SELECT ${expression}`))[0]?.[0];

describe('expressions give what PostgreSQL gives', () => {
  test.each<[string, unknown]>([
    [`current_user`, 'ada'],
    [`current_database()`, 'plant'],
    [`current_schema`, 'public'],
    [`extract(epoch from now())`, 1_700_000_000],
    [`extract(epoch from interval '1 day 02:00')`, 93_600],
    [`current_date::text`, '2023-11-14'],
    [`'today'::date::text`, '2023-11-14'],
    [`current_setting('server_version_num')::int/100`, 1600],
    [`current_setting('no.such', true)`, null],
    [`7/2`, 3],
    [`7/2.0`, 3.5],
    [`'site' ~ 'it'`, true],
    [`'SITE' ~* 'it' AND 'a' !~ 'b'`, true],
    [`'a' OPERATOR(pg_catalog.~) '^(a)$' COLLATE pg_catalog.default`, true],
    [`'{"a.b":{"c":[1,2]}}'::jsonb #>> '{a.b,c,1}'`, '2'],
    [`'{"$x":1}'::json ->> '$x' = '1'`, true],
    [`'{"a":1,"b":2}'::jsonb @> '{"a":1}'`, true],
    [`'{"a":1}'::jsonb ? 'b'`, false],
    [`'{"a":1}'::jsonb ?| array['b','a']`, true],
    [`'["x","y"]'::json -> -1`, '"y"'],
    [`json_extract_path_text('{"a":{"b":"c"}}', 'a', 'b')`, 'c'],
    [`'metrics'::regclass::oid = (SELECT oid FROM pg_class WHERE relname = 'metrics')`, true],
    [`'public.logs'::regclass::text`, 'logs'],
    [`23::regtype::text`, 'integer'],
    [`'int4'::regtype::oid`, 23],
    [`'pg_catalog.pg_extension'::pg_catalog.regclass::oid`, 3079],
    [`to_regclass('nope')`, null],
    [`3 = ANY('{1,3}')`, true],
    [`'c' <> ALL('{a,b}'::text[])`, true],
    [`1 = ANY('{}'::int[])`, false],
    [`'public' = ANY(current_schemas(true))`, true],
    [`array_to_string(ARRAY['a',NULL,'b'], ',')`, 'a,b'],
    [`array_upper(string_to_array('a,b,c', ','), 1)`, 3],
    [`(parse_ident('public.metrics'))[2]`, 'metrics'],
    [`quote_ident('Group')`, '"Group"'],
    [`format_type(1043, 14)`, 'character varying(10)'],
    [`has_table_privilege('metrics', 'SELECT')`, true],
    [`has_table_privilege('ada', 'metrics', 'INSERT')`, false],
    [`pg_size_pretty(123456789::bigint)`, '118 MB'],
    [`interval '1:30' hour to minute = interval '90 minutes'`, true],
    [`interval '1 week ago' = interval '-7 days'`, true],
    [`to_char(timestamp '2026-03-04 05:06:07', 'YYYY-MM-DD"T"HH24:MI:SS')`, '2026-03-04T05:06:07'],
    [`to_date('04.03.2026', 'DD.MM.YYYY')::text`, '2026-03-04'],
    [
      `date_trunc('day', timestamptz '2026-01-01 23:30:00Z', 'Europe/Berlin') = timestamptz '2026-01-01 23:00:00Z'`,
      true,
    ],
    [`date_bin('15 min', timestamp '2026-01-01 00:20', timestamp '2026-01-01')::text`, '2026-01-01 00:15:00'],
    [`substring('foobar' from 'o(.)b')`, 'o'],
    [`position('b' in 'abc')`, '2'],
    [`initcap('hello wORLD')`, 'Hello World'],
    [`(version() ~ '^PostgreSQL 16')`, true],
    [`obj_description('metrics'::regclass, 'pg_class') <> ''`, true],
    [`percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM (VALUES (1), (2)) t(x)`, 1.5],
    [`count(*) FROM generate_series(1, 3) AS i WHERE i > 1`, '2'],
    [`sum(n) FROM (SELECT generate_series(1, 4) AS n) s`, '10'],
    [`s[i] FROM string_to_array('a,b', ',') AS s, generate_series(1, 2) AS i WHERE i = 2`, 'b'],
    [`current_schema FROM current_schema()`, 'public'],
    [`labels ->> 'a.b' FROM metrics`, 'x'],
    [`count(*) FROM metrics, json_array_elements_text(labels -> 'list') AS l WHERE l = 'q'`, '1'],
    [`time_bucket('60.000s', timestamp)::timestamp::text FROM metrics`, '2026-01-01 00:01:00'],
    [`floor(extract(epoch from timestamp)/60)*60 FROM metrics`, 1_767_225_660],
  ])('%s', async (expression, expected) => {
    expect(await one(expression)).toEqual(expected);
  });
});

test.each([
  [`SELECT read_csv('/etc/passwd')`, '42501', 8],
  [`SELECT 1, read_text('x')`, '42501', 11],
  [`SELECT * FROM read_parquet('x')`, '42501', 15],
  [`SELECT * FROM duckdb_settings()`, '42501', 15],
  [`SELECT getenv('HOME')`, '42501', 8],
  [`SELECT * FROM query('select 1')`, '42501', 15],
  [`SELECT "firn now"()`, '42883', 8],
  [`SELECT firn_catalog.version()`, '42883', 8],
  [`SELECT nonsense(1)`, '42883', 8],
  [`SELECT constructor(1)`, '42883', 8],
  [`SELECT * FROM 'x.parquet'`, '42601', 15],
  [`SELECT * FROM "x.parquet"`, '42P01', 15],
  [`SELECT * FROM firn_catalog.pg_class`, '42P01', 15],
  [`SELECT * FROM duckdb_settings`, '42P01', 15],
])('refuses %s', (sql, sqlstate, position) => {
  expect(() => duckdbOf(sql)).toThrow(expect.objectContaining({ sqlstate, position }));
});

test.each([
  [`repeat('x', ${textBytesMax})`, `repeat('x', ${textBytesMax + 1})`, 'requested length too large'],
  [`lpad('x', ${textBytesMax})`, `lpad('x', 2000000000)`, 'requested length too large'],
  [
    `cardinality(ARRAY(SELECT generate_series(1, 1000)))`,
    `generate_series(1, ${seriesItemsMax + 10})`,
    'a series may have',
  ],
  [
    `count(*) FROM (SELECT generate_series(now(), now() + interval '1 day', interval '1 hour')) s`,
    `generate_series(now(), now() + interval '1 year', interval '1 second')`,
    'a series may have',
  ],
])('bounds what %s makes', async (small, large, message) => {
  expect(await one(small)).toBeDefined();
  await expect(one(large)).rejects.toThrow(message);
});

test('every function on the lists is one that DuckDB has or the catalog makes, and none is denied', async () => {
  const result = await connection.runAndReadAll('SELECT DISTINCT function_name FROM duckdb_functions()');
  const known = new Set(result.getRows().map(([name]) => String(name)));
  const missing = [...allowedFunctions, ...Object.values(renamedFunctions)].filter(
    (name) =>
      !known.has(name) &&
      !['nullif', 'greatest', 'least', 'percentile_cont', 'percentile_disc'].includes(name),
  );
  expect(missing).toEqual([]);
  expect([...allowedFunctions].filter((name) => deniedFunctions.test(name))).toEqual([]);
  expect(functionRules.length).toBe(functionRulesAt(() => 1).length);
});

const captured = ['psql15-captured-queries.md', 'pg-clients-captured.txt'].map((name) =>
  join(captures, name),
);

test.skipIf(!captured.every((path) => existsSync(path)))('what clients were seen to send runs', async () => {
  const statements = captured
    .flatMap((path) => readFileSync(path, 'utf8').split('\n'))
    .filter((line) => /^Q\s+(SELECT|WITH)\b/i.test(line))
    // The capture asked about a table `t` with the object id 16384, as Firn's first table has.
    .map((line) =>
      line.replace(/^Q\s+/, '').replace("'t'::pg_catalog.regclass", "'metrics'::pg_catalog.regclass"),
    );
  const failed: string[] = [];
  for (const sql of new Set(statements)) {
    try {
      await connection.runAndReadAll(duckdbOf(sql));
    } catch (error) {
      failed.push(`${String(error).slice(0, 200)}\n  ${sql.slice(0, 300)}`);
    }
  }
  expect(failed).toEqual([]);
  expect(statements.length).toBeGreaterThan(60);
});
