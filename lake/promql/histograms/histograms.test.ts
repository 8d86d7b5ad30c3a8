import fc from 'fast-check';
import { expect, test } from 'vitest';
import { allBuckets, boundOf } from './bounds.ts';
import { compact, divide, equalHistograms, type Histogram, multiply, noBuckets } from './histogram.ts';
import { meanAddHistogram, meanHistogram, newHistogramMean } from './mean.ts';
import { jsonBuckets, printHistogram } from './print.ts';
import { histogramFractionOf, histogramQuantileOf } from './quantile.ts';
import { detectReset, storedHint } from './resets.ts';
import { combine } from './sum.ts';
import { trimHistogram } from './trim.ts';

const of = (counts: readonly number[], change: Partial<Histogram> = {}): Histogram => ({
  ...{ schema: 0, zeroThreshold: 0, zeroCount: 0, customValues: [], hint: 'unknown' },
  ...{ count: counts.reduce((sum, count) => sum + count, 0), sum: 0, negative: noBuckets },
  positive: { indexes: counts.map((_, index) => index), counts },
  ...change,
});

test('bounds are those of Prometheus, and the last bucket of numbers ends at the largest of them', () => {
  const at = (index: number, schema: number): number => boundOf(index, { schema, customValues: [] });
  expect([at(1, 0), at(-3, 0), at(2, -2), at(1024, 0), at(1025, 0)]).toEqual([
    ...[2, 0.125, 256, Number.MAX_VALUE, Infinity],
  ]);
  // As Prometheus prints them, which is not always the nearest.
  const texts = [at(1, 1), at(1, 2), at(3, 2), at(5, 2)].map(String);
  expect(texts).toEqual([
    '1.414213562373095',
    '1.189207115002721',
    '1.6817928305074288',
    '2.378414230005442',
  ]);
  for (let index = -2000; index < 2000; index += 7) expect(at(index, 8)).toBeLessThan(at(index + 1, 8));
});

test('layouts that differ meet at the coarser one', () => {
  const fine = of([1, 2, 3, 4], { schema: 1 });
  expect(combine(of([5, 5, 5]), fine, 1)?.histogram).toMatchObject({
    schema: 0,
    count: 25,
    positive: { indexes: [0, 1, 2], counts: [6, 10, 9] },
  });
  const wide = of([1], {
    zeroThreshold: 1.5,
    zeroCount: 2,
    count: 3,
    positive: { indexes: [4], counts: [1] },
  });
  // Buckets that the zero bucket would cut are taken in whole.
  expect(combine(of([1, 2, 3]), wide, 1)?.histogram).toMatchObject({
    ...{ zeroThreshold: 2, zeroCount: 5, count: 9 },
    positive: { indexes: [2, 4], counts: [3, 1] },
  });
  const custom = (customValues: number[], counts: number[]) => of(counts, { schema: -53, customValues });
  expect(combine(custom([1, 2, 5], [1, 1, 1, 1]), custom([2, 5, 9], [2, 2, 2, 2]), 1)).toMatchObject({
    reconciled: true,
    histogram: { customValues: [2, 5], positive: { indexes: [0, 1, 2], counts: [4, 3, 5] } },
  });
  expect(combine(of([1]), custom([1], [1]), 1)).toBeUndefined();
  expect(combine(of([1], { hint: 'yes' }), of([1], { hint: 'no' }), 1)?.collision).toBe(true);
});

const counts = fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 8 });
const schema = fc.integer({ min: -2, max: 4 });

test('what is added and taken away again leaves what there was', () => {
  fc.assert(
    fc.property(counts, counts, schema, (one, other, level) => {
      const [left, right] = [of(one, { schema: level }), of(other, { schema: level })];
      const sum = combine(left, right, 1)?.histogram;
      const back = sum && combine(sum, right, -1)?.histogram;
      expect(back && equalHistograms(back, left)).toBe(true);
    }),
  );
});

test('a mean is that of the counts, also when their sum would overflow', () => {
  const mean = newHistogramMean(of([1, 2]));
  meanAddHistogram(mean, of([3, 2]));
  expect(meanHistogram(mean).positive.counts).toEqual([2, 2]);
  const huge = newHistogramMean(of([1e308]));
  for (let more = 0; more < 3; more++) meanAddHistogram(huge, of([1e308]));
  expect(meanHistogram(huge).positive.counts[0]).toBeCloseTo(1e308, -295);
});

test.each([
  [[1, 2, 3], [1, 2, 4], false],
  [[1, 2, 3], [1, 1, 5], true],
  [[1, 2, 3], [2, 2, 1], true],
  [[1, 2], [1, 2, 7], false],
  [[], [1], false],
] as const)('from %j to %j is a reset: %j', (before, after, reset) => {
  expect(detectReset(of(after), of(before))).toBe(reset);
  expect(detectReset(of(after, { hint: 'no' }), of(before))).toBe(false);
  expect(detectReset(of(before, { hint: 'yes' }), of(before))).toBe(true);
  expect(storedHint(of(after), of(before))).toBe(reset ? 'unknown' : 'no');
});

test('a finer schema or a narrower zero bucket can only come from a reset', () => {
  expect(detectReset(of([9, 9], { schema: 2 }), of([1, 1]))).toBe(true);
  expect(detectReset(of([9, 9], { schema: -1 }), of([1, 1]))).toBe(false);
  expect(detectReset(of([9, 9]), of([1, 1], { zeroThreshold: 0.1 }))).toBe(true);
});

test('quantiles are exponential within buckets, and fractions go the other way', () => {
  const histogram = of([1, 2, 1], { sum: 10 });
  expect(histogramQuantileOf(0.5, histogram).value).toBeCloseTo(Math.SQRT2, 12);
  expect(histogramQuantileOf(0, histogram).value).toBe(0.5);
  expect(histogramQuantileOf(1, histogram).value).toBe(4);
  expect(histogramQuantileOf(2, histogram).value).toBe(Infinity);
  expect(histogramQuantileOf(0.9, of([1], { count: 3, sum: Number.NaN }))).toEqual({
    ...{ value: Number.NaN, note: 'result' },
  });
  fc.assert(
    fc.property(fc.double({ min: 0.01, max: 0.99, noNaN: true }), (q) => {
      const { value } = histogramQuantileOf(q, histogram);
      expect(histogramFractionOf(0, value, histogram).value).toBeCloseTo(q, 9);
    }),
  );
});

test('trimming keeps what lies below or above, and both together are the whole', () => {
  const histogram = of([4, 4, 4], { sum: 20 });
  const below = trimHistogram(histogram, 1.5, true);
  const above = trimHistogram(histogram, 1.5, false);
  expect(below.count + above.count).toBeCloseTo(12, 9);
  expect(compact(below).positive.indexes).toEqual([0, 1]);
  expect(trimHistogram(histogram, 100, true)).toBe(histogram);
});

test('texts are those of Prometheus', () => {
  const histogram = of([1, 0, 2], {
    ...{ sum: 2.5, zeroThreshold: 0.25, zeroCount: 3, count: 7 },
    negative: { indexes: [1], counts: [1] },
  });
  expect(printHistogram(histogram)).toBe('{count:7, sum:2.5, [-2,-1):1, [-0.25,0.25]:3, (0.5,1]:1, (2,4]:2}');
  expect(jsonBuckets(histogram)).toEqual([
    [1, -2, -1, 1],
    [3, -0.25, 0.25, 3],
    [0, 0.5, 1, 1],
    [0, 2, 4, 2],
  ]);
  expect(allBuckets(histogram).length).toBe(5);
});

test('scaling by something negative makes a gauge, and division by zero leaves no buckets', () => {
  expect(multiply(of([1]), -1).hint).toBe('gauge');
  expect(divide(of([1]), 0)).toMatchObject({ count: Infinity, positive: noBuckets });
});
