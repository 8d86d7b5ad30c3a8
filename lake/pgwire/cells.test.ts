import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createByteWriter } from '../sql/cells/byte-writer.ts';
import { createTimestampPut, putDouble, putWhole } from '../sql/cells/digits.ts';
import { openDuckdb } from '../sql/duckdb/engine.ts';
import { chunkOfDuckdb, chunkOfRows } from '../sql/row-chunk.ts';
import { writeDataRows } from './cells.ts';
import { columnsOf } from './portal.ts';
import { doubleText, timestampText } from './value-text.ts';

// What is written straight from DuckDB's memory is what the printers of single values print.

let instance: DuckDBInstance;
let connection: DuckDBConnection;
beforeAll(async () => {
  instance = await openDuckdb({});
  connection = await instance.connect();
});
afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

const written = (put: (bytes: Uint8Array, at: number) => number): string => {
  const bytes = Buffer.alloc(64);
  return bytes.toString('latin1', 3, Math.max(put(bytes, 3), 3));
};

const doubles = fc.oneof(
  fc.double(),
  fc.tuple(fc.integer(), fc.integer({ min: 0, max: 9 })).map(([whole, decimals]) => whole / 10 ** decimals),
  fc.constantFrom(0, -0, 1e15, 1e14 + 0.5, 0.1 + 0.2, 1e-4, 9.999e-5, 999999999999999, 562949953421311.9),
);

test('doubles, whole numbers and timestamps', () => {
  for (const usual of [0, 1, -1, 20.3, -0.5, 0.000125, 123456.789, 1e14, 99999999.999999])
    expect(written((bytes, at) => putDouble(bytes, at, usual))).toBe(String(usual));
  fc.assert(
    fc.property(doubles, (value) => {
      const text = written((bytes, at) => putDouble(bytes, at, value));
      // What it does not write is left to the printer.
      expect([doubleText(value), '']).toContain(text);
    }),
    { numRuns: 5000, seed: 8 },
  );
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      expect(written((bytes, at) => putWhole(bytes, at, value))).toBe(String(value));
      const put = createTimestampPut({ between: ' ', zone: '+00' });
      expect(written((bytes, at) => put(bytes, at, value))).toBe(timestampText(BigInt(value), '+00'));
    }),
    { numRuns: 5000, seed: 8 },
  );
});

/** Every type that has a way of its own, with NULLs, and texts that are short, long, shared and of many bytes a letter. */
const statement = `SELECT * REPLACE (CASE WHEN i % 7 = 0 THEN NULL ELSE words END AS words) FROM (
  SELECT i, i % 2 = 0 AS flag, (i % 100)::TINYINT AS t, (i % 200)::UTINYINT AS ut, (-i)::SMALLINT AS s, i::USMALLINT AS us,
    (i * 100000)::INTEGER AS n, i::UINTEGER AS un, (i - 1500) * 6007199254740993 AS big, (i / 8)::FLOAT AS f, i / 10 AS tenths,
    i / 3 AS thirds, DATE '0001-12-30' + (i * 300)::INTEGER AS day, make_timestamp(i * 1000001 - 1000000000000) AS at,
    make_timestamptz(i * 77777777777777 - 100000000000000000) AS far, CASE WHEN i % 5 > 0 THEN i::DECIMAL(12, 3) END AS price,
    CASE i % 4 WHEN 0 THEN 'é' || i WHEN 1 THEN 'the same long text for many' WHEN 2 THEN '' ELSE repeat('ñ', i % 90) END AS words,
    ('{"n": ' || i || '}')::JSON AS document, [i, NULL] AS list, CASE WHEN i % 3 = 0 THEN i END AS some
  FROM range(3000) t(i))`;

test.each([0, 1])('rows of every type in format %s', async (format) => {
  const result = await (await connection.prepare(statement)).stream();
  const names = result.columnNames();
  const sql = names.map((name, index) => {
    const type = result.columnType(index);
    return { name, type: type.alias ?? type.toString() };
  });
  const columns = columnsOf(sql, [format]);
  let rows = 0;
  for (;;) {
    const chunk = await result.fetchChunk();
    if (!chunk || chunk.rowCount === 0) break;
    rows += chunk.rowCount;
    const direct = createByteWriter();
    const plain = createByteWriter();
    const there = chunkOfDuckdb(chunk, sql);
    const values = chunkOfRows(chunk.getRows());
    const all = { start: 0, end: chunk.rowCount, bytesMax: Number.POSITIVE_INFINITY };
    expect(writeDataRows(direct, columns, there, all)).toBe(chunk.rowCount);
    writeDataRows(plain, columns, values, all);
    expect(direct.take().equals(plain.take())).toBe(true);
  }
  expect(rows).toBe(3000);
});

test('rows end where enough is written, and a value that can’t be written leaves nothing of its row', async () => {
  const columns = columnsOf([{ name: 'l', type: 'INTEGER[][]' }], [1]);
  const even = { items: [{ items: [1] }, { items: [2] }] };
  const uneven = { items: [{ items: [1] }, { items: [] }] };
  const chunk = chunkOfRows([[even], [even], [uneven]] as never);
  const out = createByteWriter();
  expect(writeDataRows(out, columns, chunk, { start: 0, end: 3, bytesMax: 1 })).toBe(1);
  const bytes = out.length;
  expect(() => writeDataRows(out, columns, chunk, { start: 1, end: 3, bytesMax: 1e6 })).toThrow('unequal');
  expect(out.length).toBe(2 * bytes);
});
