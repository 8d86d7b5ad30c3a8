import type { HistogramBuckets, NativeHistogram, ResetHint } from '../../model/native-histogram.ts';

/**
 * A native histogram as evaluation sees it: counts are floats, and a bucket lies at its index, so that two layouts are
 * merged like sorted lists. Never changed once it is made, because samples, steps and series share it.
 */
export interface Histogram {
  /** -4 to 8: bucket i ends at 2^(i * 2^-schema). -53: bucket i ends at customValues[i]. */
  readonly schema: number;
  readonly count: number;
  readonly sum: number;
  readonly zeroThreshold: number;
  readonly zeroCount: number;
  readonly positive: Buckets;
  readonly negative: Buckets;
  readonly customValues: readonly number[];
  readonly hint: ResetHint;
}

/** Buckets of one sign, by ascending index. Buckets without observations may be there. */
export interface Buckets {
  readonly indexes: readonly number[];
  readonly counts: readonly number[];
}

export const customSchema = -53;
export const noBuckets: Buckets = { indexes: [], counts: [] };

/** Bounds are listed (as in classic histograms) and not computed. */
export const isCustom = ({ schema }: Pick<Histogram, 'schema'>): boolean => schema === customSchema;

/** A histogram as it is stored; one that only marks the end of a series must not get here. */
export function fromNative(native: NativeHistogram): Histogram {
  const { schema, sum, zeroThreshold, customValues, resetHint } = native;
  return {
    ...{ schema, sum, zeroThreshold, customValues, hint: resetHint },
    count: Number(native.count),
    zeroCount: Number(native.zeroCount),
    positive: bucketsOf(native.positive),
    negative: bucketsOf(native.negative),
  };
}

function bucketsOf({ spans, counts }: HistogramBuckets): Buckets {
  if (counts.length === 0) return noBuckets;
  const indexes: number[] = [];
  let index = 0;
  for (const [offset, length] of spans) {
    index += offset;
    for (let rest = length; rest > 0; rest--) indexes.push(index++);
  }
  return { indexes, counts: counts.map(Number) };
}

/** A histogram of the same layout without any observation. */
export const emptyLike = ({ schema, customValues }: Histogram): Histogram => ({
  ...{ schema, customValues, count: 0, sum: 0, zeroThreshold: 0, zeroCount: 0 },
  ...{ positive: noBuckets, negative: noBuckets, hint: 'unknown' },
});

export const withHint = (histogram: Histogram, hint: ResetHint): Histogram =>
  histogram.hint === hint ? histogram : { ...histogram, hint };

/** Every count times `factor`. */
export function multiply(histogram: Histogram, factor: number): Histogram {
  return {
    ...histogram,
    count: histogram.count * factor,
    sum: histogram.sum * factor,
    zeroCount: histogram.zeroCount * factor,
    positive: mapCounts(histogram.positive, (count) => count * factor),
    negative: mapCounts(histogram.negative, (count) => count * factor),
    hint: factor < 0 ? 'gauge' : histogram.hint,
  };
}

/** Every count divided by `divisor`; by zero no buckets are left. */
export function divide(histogram: Histogram, divisor: number): Histogram {
  const buckets = (side: Buckets): Buckets =>
    divisor === 0 ? noBuckets : mapCounts(side, (count) => count / divisor);
  return {
    ...histogram,
    count: histogram.count / divisor,
    sum: histogram.sum / divisor,
    zeroCount: histogram.zeroCount / divisor,
    positive: buckets(histogram.positive),
    negative: buckets(histogram.negative),
    hint: divisor < 0 ? 'gauge' : histogram.hint,
  };
}

const mapCounts = ({ indexes, counts }: Buckets, apply: (count: number) => number): Buckets => ({
  indexes,
  counts: counts.map(apply),
});

/** Without the buckets that hold nothing. */
export function compact(histogram: Histogram): Histogram {
  const positive = compactBuckets(histogram.positive);
  const negative = compactBuckets(histogram.negative);
  return positive === histogram.positive && negative === histogram.negative
    ? histogram
    : { ...histogram, positive, negative };
}

function compactBuckets(buckets: Buckets): Buckets {
  const { indexes, counts } = buckets;
  if (!counts.includes(0)) return buckets;
  const kept = (_: number, at: number): boolean => counts[at] !== 0;
  return { indexes: indexes.filter(kept), counts: counts.filter(kept) };
}

/** Equal in all but the reset hint; NaN equals itself, and buckets that hold nothing do not matter. */
export function equalHistograms(one: Histogram, other: Histogram): boolean {
  return (
    one.schema === other.schema &&
    Object.is(one.count, other.count) &&
    Object.is(one.sum, other.sum) &&
    one.zeroThreshold === other.zeroThreshold &&
    Object.is(one.zeroCount, other.zeroCount) &&
    sameBounds(one.customValues, other.customValues) &&
    equalBuckets(one.positive, other.positive) &&
    equalBuckets(one.negative, other.negative)
  );
}

export const sameBounds = (one: readonly number[], other: readonly number[]): boolean =>
  one === other || (one.length === other.length && one.every((bound, index) => bound === other[index]));

function equalBuckets(one: Buckets, other: Buckets): boolean {
  const [left, right] = [compactBuckets(one), compactBuckets(other)];
  return (
    sameBounds(left.indexes, right.indexes) &&
    left.counts.every((count, index) => Object.is(count, right.counts[index]))
  );
}

/** How many float samples it takes the room of. */
export const weightOf = ({ positive, negative, customValues }: Histogram): number =>
  11 + positive.counts.length + negative.counts.length + (customValues.length >> 1);
