import { expect, test } from 'vitest';
import { gapsBatch, logsBatch, metricsBatch, rollupsBatch } from '../../test/contract/rows.ts';
import { whyNotStorable } from './storable.ts';

const safe = BigInt(Number.MAX_SAFE_INTEGER);

test.each([
  ['metrics', metricsBatch([[1n, safe, 0n]]), undefined],
  ['metrics', metricsBatch([[1n, 2n ** 32n - safe, 0n]]), undefined],
  [
    'metrics',
    metricsBatch([
      [1n, 0n, 0n],
      [1n, safe + 1n, 0n],
    ]),
    'the timestamp of row 1 is out of range',
  ],
  ['metrics', metricsBatch([[1n, -safe, 0n]]), 'the timestamp of row 0 is out of range'],
  ['rollups', rollupsBatch([[1n, safe + 1n, 0n, 1n]]), 'the timestamp of row 0 is out of range'],
  ['logs', logsBatch([[1n, 8_000_000_000_000_000_000n, '', null, null]]), undefined],
  [
    'logs',
    logsBatch([[1n, 9_000_000_000_000_000_000n, '', null, null]]),
    'the timestamp_ns of row 0 is out of range',
  ],
  ['gaps', gapsBatch([[0n, safe + 1n, '', null, null]]), 'the end_timestamp of row 0 is out of range'],
  // What a device says is kept, however wrong.
  ['doubts', metricsBatch([[1n, 0n, 0n, 'device-future', 2n ** 62n]]), undefined],
  [
    'doubts',
    metricsBatch([
      [1n, 0n, 0n, null, null],
      [1n, 0n, 0n, 'device-future', 2n ** 63n - 1n],
    ]),
    'the device_timestamp of row 1 is out of range',
  ],
] as const)('%s: only times that tables can hold', (_, batch, why) => {
  expect(whyNotStorable(batch)).toBe(why);
});
