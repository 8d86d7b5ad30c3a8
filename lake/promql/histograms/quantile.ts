import { kahanAdd } from '../numbers.ts';
import { allBuckets, type Bucket } from './bounds.ts';
import { type Histogram, isCustom } from './histogram.ts';

/** What a quantile's author should know of observations that are NaN. */
type NanNote = 'result' | 'skew' | undefined;

/** The q-quantile: exponential within buckets, linear within the zero bucket and custom ones. */
export function histogramQuantileOf(q: number, histogram: Histogram): { value: number; note: NanNote } {
  const plain = (value: number) => ({ value, note: undefined });
  if (q < 0) return plain(-Infinity);
  if (q > 1) return plain(Infinity);
  if (histogram.count === 0 || Number.isNaN(q)) return plain(Number.NaN);
  const hasNan = Number.isNaN(histogram.sum);
  const forward = hasNan || q < 0.5;
  const buckets = forward ? allBuckets(histogram) : allBuckets(histogram).reverse();
  let rank = (forward ? q : 1 - q) * histogram.count;
  let count = 0;
  let at = 0;
  let bucket: Bucket = { lower: 0, upper: 0, lowerInclusive: false, upperInclusive: false, count: 0 };
  for (; at < buckets.length; at++) {
    bucket = buckets[at] ?? bucket;
    count += bucket.count;
    if (bucket.count !== 0 && count >= rank) break;
  }
  const custom = isCustom(histogram);
  if (custom && bucket.lower === -Infinity) {
    if (bucket.upper <= 0) return plain(bucket.upper);
    bucket.lower = 0;
  } else if (custom && bucket.upper === Infinity) return plain(bucket.lower);
  else if (!custom && bucket.lower < 0 && bucket.upper > 0) narrowZero(histogram, bucket);
  count = Math.min(count, histogram.count);
  if (count < rank) return hasNan ? { value: Number.NaN, note: 'result' } : plain(bucket.upper);
  rank = forward ? rank - (count - bucket.count) : count - rank;
  let note: NanNote;
  if (hasNan) {
    for (const rest of buckets.slice(at + 1)) count += rest.count;
    if (count < histogram.count) note = 'skew';
  }
  return { value: within(bucket, rank / bucket.count, custom), note };
}

/** The zero bucket of a histogram with observations of one sign only reaches to zero. */
function narrowZero({ positive, negative }: Histogram, bucket: Bucket): void {
  if (negative.counts.length === 0 && positive.counts.length > 0) bucket.lower = 0;
  else if (positive.counts.length === 0 && negative.counts.length > 0) bucket.upper = 0;
}

function within({ lower, upper }: Bucket, fraction: number, linear: boolean): number {
  if (linear || (lower <= 0 && upper >= 0)) return lower + (upper - lower) * fraction;
  const logLower = Math.log2(Math.abs(lower));
  const logUpper = Math.log2(Math.abs(upper));
  if (lower > 0) return 2 ** (logLower + (logUpper - logLower) * fraction);
  return -(2 ** (logUpper + (logLower - logUpper) * (1 - fraction)));
}

/** How much of a bucket with finite bounds lies at or below a value inside it. */
export function fractionBelow({ lower, upper }: Bucket, value: number, linear: boolean): number {
  if (linear) return (value - lower) / (upper - lower);
  const logLower = Math.log2(Math.abs(lower));
  const logUpper = Math.log2(Math.abs(upper));
  const log = Math.log2(Math.abs(value));
  return value > 0 ? (log - logLower) / (logUpper - logLower) : 1 - (log - logUpper) / (logLower - logUpper);
}

/** The share of observations between two values; `excluded`: observations that are NaN are in no fraction. */
export function histogramFractionOf(
  lower: number,
  upper: number,
  histogram: Histogram,
): { value: number; excluded: boolean } {
  if (histogram.count === 0 || Number.isNaN(lower) || Number.isNaN(upper))
    return { value: Number.NaN, excluded: false };
  if (lower >= upper) return { value: 0, excluded: false };
  const buckets = allBuckets(histogram);
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  const hasNan = Number.isNaN(histogram.sum);
  const count = hasNan ? total : histogram.count;
  const rankOf = (value: number): number => Math.min(rankBelow(histogram, buckets, value) ?? count, count);
  const value = (rankOf(upper) - rankOf(lower)) / histogram.count;
  return { value, excluded: hasNan && total < histogram.count };
}

/** Observations below a value; undefined when it lies beyond all buckets. */
function rankBelow(histogram: Histogram, buckets: readonly Bucket[], value: number): number | undefined {
  let rank = 0;
  for (const found of buckets) {
    const bucket = { ...found };
    const zero = bucket.lower <= 0 && bucket.upper >= 0;
    if (zero) narrowZero(histogram, bucket);
    if (bucket.lower >= value) return rank;
    if (bucket.upper > value) {
      const linear = isCustom(histogram) || zero;
      if (linear && bucket.lower === -Infinity) return bucket.count;
      return rank + bucket.count * fractionBelow(bucket, value, linear);
    }
    rank += bucket.count;
  }
  return undefined;
}

/** The variance of observations, each taken to be in the middle of its bucket. */
export function histogramVarianceOf(histogram: Histogram): number {
  const mean = histogram.sum / histogram.count;
  const acc = { sum: 0, compensation: 0 };
  for (const bucket of allBuckets(histogram)) {
    if (bucket.count === 0) continue;
    const delta = middleOf(bucket, isCustom(histogram)) - mean;
    kahanAdd(acc, bucket.count * delta * delta);
  }
  return (acc.sum + acc.compensation) / histogram.count;
}

function middleOf({ lower, upper }: Bucket, custom: boolean): number {
  if (custom) return (upper + lower) / 2;
  if (lower <= 0 && upper >= 0) return 0;
  return (upper < 0 ? -1 : 1) * Math.sqrt(upper * lower);
}
