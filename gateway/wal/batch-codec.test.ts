import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Batch,
  type BatchColumn,
  type LogsBatch,
  type Signal,
  signals,
} from '../../lake/model/batch.ts';
import { isTextColumn, textsOf } from '../../lake/model/text-column.ts';
import { plainLogs } from '../../lake/receive/logs.fixture.ts';
import { batchColumnsOf, batchOf, columnOf, isDense } from '../../lake/schema/batch-columns.ts';
import { type Column, tableSchemas } from '../../lake/schema/tables.ts';
import { decodeBatch, encodeBatch } from './batch-codec.ts';

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const text = fc.string({ unit: 'grapheme' });

/** Values of a column in the form that batches hold it; bits of doubles are any. */
function someValues(column: Column, rows: number): fc.Arbitrary<BatchColumn | undefined> {
  const many = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: rows, maxLength: rows });
  const bits = many(int64).map((values) => BigInt64Array.from(values));
  if (column.type === 'double') return bits.map((values) => new Float64Array(values.buffer));
  if (isDense(column)) return bits;
  if (column.required) return many(text);
  const values: fc.Arbitrary<string | bigint> = column.type === 'string' ? text : int64;
  return fc.option(many(fc.option(values, { nil: null })), { nil: undefined }) as fc.Arbitrary<
    BatchColumn | undefined
  >;
}

function someBatch(signal: Signal): fc.Arbitrary<Batch> {
  return fc.nat({ max: 70 }).chain((rows) => {
    const columns = batchColumnsOf(signal);
    return fc.tuple(...columns.map((column) => someValues(column, rows))).map((values) => {
      const present = columns.flatMap(({ name }, index): [string, BatchColumn][] => {
        const column = values[index];
        return column === undefined ? [] : [[name, column]];
      });
      return batchOf(signal, rows, new Map(present));
    });
  });
}

/** Doubles as their bits: a matcher would take one NaN for another. */
const contentOf = (batch: Batch): unknown[] =>
  batchColumnsOf(batch.signal).map(({ name }) => {
    const column = columnOf(batch, name);
    const isDouble = column instanceof Float64Array;
    if (isDouble) return [name, new BigInt64Array(column.buffer, column.byteOffset, batch.rows)];
    const isText = column !== undefined && isTextColumn(column);
    return [name, isText ? textsOf(column) : column];
  });

test.each(signals)('%s: decode(encode(batch)) = batch, NaN payloads bit for bit', (signal) => {
  fc.assert(
    fc.property(someBatch(signal), fc.nat({ max: 7 }), (batch, shift) => {
      // As the database may give it: at any address.
      const payload = encodeBatch(batch);
      const moved = new Uint8Array(payload.byteLength + shift).subarray(shift);
      moved.set(payload);
      const back = decodeBatch(signal, moved);
      expect(contentOf(back)).toEqual(contentOf(batch));
      expect(Object.keys(back).sort()).toEqual(Object.keys(batch).sort());
    }),
    { numRuns: 15 },
  );
});

test.each(signals)('%s: a payload that was cut or extended is corrupt, whatever the cut', (signal) => {
  fc.assert(
    fc.property(
      someBatch(signal).filter(({ rows }) => rows > 0),
      (batch) => {
        const payload = encodeBatch(batch);
        for (let length = 0; length < payload.length; length++)
          expect(() => decodeBatch(signal, payload.slice(0, length))).toThrow(/damaged/);
        expect(() => decodeBatch(signal, Buffer.concat([payload, new Uint8Array(4)]))).toThrow(/damaged/);
      },
    ),
    { numRuns: 5 },
  );
});

test('batches that an older version wrote are still read', () => {
  const metrics = Buffer.from(
    '010000000200000001000000000000000200000000000000e803000000000000e903000000000000' +
      '000000000000f03f020000000000f07f',
    'hex',
  );
  const { seriesId, timestampUs, value } = decodeBatch('metrics', metrics) as Extract<
    Batch,
    { signal: 'metrics' }
  >;
  expect([...seriesId, ...timestampUs]).toEqual([1n, 2n, 1000n, 1001n]);
  expect(new BigInt64Array(value.buffer, value.byteOffset, 2)).toEqual(
    BigInt64Array.of(0x3ff0000000000000n, 0x7ff0000000000002n),
  );
  const logs = Buffer.from(
    '01000000020000000700000000000000f8ffffffffffffff09000000000000000a000000000000000100000004000000' +
      '616263c3a9000000ffffffff020000007b7d0000ffffffffffffffff02000000ffffffff66660000ffffffffffffffff',
    'hex',
  );
  expect(plainLogs(decodeBatch('logs', logs) as LogsBatch)).toEqual({
    signal: 'logs',
    rows: 2,
    series: [],
    streamId: BigInt64Array.of(7n, -8n),
    timestampNs: BigInt64Array.of(9n, 10n),
    line: ['a', 'bcé'],
    attributes: [null, '{}'],
    severity: [null, null],
    traceId: ['ff', null],
    spanId: [null, null],
  });
});

test('a column that this version does not know, or one that is missing, is corrupt', () => {
  const batch = batchOf('gaps', 0, new Map());
  expect(() => decodeBatch('gaps', encodeBatch(batch))).toThrow(/columns/);
  const payload = encodeBatch({
    ...{ signal: 'metrics', rows: 0, series: [], metadata: [], value: new Float64Array() },
    ...{ seriesId: new BigInt64Array(), timestampUs: new BigInt64Array() },
  });
  expect(decodeBatch('metrics', payload).rows).toBe(0);
  payload[3] = 0x80;
  expect(() => decodeBatch('metrics', payload)).toThrow(/columns/);
});

test('every field id has a bit in the header, and every column that batches bring a field', () => {
  let columns = 0;
  for (const signal of signals) {
    const batch = batchOf(signal, 0, new Map(batchColumnsOf(signal).map(({ name }) => [name, []])));
    for (const { name, fieldId } of batchColumnsOf(signal)) {
      columns++;
      expect([name, columnOf(batch, name)]).toEqual([name, []]);
      expect(fieldId).toBeLessThanOrEqual(24);
    }
    const ids = tableSchemas[signal].columns.map(({ fieldId }) => fieldId);
    expect(new Set(ids).size).toBe(ids.length);
  }
  expect(columns).toBeGreaterThan(25);
});
