import { executionError } from '../errors.ts';
import { kahanAdd, meanAdd, meanValue, newMean, quantile } from '../numbers.ts';
import { countPairs, extrapolated, instantaneous } from './rate.ts';
import type { Window, WindowFunction } from './window.ts';

const at = (array: Float64Array, index: number): number => array[index] ?? Number.NaN;

/** Functions from a range vector to one value a series and step. */
export const windowFunctions: Readonly<Record<string, WindowFunction>> = {
  rate: extrapolated(true, true),
  increase: extrapolated(true, false),
  delta: extrapolated(false, false),
  irate: instantaneous(true),
  idelta: instantaneous(false),
  resets: countPairs((before, value) => value < before, true),
  changes: countPairs(
    (before, value) => value !== before && !(Number.isNaN(value) && Number.isNaN(before)),
    false,
  ),
  avg_over_time: ({ values, from, to }) => meanOf(values, from, to),
  sum_over_time: ({ values, from, to }) => sumOf(values, from, to),
  count_over_time: ({ from, to }) => to - from,
  min_over_time: (window) =>
    at(
      window.values,
      indexOfBest(window, (value, best) => value < best),
    ),
  max_over_time: (window) =>
    at(
      window.values,
      indexOfBest(window, (value, best) => value > best),
    ),
  first_over_time: ({ values, from }) => at(values, from),
  last_over_time: ({ values, to }) => at(values, to - 1),
  present_over_time: () => 1,
  absent_over_time: () => 1,
  ts_of_first_over_time: ({ timestampsMs, from }) => at(timestampsMs, from) / 1000,
  ts_of_last_over_time: ({ timestampsMs, to }) => at(timestampsMs, to - 1) / 1000,
  ts_of_min_over_time: (window) =>
    at(
      window.timestampsMs,
      indexOfBest(window, (value, best) => value <= best),
    ) / 1000,
  ts_of_max_over_time: (window) =>
    at(
      window.timestampsMs,
      indexOfBest(window, (value, best) => value >= best),
    ) / 1000,
  stdvar_over_time: variance,
  stddev_over_time: (window) => Math.sqrt(variance(window)),
  quantile_over_time: ({ values, from, to }, [q = Number.NaN]) => quantile(q, values.slice(from, to)),
  mad_over_time: ({ values, from, to }) => {
    const sorted = values.slice(from, to);
    if (sorted.some(Number.isNaN)) return Number.NaN;
    const median = quantile(0.5, sorted);
    return quantile(
      0.5,
      sorted.map((value) => Math.abs(value - median)),
    );
  },
  deriv: (window) => {
    if (window.to - window.from < 2) return undefined;
    return regression(window, at(window.timestampsMs, window.from)).slope;
  },
  predict_linear: (window, [seconds = Number.NaN]) => {
    if (window.to - window.from < 2) return undefined;
    const { slope, intercept } = regression(window, window.evalMs);
    return slope * seconds + intercept;
  },
  double_exponential_smoothing: doubleExponential,
};

/** The sum of the values at [from, to). */
export function sumOf(values: Float64Array, from: number, to: number): number {
  const acc = { sum: 0, compensation: 0 };
  for (let index = from; index < to; index++) kahanAdd(acc, at(values, index));
  return Number.isFinite(acc.sum) || Number.isNaN(acc.sum) ? acc.sum + acc.compensation : acc.sum;
}

/** The mean by numbers.ts, with its sum in local variables as long as it does not overflow: windows are long. */
export function meanOf(values: Float64Array, from: number, to: number): number {
  let sum = at(values, from);
  let compensation = 0;
  for (let index = from + 1; index < to; index++) {
    const value = at(values, index);
    const total = sum + value;
    if (total === Infinity || total === -Infinity) return incrementalAverage(values, from, to);
    compensation += Math.abs(sum) >= Math.abs(value) ? sum - total + value : value - total + sum;
    sum = total;
  }
  return sum / (to - from) + compensation / (to - from);
}

function incrementalAverage(values: Float64Array, from: number, to: number): number {
  const mean = newMean(at(values, from));
  for (let index = from + 1; index < to; index++) meanAdd(mean, at(values, index));
  return meanValue(mean);
}

function indexOfBest({ values, from, to }: Window, better: (value: number, best: number) => boolean): number {
  let best = at(values, from);
  let index = from;
  for (let other = from; other < to; other++) {
    const value = at(values, other);
    if (better(value, best) || Number.isNaN(best)) {
      best = value;
      index = other;
    }
  }
  return index;
}

function variance({ values, from, to }: Window): number {
  const mean = { sum: 0, compensation: 0 };
  const squares = { sum: 0, compensation: 0 };
  for (let index = from; index < to; index++) {
    const value = at(values, index);
    const delta = value - (mean.sum + mean.compensation);
    kahanAdd(mean, delta / (index - from + 1));
    kahanAdd(squares, delta * (value - (mean.sum + mean.compensation)));
  }
  return (squares.sum + squares.compensation) / (to - from);
}

/** Least squares: the slope per second, and the value at `originMs`. */
function regression(
  { timestampsMs, values, from, to }: Window,
  originMs: number,
): { slope: number; intercept: number } {
  const [x, y, xy, xx] = [0, 0, 0, 0].map(() => ({ sum: 0, compensation: 0 })) as [Acc, Acc, Acc, Acc];
  const first = at(values, from);
  let constant = true;
  for (let index = from; index < to; index++) {
    const value = at(values, index);
    if (value !== first && index > from) constant = false;
    const seconds = (at(timestampsMs, index) - originMs) / 1000;
    kahanAdd(x, seconds);
    kahanAdd(y, value);
    kahanAdd(xy, seconds * value);
    kahanAdd(xx, seconds * seconds);
  }
  if (constant) {
    const infinite = first === Infinity || first === -Infinity;
    return infinite ? { slope: Number.NaN, intercept: Number.NaN } : { slope: 0, intercept: first };
  }
  const count = to - from;
  const [sumX, sumY, sumXY, sumXX] = [total(x), total(y), total(xy), total(xx)] as const;
  const slope = (sumXY - (sumX * sumY) / count) / (sumXX - (sumX * sumX) / count);
  return { slope, intercept: sumY / count - (slope * sumX) / count };
}

interface Acc {
  sum: number;
  compensation: number;
}
const total = ({ sum, compensation }: Acc): number => sum + compensation;

function doubleExponential(
  { values, from, to }: Window,
  [smoothing = Number.NaN, trend = Number.NaN]: readonly number[],
): number | undefined {
  if (smoothing <= 0 || smoothing >= 1)
    throw executionError(`invalid smoothing factor. Expected: 0 < sf < 1, got: ${smoothing.toFixed(6)}`);
  if (trend <= 0 || trend >= 1)
    throw executionError(`invalid trend factor. Expected: 0 < tf < 1, got: ${trend.toFixed(6)}`);
  if (to - from < 2) return undefined;
  let before = 0;
  let level = at(values, from);
  let slope = at(values, from + 1) - level;
  for (let index = from + 1; index < to; index++) {
    if (index > from + 1) slope = trend * (level - before) + (1 - trend) * slope;
    const next = smoothing * at(values, index) + (1 - smoothing) * (level + slope);
    before = level;
    level = next;
  }
  return level;
}
