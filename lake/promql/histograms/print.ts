import { printGeneral } from '../literals.ts';
import { allBuckets, type Bucket, sideBuckets } from './bounds.ts';
import type { Histogram } from './histogram.ts';

/** `{count:3, sum:2.5, [-1,-0.5):1, (0.5,1]:2}`, the text by which count_values tells histograms apart. */
export function printHistogram(histogram: Histogram): string {
  const { count, sum, zeroThreshold, zeroCount } = histogram;
  const buckets = [
    ...sideBuckets(histogram, false).reverse(),
    {
      ...{ lower: -zeroThreshold, upper: zeroThreshold, count: zeroCount },
      ...{ lowerInclusive: true, upperInclusive: true },
    },
    ...sideBuckets(histogram, true),
  ].filter((bucket) => bucket.count !== 0);
  const head = `{count:${printGeneral(count)}, sum:${printGeneral(sum)}`;
  return `${[head, ...buckets.map(printBucket)].join(', ')}}`;
}

function printBucket({ lower, upper, lowerInclusive, upperInclusive, count }: Bucket): string {
  const bounds = `${printGeneral(lower)},${printGeneral(upper)}`;
  return `${lowerInclusive ? '[' : '('}${bounds}${upperInclusive ? ']' : ')'}:${printGeneral(count)}`;
}

/**
 * The buckets of Prometheus' JSON, by value: which bounds belong to the bucket (0 the upper, 1 the lower, 2 none, 3
 * both), the bounds, and the count. Buckets that hold nothing are left out.
 */
export function jsonBuckets(histogram: Histogram): readonly (readonly [number, number, number, number])[] {
  return allBuckets(histogram)
    .filter(({ count }) => count !== 0)
    .map(({ lower, upper, lowerInclusive, upperInclusive, count }) => {
      const rule = lowerInclusive ? (upperInclusive ? 3 : 1) : upperInclusive ? 0 : 2;
      return [rule, lower, upper, count] as const;
    });
}
