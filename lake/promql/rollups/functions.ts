import { stretched } from '../functions/rate.ts';
import { kahanAdd } from '../numbers.ts';
import { type Buckets, greater, isChange, lesser } from './buckets.ts';

// Range functions over whole buckets. Each gives what its namesake in functions/over-time.ts gives over the samples: the
// same number, or where numbers are added, one that differs in its last bits (within 1e-12 of it) because the order of
// addition is another.

/** The buckets from `from` up to but not including `to`, each with a sample in it; never none. */
export interface BucketWindow {
  readonly buckets: Buckets;
  from: number;
  to: number;
  /** The range, open at its start. */
  startMs: number;
  endMs: number;
}

type BucketFunction = (window: BucketWindow) => number | undefined;

const at = (column: Float64Array, index: number): number => column[index] ?? Number.NaN;

export const bucketFunctions: Readonly<Record<string, BucketFunction>> = {
  count_over_time: (window) => total(window, window.buckets.counts),
  sum_over_time: (window) => {
    const { sum, compensation } = kahanTotal(window);
    return Number.isFinite(sum) ? sum + compensation : sum;
  },
  avg_over_time: average,
  min_over_time: ({ buckets: { mins }, from, to }) =>
    mins.subarray(from + 1, to).reduce(lesser, at(mins, from)),
  max_over_time: ({ buckets: { maxes }, from, to }) =>
    maxes.subarray(from + 1, to).reduce(greater, at(maxes, from)),
  first_over_time: ({ buckets, from }) => at(buckets.firsts, from),
  last_over_time: ({ buckets, to }) => at(buckets.lasts, to - 1),
  ts_of_first_over_time: ({ buckets, from }) => at(buckets.firstsMs, from) / 1000,
  ts_of_last_over_time: ({ buckets, to }) => at(buckets.lastsMs, to - 1) / 1000,
  present_over_time: () => 1,
  absent_over_time: () => 1,
  rate: extrapolated(true, true),
  increase: extrapolated(true, false),
  delta: extrapolated(false, false),
  resets: (window) => pairs(window, window.buckets.resets, (before, value) => value < before),
  changes: (window) => pairs(window, window.buckets.changes, isChange),
};

function total({ from, to }: BucketWindow, column: Float64Array): number {
  let sum = 0;
  for (let index = from; index < to; index++) sum += at(column, index);
  return sum;
}

function kahanTotal({ buckets, from, to }: BucketWindow) {
  const acc = { sum: 0, compensation: 0 };
  for (let index = from; index < to; index++) {
    kahanAdd(acc, at(buckets.sums, index));
    kahanAdd(acc, at(buckets.compensations, index));
  }
  return acc;
}

function average(window: BucketWindow): number {
  const { buckets, from, to } = window;
  const count = total(window, buckets.counts);
  const { sum, compensation } = kahanTotal(window);
  if (sum !== Infinity && sum !== -Infinity) return sum / count + compensation / count;
  // The sums of the buckets may be finite where theirs is not.
  const mean = { sum: 0, compensation: 0 };
  for (let index = from; index < to; index++) kahanAdd(mean, at(buckets.sums, index) / count);
  return mean.sum + mean.compensation;
}

function pairs(
  window: BucketWindow,
  within: Float64Array,
  counts: (before: number, value: number) => boolean,
): number {
  const { buckets, from, to } = window;
  let found = total(window, within);
  for (let index = from + 1; index < to; index++)
    if (counts(at(buckets.lasts, index - 1), at(buckets.firsts, index))) found++;
  return found;
}

function extrapolated(counter: boolean, perSecond: boolean): BucketFunction {
  return (window) => {
    const { buckets, from, to, startMs, endMs } = window;
    const { firsts, lasts } = buckets;
    const samples = total(window, buckets.counts);
    if (samples < 2) return undefined;
    const first = at(firsts, from);
    let result = at(lasts, to - 1) - first;
    if (counter) {
      result += total(window, buckets.resetSums);
      for (let index = from + 1; index < to; index++) {
        const before = at(lasts, index - 1);
        if (at(firsts, index) < before) result += before;
      }
    }
    const toZero = counter && result > 0 && first >= 0 ? first / result : undefined;
    const [firstMs, lastMs] = [at(buckets.firstsMs, from), at(buckets.lastsMs, to - 1)];
    const sampled = { firstMs, lastMs, samples, startMs, endMs };
    return result * stretched(sampled, toZero, undefined, perSecond);
  };
}
