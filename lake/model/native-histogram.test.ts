import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  exactCount,
  type HistogramBuckets,
  histogramText,
  type NativeHistogram,
  noBuckets,
  parseHistogramText,
  resetHintOf,
  whyNotHistogram,
} from './native-histogram.ts';

const plain: NativeHistogram = {
  ...{ schema: 3, integer: true, count: 12, sum: 18.4, stale: false, zeroThreshold: 1e-128, zeroCount: 2 },
  positive: {
    spans: [
      [0, 2],
      [1, 2],
    ],
    counts: [1, 2, 3, 4],
  },
  ...{ negative: noBuckets, customValues: [], resetHint: 'unknown' },
};

test('the text is canonical JSON, short where nothing is special', () => {
  expect(histogramText(plain)).toBe(
    '{"schema":3,"count":12,"sum":18.4,"zero_threshold":1e-128,"zero_count":2,"positive_spans":[[0,2],[1,2]],"positive_counts":[1,2,3,4]}',
  );
  const odd: NativeHistogram = {
    ...plain,
    ...{ integer: false, count: -0, sum: Number.NaN, stale: true, zeroCount: 0, zeroThreshold: 0 },
    ...{ schema: -53, positive: noBuckets, customValues: [0.1, 5], resetHint: 'gauge' },
  };
  expect(histogramText(odd)).toBe(
    '{"schema":-53,"float":true,"count":"-0","sum":"StaleNaN","custom_values":[0.1,5],"reset_hint":"gauge"}',
  );
});

const count = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(exactCount);
const buckets = (value: fc.Arbitrary<number | bigint>): fc.Arbitrary<HistogramBuckets> =>
  fc
    .array(fc.tuple(fc.integer({ min: -100, max: 100 }), fc.nat({ max: 3 })), { maxLength: 4 })
    .chain((spans) => {
      const length = spans.reduce((sum, [, run]) => sum + run, 0);
      return fc.array(value, { minLength: length, maxLength: length }).map((counts) => ({ spans, counts }));
    });
const histogram = fc
  .record({ integer: fc.boolean(), stale: fc.boolean(), float: fc.double() })
  .chain(({ integer, stale, float }): fc.Arbitrary<NativeHistogram> => {
    const value = integer ? count : fc.double();
    return fc.record({
      schema: fc.integer({ min: -53, max: 8 }),
      ...{ integer: fc.constant(integer), stale: fc.constant(stale), count: value, zeroCount: value },
      sum: fc.constant(stale ? Number.NaN : float),
      zeroThreshold: fc.double(),
      ...{ positive: buckets(value), negative: buckets(value), customValues: fc.array(fc.double()) },
      resetHint: fc.integer({ min: 0, max: 3 }).map(resetHintOf),
    });
  });

test('parse(text(histogram)) = histogram, to the last bit of a count', () => {
  fc.assert(
    fc.property(histogram, (one) => {
      expect(parseHistogramText(histogramText(one))).toEqual(one);
    }),
  );
});

test.each<[Partial<NativeHistogram>, RegExp | undefined]>([
  [{}, undefined],
  [{ schema: 9 }, /schema 9 is not known/],
  [{ customValues: [1] }, /belong to schema -53/],
  [{ zeroThreshold: -1 }, /zero threshold/],
  [{ count: 13 }, /hold 12 observations, its count says 13/],
  [{ count: 13, sum: Number.NaN }, undefined],
  [{ count: 11, sum: Number.NaN }, /hold 12 observations/],
  [{ integer: false, count: 0.5 }, undefined],
  [{ integer: false, count: -1 }, /its count is negative/],
  [{ positive: { spans: [[0, 3]], counts: [1, 2] } }, /say 3 buckets, there are counts of 2/],
  [{ positive: { spans: [[0, 1]], counts: [-1] } }, /count of positive bucket 1 is negative/],
  [{ negative: { spans: [[0, 2e9]], counts: [] } }, /more than 100000 negative buckets/],
  [
    {
      positive: {
        spans: [
          [0, 1],
          [-1, 1],
        ],
        counts: [5, 5],
      },
    },
    /span 2 of its positive buckets goes back/,
  ],
  [{ schema: -53 }, /neither negative buckets nor a zero bucket/],
  [{ schema: -53, zeroCount: 0, zeroThreshold: 0, customValues: [2, 1] }, /not finite and ascending/],
  [{ schema: -53, zeroCount: 0, zeroThreshold: 0, customValues: [1, 2] }, /5 buckets, but 2 custom bounds/],
  [{ schema: -53, zeroCount: 0, zeroThreshold: 0, customValues: [1, 2, 3, 4], count: 10 }, undefined],
])('%j: %s', (change, why) => {
  const reason = whyNotHistogram({ ...plain, ...change });
  if (why === undefined) expect(reason).toBeUndefined();
  else expect(reason).toMatch(why);
});
