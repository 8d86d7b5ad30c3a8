import { type Buckets, customSchema, type Histogram, isCustom } from './histogram.ts';

/** A bucket with its bounds. */
export interface Bucket {
  lower: number;
  upper: number;
  readonly lowerInclusive: boolean;
  readonly upperInclusive: boolean;
  readonly count: number;
}

/** The upper bound of bucket `index`, as a distance from zero. */
export function boundOf(index: number, { schema, customValues }: Pick<Histogram, 'schema' | 'customValues'>) {
  if (schema === customSchema) {
    if (index < 0) return -Infinity;
    return customValues[index] ?? Infinity;
  }
  // The last bucket of numbers ends at the largest of them; the one after it holds infinite observations.
  if (index * 2 ** -schema === 1024) return Number.MAX_VALUE;
  if (schema <= 0) return 2 ** (index * 2 ** -schema);
  const parts = 2 ** schema;
  const whole = Math.floor(index / parts);
  return fraction(index - whole * parts, schema) * 2 ** whole;
}

const fractions = new Map<number, number>();

/**
 * How many units in the last place Prometheus' own table of bounds (of schema 8, which has those of the lower ones too)
 * lies below the nearest doubles: `b` is none. Bounds are seen in answers, where they are compared as text.
 */
const belowNearest = [
  'bbbbbbcbbbcbbbbbbbcdbbccccccccccbbcbbbcbbcccbbccbbccbaccbbccbbccbbbbbbccccddcbdcbbcbbbcbbbbcbbbb',
  'bbbcbabbcbddbbccbcccbbcbcbddcccccbcbccddccdccbccccccccdcdcdddcddbbccbbcbccddcbddccddcbccdcddccdc',
  'ccedccdcddedddedddddddeeeeffedfeccdccddddceeccdddcedccddddfeddee',
].join('');

/** 2^(part / 2^schema), as Prometheus has it. */
function fraction(part: number, schema: number): number {
  const step = part * 2 ** (8 - schema);
  const known = fractions.get(step);
  if (known !== undefined) return known;
  // The nearest m to 2^52 * 2^(step / 256): (2m - 1)^256 < 2^(53 * 256 + step) < (2m + 1)^256.
  const target = 2n ** BigInt(53 * 256 + step);
  let m = BigInt(Math.round(2 ** (step / 256) * 2 ** 52));
  while ((2n * m + 1n) ** 256n < target) m++;
  while ((2n * m - 1n) ** 256n > target) m--;
  const below = belowNearest.charCodeAt(step) - 'b'.charCodeAt(0);
  const value = (Number(m) - below) / 2 ** 52;
  fractions.set(step, value);
  return value;
}

/** The bucket of one index, of the positive or negative side. */
function bucketAt(histogram: Histogram, index: number, count: number, positive: boolean): Bucket {
  const far = boundOf(index, histogram);
  const near = boundOf(index - 1, histogram);
  const [lower, upper] = positive ? [near, far] : [-far, -near];
  const custom = isCustom(histogram);
  return {
    ...{ lower, upper, count },
    lowerInclusive: custom ? index === 0 : lower < 0,
    upperInclusive: custom || upper > 0,
  };
}

/** The buckets of one side in the order of their indexes. */
export function sideBuckets(histogram: Histogram, positive: boolean): Bucket[] {
  const { indexes, counts }: Buckets = positive ? histogram.positive : histogram.negative;
  return indexes.map((index, at) => bucketAt(histogram, index, counts[at] ?? 0, positive));
}

/** All buckets by ascending value, the zero bucket among them; none reaches into the zero bucket. */
export function allBuckets(histogram: Histogram): Bucket[] {
  const { zeroThreshold, zeroCount } = histogram;
  const all = sideBuckets(histogram, false).reverse();
  if (zeroCount > 0) {
    const inclusive = { lowerInclusive: true, upperInclusive: true };
    all.push({ lower: -zeroThreshold, upper: zeroThreshold, ...inclusive, count: zeroCount });
  }
  all.push(...sideBuckets(histogram, true));
  for (const bucket of all) {
    if (bucket.upper < 0 && bucket.upper > -zeroThreshold) bucket.upper = -zeroThreshold;
    else if (bucket.lower > 0 && bucket.lower < zeroThreshold) bucket.lower = zeroThreshold;
  }
  return all;
}
