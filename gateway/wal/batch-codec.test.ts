import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LogsBatch, MetricsBatch } from '../../lake/model/batch.ts';
import { decodeBatch, encodeBatch } from './batch-codec.ts';

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const text = fc.option(fc.string({ unit: 'grapheme' }), { nil: null });

test('metrics: decode(encode(batch)) = batch, NaN payloads bit for bit', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(int64, int64, int64)), (rows) => {
      const bits = BigInt64Array.from(rows, ([, , value]) => value);
      const batch: MetricsBatch = {
        signal: 'metrics',
        rows: rows.length,
        series: [],
        metadata: [],
        seriesId: BigInt64Array.from(rows, ([id]) => id),
        timestampUs: BigInt64Array.from(rows, ([, timestamp]) => timestamp),
        value: new Float64Array(bits.buffer),
      };
      const back = decodeBatch('metrics', encodeBatch(batch)) as MetricsBatch;
      expect(back.seriesId).toEqual(batch.seriesId);
      expect(back.timestampUs).toEqual(batch.timestampUs);
      expect(new BigInt64Array(back.value.buffer, back.value.byteOffset, rows.length)).toEqual(bits);
    }),
  );
});

test('logs: decode(encode(batch)) = batch', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(int64, int64, fc.string({ unit: 'grapheme' }), text, text)), (rows) => {
      const batch: LogsBatch = {
        signal: 'logs',
        rows: rows.length,
        series: [],
        streamId: BigInt64Array.from(rows, ([id]) => id),
        timestampNs: BigInt64Array.from(rows, ([, timestamp]) => timestamp),
        line: rows.map(([, , line]) => line),
        attributes: rows.map(([, , , value]) => value),
        severity: rows.map(([, , , , value]) => value),
        traceId: rows.map(() => null),
        spanId: rows.map(() => 'ab'),
      };
      expect(decodeBatch('logs', encodeBatch(batch))).toEqual(batch);
    }),
  );
});

test('a payload that was cut or extended is corrupt, whatever the cut', () => {
  const batch: LogsBatch = {
    signal: 'logs',
    rows: 2,
    series: [],
    streamId: new BigInt64Array(2),
    timestampNs: new BigInt64Array(2),
    line: ['a', 'bc'],
    attributes: [null, '{}'],
    severity: [null, null],
    traceId: [null, null],
    spanId: [null, null],
  };
  const payload = encodeBatch(batch);
  for (let length = 0; length < payload.length; length++) {
    expect(() => decodeBatch('logs', payload.slice(0, length))).toThrow(/damaged/);
  }
  expect(() => decodeBatch('logs', Buffer.concat([payload, new Uint8Array(4)]))).toThrow(/damaged/);
});
