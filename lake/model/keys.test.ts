import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tenantId } from './ids.ts';
import { parseSegmentName, receiptKey, type SegmentPlace, segmentName } from './keys.ts';

const place: fc.Arbitrary<SegmentPlace> = fc.record({
  epoch: fc.nat(2 ** 31),
  fromSeq: fc.maxSafeNat(),
  toSeq: fc.maxSafeNat(),
  day: fc.constantFrom('2026-11-25', '1970-01-01', '-1684-02-03', '12026-01-01'),
  class: fc.constantFrom(undefined, 'alarms' as const),
  merge: fc.option(
    fc.record({
      kind: fc.constantFrom('before-ship' as const, 'after-commit' as const),
      count: fc.integer({ min: 1, max: 999_999_999 }),
    }),
    { nil: undefined },
  ),
});

test('parse(print(segment name)) = segment name', () => {
  fc.assert(
    fc.property(place, (given) => {
      expect(parseSegmentName(segmentName(given))).toEqual(given);
    }),
  );
});

const range = '000000000007-0000000000000010-0000000000000020-2026-11-25';

test.each([
  [{}, `${range}.parquet`],
  [{ class: 'alarms' as const }, `${range}-alarms.parquet`],
  [{ merge: { kind: 'before-ship' as const, count: 2 } }, `${range}-b2.parquet`],
  [
    { class: 'alarms' as const, merge: { kind: 'after-commit' as const, count: 1 } },
    `${range}-alarms-t1.parquet`,
  ],
])('%j is named %s', (more, name) => {
  expect(segmentName({ epoch: 7, fromSeq: 10, toSeq: 20, day: '2026-11-25', ...more })).toBe(name);
});

test.each([
  '7-10-20-2026-11-25.parquet',
  `${range}`,
  `${range}-logs.parquet`,
  `${range}-b0.parquet`,
  `${range}-b1-alarms.parquet`,
  `${range}-b1.parquet.parquet`,
  `x${range}.parquet`,
  `${range}/x.parquet`,
])('%s is no segment name', (name) => {
  expect(parseSegmentName(name)).toBeUndefined();
});

test('the receipt of a gateway lies in its outbox', () => {
  expect(receiptKey(tenantId('acme'), 'gw-1')).toBe('acme/outbox/gw-1/receipt.json');
});
