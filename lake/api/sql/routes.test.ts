import { DuckDBTimestampTZValue, type DuckDBValue } from '@duckdb/node-api';
import { tableFromIPC } from 'apache-arrow';
import { expect, test } from 'vitest';
import { SqlError } from '../../sql/errors.ts';
import { chunkOfRows } from '../../sql/row-chunk.ts';
import type { SqlColumn, SqlResult, SqlSession, SqlStatement } from '../../sql/sql-session.ts';
import { answerBySession, sqlRoutes } from './routes.ts';

const columns: readonly SqlColumn[] = [
  { name: 'name', type: 'VARCHAR' },
  { name: 'value', type: 'DOUBLE' },
  { name: 'series_id', type: 'BIGINT' },
  { name: 'timestamp', type: 'TIMESTAMP WITH TIME ZONE' },
  { name: 'labels', type: 'JSON' },
];
const time = new DuckDBTimestampTZValue(1_767_225_600_123_456n);
const chunks: readonly (readonly (readonly DuckDBValue[])[])[] = [
  [
    ['a', 1.5, 3n, time, '{"x":"1"}'],
    ['b', null, 9_007_199_254_740_993n, null, null],
  ],
  [['c', Number.NaN, -1n, time, '{}']],
];

/** A session that knows one statement; `failsAfter` chunks it ends with an error. */
function session(failsAfter = Number.POSITIVE_INFINITY): SqlSession & { readonly closed: string[] } {
  const closed: string[] = [];
  const result: SqlResult = {
    columns,
    tag: 'SELECT',
    chunks: async function* () {
      for (const [index, chunk] of chunks.entries()) {
        if (index >= failsAfter) throw new SqlError('57014', 'canceling statement due to statement timeout');
        yield chunkOfRows(chunk);
      }
    },
    [Symbol.asyncDispose]: async () => void closed.push('result'),
  };
  return {
    closed,
    parameters: new Map(),
    transaction: async () => undefined,
    parse: async (text) => {
      if (text === '') return [];
      if (text !== 'SELECT 1')
        throw new SqlError('42601', 'syntax error', { position: 3, hint: 'write SELECT 1' });
      const statement: SqlStatement = {
        ...{ kind: 'select', parameterTypes: [] },
        describe: async () => columns,
        execute: async () => result,
      };
      return [{ analyze: async () => statement }];
    },
    [Symbol.asyncDispose]: async () => void closed.push('session'),
  };
}

const post = (body: string, headers: Record<string, string> = {}, opened = session()) =>
  sqlRoutes({ answer: answerBySession(async () => opened), bodyBytesMax: 1000 }).request('/api/v1/firn/sql', {
    method: 'POST',
    body,
    headers,
  });

test('JSON: values that JSON has no word for are text, times are RFC 3339, JSON columns are JSON', async () => {
  const opened = session();
  const answer = await post('{"sql":"SELECT 1"}', { 'Content-Type': 'application/json' }, opened);
  expect(await answer.json()).toEqual({
    columns,
    rows: [
      ['a', 1.5, 3, '2026-01-01T00:00:00.123456Z', { x: '1' }],
      ['b', null, '9007199254740993', null, null],
      ['c', 'NaN', -1, '2026-01-01T00:00:00.123456Z', {}],
    ],
  });
  expect(opened.closed).toEqual(['result', 'session']);
});

test('Arrow: one stream of record batches, exact to the microsecond', async () => {
  const answer = await post('SELECT 1', { Accept: 'application/vnd.apache.arrow.stream' });
  const table = tableFromIPC(new Uint8Array(await answer.arrayBuffer()));
  expect(table.batches).toHaveLength(1);
  expect(table.toArray().map((row) => [row.name, row.value, row.series_id, row.labels])).toEqual([
    ['a', 1.5, 3n, '{"x":"1"}'],
    ['b', null, 9_007_199_254_740_993n, null],
    ['c', Number.NaN, -1n, '{}'],
  ]);
  const timestamps = table.batches[0]?.getChild('timestamp')?.data[0];
  expect([...(timestamps?.values ?? [])]).toEqual([time.micros, 0n, time.micros]);
  expect(timestamps?.nullCount).toBe(1);
});

test('CSV: NULL is an empty field, an empty text is quoted', async () => {
  const answer = await post('SELECT 1', { Accept: 'text/csv' });
  expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8');
  expect((await answer.text()).split('\r\n').slice(0, 3)).toEqual([
    columns.map(({ name }) => name).join(','),
    'a,1.5,3,2026-01-01T00:00:00.123456Z,"{""x"":""1""}"',
    'b,,9007199254740993,,',
  ]);
});

test('an error in the middle of the rows is in the answer', async () => {
  expect(await (await post('SELECT 1', {}, session(1))).json()).toMatchObject({
    rows: [{}, {}],
    error: { code: '57014', message: 'canceling statement due to statement timeout' },
  });
});

test.each([
  ['SELEC 1', {}, 400, { code: '42601', message: 'syntax error', position: 3, hint: 'write SELECT 1' }],
  ['', {}, 400, { code: '42601', message: 'send exactly one statement' }],
  ['{"sql":1}', { 'Content-Type': 'application/json' }, 400, { code: '22023' }],
  ['{', { 'Content-Type': 'application/json' }, 400, { code: '22023' }],
  ['x'.repeat(1001), {}, 413, { code: '54000' }],
])('%j is refused', async (body, headers, status, error) => {
  const answer = await post(body, headers);
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ error });
});
