import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FirnError } from '../base/errors.ts';
import { tenantId } from '../model/ids.ts';
import { emptyRows } from '../schema/duckdb-types.ts';
import { tableSchemas } from '../schema/tables.ts';
import type { AsOf, Tables } from '../tables.ts';
import { codeMask } from './code-mask.ts';
import { type Engine, openEngine } from './duckdb/engine.ts';
import { SqlError } from './errors.ts';
import { openSqlSession } from './session.ts';
import type { SqlSession } from './sql-session.ts';
import { takeTimeTravel } from './time-travel.ts';

const now = Date.parse('2026-02-01T00:00:00Z');
const clock = { nowMs: () => now, monotonicMs: () => now, sleep: async () => undefined };
let engine: Engine;
let session: SqlSession;
/** What each table was opened as of, in order. */
let opened: { readonly table: string; readonly asOf: AsOf | undefined }[] = [];

const tables: Tables = {
  tenant: tenantId('demo'),
  metricMetadata: async () => [],
  open: async (table, { asOf }) => {
    opened.push({ table, asOf });
    if (asOf?.kind === 'tag' && asOf.name === 'gone')
      throw new FirnError({
        code: 'not-found',
        operation: 'o',
        subject: 's',
        message: 'no tag',
        hint: 'a, b',
      });
    const from = `(${emptyRows(tableSchemas[table])})`;
    return { from, filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined };
  },
};

beforeAll(async () => {
  engine = await openEngine({ directories: [], memoryBytesMax: 256e6, threads: 1 });
  session = await openSqlSession({ engine, tables, clock, user: 'ada', database: 'demo' });
});
afterAll(async () => {
  await session[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
});

async function run(text: string): Promise<typeof opened> {
  opened = [];
  for (const parsed of await session.parse(text)) {
    const statement = await parsed.analyze();
    await using result = await statement.execute([], new AbortController().signal);
    for await (const _ of result.chunks());
  }
  return opened;
}

const at = (text: string): AsOf => ({ kind: 'time', us: Date.parse(text) * 1000 });
const noon = at('2026-01-31T12:00:00Z');

test.each<[string, AsOf]>([
  ["FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-31 12:00:00Z'", noon],
  ["FOR SYSTEM_TIME AS OF '2026-01-31 14:00:00+02'", noon],
  ["for system_time as of timestamptz '2026-01-31 12:00:00+00'", noon],
  ["FOR TIMESTAMP AS OF TIMESTAMP WITH TIME ZONE '2026-01-31 12:00:00 UTC'", noon],
  ["FOR SYSTEM_TIME AS OF '2026-01-31T12:00:00Z'::timestamptz", noon],
  ["FOR SYSTEM_TIME AS OF now() - interval '12 hours'", noon],
  ["FOR SYSTEM_TIME\n AS  OF current_timestamp - INTERVAL '12 hours'", noon],
  ['FOR SYSTEM_TIME AS OF now()', at('2026-02-01T00:00:00Z')],
  ['FOR SYSTEM_VERSION AS OF 3055729675574597004', { kind: 'snapshot', id: 3055729675574597004n }],
  ['FOR VERSION AS OF 17', { kind: 'snapshot', id: 17n }],
  ["FOR VERSION AS OF 'audit ''26'", { kind: 'tag', name: "audit '26" }],
])('%s', async (clause, asOf) => {
  for (const [before, after] of [
    ['SELECT * FROM metrics', ''],
    ['SELECT * FROM public."metrics"', " AS m WHERE m.name = 'up' ORDER BY 1"],
    ['SELECT m.value FROM metrics m', ' WHERE m.value > 1'],
    ["SELECT 'ä', count(*) FROM (SELECT * FROM metrics", ') AS s'],
    ['EXPLAIN SELECT * FROM metrics', ''],
  ])
    expect(await run(`${before} ${clause}${after}`)).toEqual([{ table: 'metrics', asOf }]);
});

test('each reference has its own state, and those without one share the newest', async () => {
  const found = await run(`
    WITH old AS (SELECT * FROM metrics FOR SYSTEM_VERSION AS OF 1)
    SELECT * FROM metrics a JOIN metrics b USING (series_id) JOIN old c USING (series_id)
      JOIN metrics FOR SYSTEM_VERSION AS OF 2 AS d USING (series_id) JOIN logs ON true;
    SELECT * FROM logs FOR SYSTEM_VERSION AS OF 3`);
  const states = found.map(({ table, asOf }) => `${table} ${asOf?.kind === 'snapshot' ? asOf.id : 'newest'}`);
  expect(states.sort()).toEqual(['logs 3', 'logs newest', 'metrics 1', 'metrics 2', 'metrics newest']);
});

test.each([
  ["SELECT 'FOR SYSTEM_TIME AS OF x' FROM metrics"],
  ['SELECT value AS "FOR VERSION AS OF" FROM metrics'],
  ['SELECT 1 FROM metrics -- FOR SYSTEM_TIME AS OF y'],
  ['SELECT 1 FROM metrics /* FOR /* nested */ VERSION AS OF */'],
  ['SELECT $a$ FOR VERSION AS OF $a$ FROM metrics'],
  ["SELECT E'\\' FOR VERSION AS OF ' FROM metrics"],
])('%s asks for nothing', async (text) => {
  expect(await run(text)).toEqual([{ table: 'metrics', asOf: undefined }]);
});

test.each<[string, string, RegExp, number | undefined]>([
  ['SELECT * FROM metrics FOR SYSTEM_TIME AS OF value', '42601', /takes a time/, 23],
  ['SELECT * FROM metrics FOR VERSION AS OF now()', '42601', /takes the id/, 23],
  ['SELECT 1 FOR VERSION AS OF 5', '42601', /behind the name of a table/, 10],
  ['SELECT * FROM metrics WHERE true FOR VERSION AS OF 5', '42601', /behind the name of a table/, 34],
  ['SELECT * FROM metrics FOR VERSION AS OF 5 FOR VERSION AS OF 6', '42601', /behind/, undefined],
  ['WITH m AS (SELECT 1) SELECT * FROM m FOR VERSION AS OF 5', '0A000', /anything but a table/, 36],
  ["SELECT * FROM metrics FOR SYSTEM_TIME AS OF 'yesterday-ish'", '22007', /./, undefined],
  ["SELECT * FROM metrics FOR VERSION AS OF 'gone'", '22023', /no tag/, undefined],
  ["SELECT * FROM nothing FOR VERSION AS OF 'x'", '42P01', /does not exist/, 15],
  ["SELECT * FROM metrics FOR VERSION AS OF 'ä' WHERE nope = 1", '42703', /nope/, 51],
])('%s is an error', async (text, sqlstate, message, position) => {
  const error = await run(text).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SqlError);
  expect(error).toMatchObject({ sqlstate, message: expect.stringMatching(message) });
  if (position !== undefined) expect(error).toMatchObject({ position });
});

test('a mask is as long as its text, and code stays where it is', () => {
  const piece = fc.constantFrom(
    "'",
    '"',
    '--',
    '/*',
    '*/',
    '$$',
    '$a$',
    '\n',
    'x',
    'FOR',
    ' ',
    'E',
    '\\',
    'ä',
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const text = pieces.join('');
      const mask = codeMask(text);
      expect(mask).toHaveLength(text.length);
      expect([...mask].every((char, index) => char === ' ' || char === text[index])).toBe(true);
    }),
  );
});

test('the clauses of one text are limited', async () => {
  const many = `SELECT 1 FROM ${Array.from({ length: 101 }, () => 'logs FOR VERSION AS OF 1').join(', ')}`;
  await expect(run(many)).rejects.toMatchObject({ sqlstate: '54000' });
});

test('a clause is taken out byte for byte, in time that grows with the text alone', () => {
  const text = `SELECT 'ä' FROM metrics FOR VERSION AS OF 'ä' WHERE ${"/* ' ".repeat(50_000)}`;
  expect(Buffer.byteLength(takeTimeTravel(text).text)).toBe(Buffer.byteLength(text));
});
