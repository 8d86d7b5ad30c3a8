// Quantiles and fractions of classic histograms: cumulative counts by upper bound.

export interface Buckets {
  readonly bounds: number[];
  readonly counts: number[];
}

/** Relative differences of counts below this are rounding and not decreases. */
const toleranceRatio = 1e-12;

/** By bound; buckets of the same bound are added up. */
export function sortBuckets({ bounds, counts }: Buckets): Buckets {
  const order = bounds.map((_, index) => index).sort((a, b) => (bounds[a] ?? 0) - (bounds[b] ?? 0) || a - b);
  const sorted: Buckets = { bounds: [], counts: [] };
  for (const index of order) {
    const last = sorted.bounds.length - 1;
    if (last >= 0 && sorted.bounds[last] === bounds[index])
      sorted.counts[last] = (sorted.counts[last] ?? 0) + (counts[index] ?? 0);
    else {
      sorted.bounds.push(bounds[index] ?? Number.NaN);
      sorted.counts.push(counts[index] ?? 0);
    }
  }
  return sorted;
}

export interface ForcedMonotonicity {
  readonly bucketMin: number;
  readonly bucketMax: number;
  readonly differenceMax: number;
}

/** The q-quantile of sorted buckets, linear within a bucket; `forced` when counts decreased and were lifted. */
export function bucketQuantile(
  q: number,
  { bounds, counts }: Buckets,
): { readonly value: number; readonly forced: ForcedMonotonicity | undefined } {
  const none = (value: number) => ({ value, forced: undefined });
  if (Number.isNaN(q)) return none(Number.NaN);
  if (q < 0) return none(-Infinity);
  if (q > 1) return none(Infinity);
  if (bounds.at(-1) !== Infinity) return none(Number.NaN);
  const forced = forceMonotonic(bounds, counts);
  const last = bounds.length - 1;
  const observations = counts[last] ?? 0;
  if (last < 1 || observations === 0) return { value: Number.NaN, forced };
  const rank = q * observations;
  let index = 0;
  while (index < last && !((counts[index] ?? 0) >= rank)) index++;
  const bound = bounds[index] ?? Number.NaN;
  if (index === last) return { value: bounds[last - 1] ?? Number.NaN, forced };
  if (index === 0 && bound <= 0) return { value: bound, forced };
  const start = index === 0 ? 0 : (bounds[index - 1] ?? 0);
  const before = index === 0 ? 0 : (counts[index - 1] ?? 0);
  const within = (counts[index] ?? 0) - before;
  return { value: start + (bound - start) * ((rank - before) / within), forced };
}

function forceMonotonic(bounds: readonly number[], counts: number[]): ForcedMonotonicity | undefined {
  let previous = counts[0] ?? 0;
  let forced: ForcedMonotonicity | undefined;
  for (let index = 1; index < counts.length; index++) {
    const count = counts[index] ?? 0;
    if (count === previous) continue;
    const near = almostEqual(previous, count);
    if (!near && !(count < previous)) {
      previous = count;
      continue;
    }
    counts[index] = previous;
    if (near) continue;
    const bound = bounds[index] ?? Number.NaN;
    forced = {
      bucketMin: Math.min(forced?.bucketMin ?? Infinity, bound),
      bucketMax: Math.max(forced?.bucketMax ?? -Infinity, bound),
      differenceMax: Math.max(forced?.differenceMax ?? 0, previous - count),
    };
  }
  return forced;
}

function almostEqual(one: number, other: number): boolean {
  if (Number.isNaN(one) && Number.isNaN(other)) return true;
  if (one === other) return true;
  const size = Math.abs(one) + Math.abs(other);
  const difference = Math.abs(one - other);
  const smallest = 2.2250738585072014e-308;
  if (one === 0 || other === 0 || size < smallest) return difference < toleranceRatio * smallest;
  return difference / Math.min(size, Number.MAX_VALUE) < toleranceRatio;
}

/** The share of observations between two values, linear within a bucket. */
export function bucketFraction(lower: number, upper: number, { bounds, counts }: Buckets): number {
  if (bounds.at(-1) !== Infinity) return Number.NaN;
  const total = counts.at(-1) ?? 0;
  if (total === 0 || Number.isNaN(lower) || Number.isNaN(upper)) return Number.NaN;
  if (lower >= upper) return 0;
  const rankOf = (value: number): number => Math.min(total, rankBelow(value, bounds, counts) ?? total);
  return (rankOf(upper) - rankOf(lower)) / total;
}

/** Observations below a value; undefined when it lies beyond the last bound. */
function rankBelow(value: number, bounds: readonly number[], counts: readonly number[]): number | undefined {
  let rank = 0;
  let lower = (bounds[0] ?? 0) <= 0 ? -Infinity : 0;
  for (const [index, upper] of bounds.entries()) {
    const count = counts[index] ?? 0;
    if (lower >= value) return rank;
    if (upper > value) {
      if (lower === -Infinity) return count;
      return rank + ((count - rank) * (value - lower)) / (upper - lower);
    }
    rank = count;
    lower = upper;
  }
  return undefined;
}
