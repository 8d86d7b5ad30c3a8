import { expect, test } from 'vitest';
import type { LogsBatch, MetricsBatch } from '../../lake/model/batch.ts';
import { correctBatch } from './correct-batch.ts';

const second = 1_000_000;
const receivedUs = 5000 * second;
const year = 365 * 86_400 * second;

function metricsAt(...times: number[]): MetricsBatch {
  const rows = times.length;
  const timestampUs = BigInt64Array.from(times, BigInt);
  const value = Float64Array.from(times, (_, row) => row);
  return {
    signal: 'metrics',
    rows,
    seriesId: new BigInt64Array(rows),
    timestampUs,
    value,
    series: [],
    metadata: [],
  };
}

test('what the gateway stamped is moved, what a device said is left alone', () => {
  const own = [receivedUs, receivedUs - 59 * second, receivedUs + second / 2];
  const theirs = [receivedUs - 61 * second, receivedUs + 2 * second, receivedUs + 50 * year];
  const batch = metricsAt(...own, ...theirs);
  const moved = correctBatch(batch, receivedUs, 50 * year);
  expect([...moved.timestampUs].map(Number)).toEqual([...own.map((us) => us + 50 * year), ...theirs]);
  expect(moved.value).toEqual(batch.value);
  expect(Number(batch.timestampUs[0])).toBe(receivedUs); // the batch itself is as it was
  expect(correctBatch(batch, receivedUs, 0)).toBe(batch);
});

test('log lines are moved by nanoseconds', () => {
  const time = BigInt(receivedUs) * 1000n + 7n;
  const batch = { signal: 'logs', rows: 1, timestampNs: BigInt64Array.of(time) } as unknown as LogsBatch;
  const moved = correctBatch(batch, receivedUs, -year);
  expect(moved.timestampNs[0]).toBe(time - BigInt(year) * 1000n);
});
