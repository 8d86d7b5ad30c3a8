import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDuckdb } from '../../sql/duckdb/engine.ts';
import { chunkOfDuckdb, chunkOfRows, type RowChunk } from '../../sql/row-chunk.ts';
import type { SqlColumn, SqlResult } from '../../sql/sql-session.ts';
import { arrowPieces } from './arrow.ts';
import { csvPieces } from './csv.ts';
import { jsonPieces } from './json.ts';

// What is written straight from DuckDB's memory is what the values of JavaScript are written as.

let instance: DuckDBInstance;
let connection: DuckDBConnection;
beforeAll(async () => {
  instance = await openDuckdb({});
  connection = await instance.connect();
  await connection.run(`SET TimeZone = 'UTC'`);
});
afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

/** 5000 rows of every type, with NULLs, texts that repeat and texts with every character that a format writes otherwise. */
const statement = `SELECT * REPLACE (CASE WHEN i % 7 = 0 THEN NULL ELSE words END AS words) FROM (
  SELECT i, i % 2 = 0 AS flag, (i % 100)::TINYINT AS t, (-i)::SMALLINT AS s, (i * 100000)::INTEGER AS n, i::UINTEGER AS un,
    (i - 2500) * 600719925474099 AS big, (i / 8)::FLOAT AS f, i / 10 AS tenths, i / 3 AS thirds,
    CASE i % 3 WHEN 0 THEN 'NaN'::DOUBLE WHEN 1 THEN '-inf'::DOUBLE ELSE 1e-7 END AS odd,
    DATE '0001-12-30' + (i * 300)::INTEGER AS day, make_timestamp(i * 1000001 - 1000000000000) AS at,
    make_timestamptz(i * 77777777777777 - 100000000000000000) AS far, CASE WHEN i % 5 > 0 THEN i::DECIMAL(12, 3) END AS price,
    CASE i % 4 WHEN 0 THEN 'é"' || (i // 40) WHEN 1 THEN 'the same long text, for many' WHEN 2 THEN '' ELSE repeat('ñ', i % 90) END AS words,
    chr((i % 300 + 1)::INTEGER) || 'and then some more' AS characters, 'a longer text that stands alone' AS same,
    ('{"n": ' || i || '}')::JSON AS document, [i, NULL] AS list, CASE WHEN i % 3 = 0 THEN i END AS some, NULL::VARCHAR AS nothing
  FROM range(5000) t(i))`;

/** The statement's result, from DuckDB's memory or as values that JavaScript made of it. */
async function resultOf(from: 'memory' | 'values'): Promise<SqlResult> {
  const result = await (await connection.prepare(statement)).stream();
  const columns = result.columnNames().map((name, index): SqlColumn => {
    const type = result.columnType(index);
    return { name, type: type.alias ?? type.toString() };
  });
  return {
    columns,
    tag: 'SELECT',
    chunks: async function* (): AsyncGenerator<RowChunk> {
      for (;;) {
        const chunk = await result.fetchChunk();
        if (!chunk || chunk.rowCount === 0) return;
        yield from === 'memory' ? chunkOfDuckdb(chunk, columns) : chunkOfRows(chunk.getRows());
      }
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(pieces));
}

const never = (error: unknown): object => {
  throw error;
};

test.each([
  ['JSON', (result: SqlResult) => jsonPieces(result, never)],
  ['CSV', csvPieces],
  ['Arrow', arrowPieces],
])('%s', async (_, piecesOf) => {
  const direct = await bytesOf(piecesOf(await resultOf('memory')));
  const plain = await bytesOf(piecesOf(await resultOf('values')));
  if (piecesOf === arrowPieces) {
    // What stands in the place of a NULL is nobody's business.
    const rowsOf = (bytes: Buffer): unknown[] =>
      tableFromIPC(bytes)
        .toArray()
        .map((row) => [...row.toArray()]);
    expect(rowsOf(direct)).toHaveLength(5000);
    expect(rowsOf(direct)).toEqual(rowsOf(plain));
  } else expect(direct.equals(plain)).toBe(true);
});

test('JSON is what a reader of JSON reads', async () => {
  const { rows } = JSON.parse((await bytesOf(jsonPieces(await resultOf('memory'), never))).toString());
  expect(rows).toHaveLength(5000);
  expect(rows[9].slice(0, 2)).toEqual([9, false]);
  const names = (await resultOf('memory')).columns?.map(({ name }) => name) ?? [];
  const characters = rows.map((row: unknown[]) => row[names.indexOf('characters')]);
  expect(characters[33]).toBe('"and then some more');
  expect(characters[9]).toBe('\nand then some more');
  expect(rows[1][names.indexOf('odd')]).toBe('-Infinity');
});
