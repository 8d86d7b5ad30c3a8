import { type Bucket, sideBuckets } from './bounds.ts';
import { compact, type Histogram, isCustom } from './histogram.ts';
import { fractionBelow } from './quantile.ts';

/** What is left of a bucket, and the value that its observations are taken to have. */
interface Rest {
  readonly count: number;
  readonly middle: number;
}

/**
 * `histogram </ bound` (keep what lies below) or `histogram >/ bound` (keep what lies above). Count and sum are computed
 * anew from the buckets when any of them has changed.
 */
export function trimHistogram(histogram: Histogram, bound: number, below: boolean): Histogram {
  const sides = {
    positive: trimSide(histogram, bound, below, true),
    negative: trimSide(histogram, bound, below, false),
  };
  const { positive, negative } = sides;
  let { zeroCount } = histogram;
  let changed = positive.changed || negative.changed;
  let count = positive.count + negative.count;
  let sum = positive.sum + negative.sum;
  if (zeroCount > 0) {
    const rest = trimZero(histogram, bound, below, negative.holds, positive.holds);
    changed ||= rest.count !== zeroCount;
    zeroCount = rest.count;
    sum += rest.middle * rest.count;
    count += rest.count;
  }
  if (!changed) return histogram;
  return compact({
    ...histogram,
    ...{ count, sum, zeroCount },
    positive: { ...histogram.positive, counts: positive.counts },
    negative: { ...histogram.negative, counts: negative.counts },
  });
}

function trimSide(histogram: Histogram, bound: number, below: boolean, positive: boolean) {
  const side = { counts: [] as number[], count: 0, sum: 0, changed: false, holds: false };
  const custom = isCustom(histogram);
  for (const bucket of sideBuckets(histogram, positive)) {
    if (bucket.count === 0) {
      side.counts.push(0);
      continue;
    }
    side.holds = true;
    const whole = below ? bucket.upper <= bound : bucket.lower >= bound;
    const cut = below ? bucket.lower < bound : bucket.upper > bound;
    let rest: Rest = { count: 0, middle: 0 };
    if (whole) rest = { count: bucket.count, middle: middleOf(bucket.lower, bucket.upper, positive, custom) };
    else if (cut) rest = trimBucket(bucket, bound, below, positive, custom);
    side.counts.push(rest.count);
    side.count += rest.count;
    side.sum += rest.middle * rest.count;
    side.changed ||= rest.count !== bucket.count || !(whole || cut);
  }
  return side;
}

function trimBucket(bucket: Bucket, bound: number, below: boolean, positive: boolean, linear: boolean): Rest {
  const { lower, upper, count } = bucket;
  if (lower === -Infinity || upper === Infinity) return trimOpenBucket(bucket, bound, below);
  const under = bound <= lower ? 0 : bound >= upper ? count : count * fractionBelow(bucket, bound, linear);
  return below
    ? { count: under, middle: middleOf(lower, bound, positive, linear) }
    : { count: count - under, middle: middleOf(bound, upper, positive, linear) };
}

/** Buckets with an infinite bound: the first and last of custom buckets, and those of infinite observations. */
function trimOpenBucket({ lower, upper, count }: Bucket, bound: number, below: boolean): Rest {
  const finite = (value: number): number => (Number.isFinite(value) ? value : 0);
  if (lower !== -Infinity) {
    if (!below && bound >= lower) return { count, middle: bound };
    return { count: 0, middle: finite(lower) };
  }
  if (below) {
    if (bound >= upper) return { count, middle: 0 };
    if (bound > 0 && upper > 0 && upper !== Infinity)
      return { count: (count * bound) / upper, middle: bound / 2 };
    return upper <= 0 ? { count, middle: bound } : { count: 0, middle: finite(upper) };
  }
  if (bound <= lower) return { count, middle: 0 };
  if (bound >= 0 && upper > bound && upper !== Infinity)
    return { count: count * (1 - bound / upper), middle: (bound + upper) / 2 };
  return { count: 0, middle: finite(upper) };
}

/** The zero bucket is linear; without observations of one sign it reaches to zero only on that side. */
function trimZero(
  { zeroThreshold, zeroCount }: Histogram,
  bound: number,
  below: boolean,
  hasNegative: boolean,
  hasPositive: boolean,
): Rest {
  const lower = hasPositive && !hasNegative ? 0 : -zeroThreshold;
  const upper = hasNegative && !hasPositive ? 0 : zeroThreshold;
  const none: Rest = { count: 0, middle: 0 };
  const whole: Rest = { count: zeroCount, middle: (lower + upper) / 2 };
  if (bound <= lower) return below ? none : whole;
  if (bound >= upper) return below ? whole : none;
  const share = (below ? bound - lower : upper - bound) / (upper - lower);
  return { count: zeroCount * share, middle: (below ? lower + bound : bound + upper) / 2 };
}

function middleOf(lower: number, upper: number, positive: boolean, linear: boolean): number {
  if (!Number.isFinite(lower)) {
    if (!Number.isFinite(upper)) return 0;
    return upper > 0 ? upper / 2 : upper;
  }
  if (!Number.isFinite(upper)) return lower;
  if (linear) return (lower + upper) / 2;
  return (positive ? 1 : -1) * Math.sqrt(Math.abs(lower * upper));
}
