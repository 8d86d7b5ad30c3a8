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

/** 2^(part / 2^schema), the nearest double: what Math.pow gives may be off by one in the last place. */
function fraction(part: number, schema: number): number {
  const key = part * 16 + schema;
  const known = fractions.get(key);
  if (known !== undefined) return known;
  const degree = 2n ** BigInt(schema);
  // The wanted m is nearest to 2^52 * 2^(part / degree): (2m - 1)^degree < 2^(53 * degree + part) < (2m + 1)^degree.
  const target = 2n ** (53n * degree + BigInt(part));
  let m = BigInt(Math.round(2 ** (part / 2 ** schema) * 2 ** 52));
  while ((2n * m + 1n) ** degree < target) m++;
  while ((2n * m - 1n) ** degree > target) m--;
  const value = Number(m) / 2 ** 52;
  fractions.set(key, value);
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
