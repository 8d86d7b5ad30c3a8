import { expect, test } from 'vitest';
import { gatewayId } from '../model/ids.ts';
import { gapsBatch } from './gaps-builder.ts';

test('a gap is a row, and what is not known is null', () => {
  const shared = { signal: 'metrics', class: 'alarms', kind: 'gap', reason: 'disk-full' } as const;
  const gaps = [
    { ...shared, fromUs: 1, toUs: 2, rows: 7, detail: 'sda1' },
    { ...shared, fromUs: -3.5, toUs: 4.5, rows: null, detail: null },
  ];
  expect(gapsBatch(gaps, gatewayId('gw-1'))).toEqual({
    signal: 'gaps',
    rows: 2,
    fromUs: BigInt64Array.of(1n, -4n),
    toUs: BigInt64Array.of(2n, 5n),
    ofSignal: ['metrics', 'metrics'],
    ofClass: ['alarms', 'alarms'],
    kind: ['gap', 'gap'],
    reason: ['disk-full', 'disk-full'],
    rowsMissing: [7n, null],
    detail: ['sda1', null],
    gateway: ['gw-1', 'gw-1'],
    series: [],
  });
});
