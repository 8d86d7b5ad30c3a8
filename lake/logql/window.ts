import type { RangeOp } from './ast.ts';
import type { Times } from './value.ts';

/** Samples of one series in the order of time, nanoseconds from a base that all share. */
export interface Samples {
  readonly timesNs: Float64Array;
  readonly values: Float64Array;
}

/** A series whose windows are to be computed. */
interface Windowed {
  readonly samples: Samples;
  /** When the first window ends, from the base. */
  readonly firstEndNs: number;
  readonly rangeNs: number;
  readonly times: Times;
}

type WindowFunction = (window: Window) => number | undefined;

interface Window extends Samples {
  /** The window's samples: from inclusive, to exclusive. */
  readonly from: number;
  readonly to: number;
  readonly startNs: number;
  readonly endNs: number;
}

/** Values and presence of each step: windows hold their end and not their start. An empty window has no value. */
export function overWindows(
  { samples, firstEndNs, rangeNs, times }: Windowed,
  compute: WindowFunction,
): { values: Float64Array; present: Uint8Array } {
  const { timesNs, values: all } = samples;
  const values = new Float64Array(times.steps);
  const present = new Uint8Array(times.steps);
  let [from, to] = [0, 0];
  for (let step = 0; step < times.steps; step++) {
    const endNs = firstEndNs + step * times.stepNs;
    const startNs = endNs - rangeNs;
    while (to < timesNs.length && (timesNs[to] ?? 0) <= endNs) to++;
    while (from < to && (timesNs[from] ?? 0) <= startNs) from++;
    if (from === to) continue;
    const value = compute({ timesNs, values: all, from, to, startNs, endNs });
    if (value === undefined) continue;
    values[step] = value;
    present[step] = 1;
  }
  return { values, present };
}

/** What an operation computes of a window. Samples of lines are 1 or their bytes; those of an unwrap their value. */
export function windowFunction(op: RangeOp, rangeNs: number, parameter: number | undefined): WindowFunction {
  const seconds = rangeNs / 1e9;
  switch (op) {
    case 'count_over_time':
    case 'bytes_over_time':
    case 'sum_over_time':
      return sum;
    case 'rate':
    case 'bytes_rate':
      return (window) => sum(window) / seconds;
    case 'avg_over_time':
      return (window) => mean(window);
    case 'min_over_time':
      return (window) => extreme(window, (a, b) => a < b);
    case 'max_over_time':
      return (window) => extreme(window, (a, b) => a > b);
    case 'stdvar_over_time':
      return variance;
    case 'stddev_over_time':
      return (window) => Math.sqrt(variance(window));
    case 'quantile_over_time':
      return ({ values, from, to }) => quantile(parameter ?? 0, values.slice(from, to));
    case 'first_over_time':
      return ({ values, from }) => values[from];
    case 'last_over_time':
      return ({ values, to }) => values[to - 1];
    case 'rate_counter':
      return (window) => counterRate(window, seconds);
    case 'absent_over_time':
      return () => 1;
  }
}

function sum({ values, from, to }: Window): number {
  let total = 0;
  for (let index = from; index < to; index++) total += values[index] ?? 0;
  return total;
}

function mean(window: Window): number {
  const count = window.to - window.from;
  const total = sum(window);
  if (Number.isFinite(total) || Number.isNaN(total)) return total / count;
  // Perhaps only the sum is too large.
  let average = 0;
  for (let index = window.from; index < window.to; index++) average += (window.values[index] ?? 0) / count;
  return average;
}

function extreme({ values, from, to }: Window, better: (a: number, b: number) => boolean): number {
  let best = values[from] ?? Number.NaN;
  for (let index = from + 1; index < to; index++) {
    const value = values[index] ?? Number.NaN;
    if (better(value, best) || Number.isNaN(best)) best = value;
  }
  return best;
}

function variance({ values, from, to }: Window): number {
  let [count, average, squares] = [0, 0, 0];
  for (let index = from; index < to; index++) {
    const value = values[index] ?? 0;
    count++;
    const delta = value - average;
    average += delta / count;
    squares += delta * (value - average);
  }
  return squares / count;
}

/** Interpolated between neighbours; sorts `values`, NaN first. */
function quantile(q: number, values: Float64Array): number {
  if (values.length === 0 || Number.isNaN(q)) return Number.NaN;
  if (q < 0) return -Infinity;
  if (q > 1) return Infinity;
  const numbers = values.filter((value) => !Number.isNaN(value)).sort();
  const nans = values.length - numbers.length;
  const at = (index: number): number => (index < nans ? Number.NaN : (numbers[index - nans] ?? Number.NaN));
  const rank = q * (values.length - 1);
  const lower = Math.max(0, Math.floor(rank));
  const upper = Math.min(values.length - 1, lower + 1);
  const weight = rank - Math.floor(rank);
  return at(lower) * (1 - weight) + at(upper) * weight;
}

/**
 * A counter's increase per second, as Prometheus extrapolates it: to the edges of the window, where a sample is near
 * enough (else half an interval), and never below the counter's zero. One sample has no increase.
 */
function counterRate({ timesNs, values, from, to, startNs, endNs }: Window, seconds: number): number {
  if (to - from < 2) return 0;
  const [first = 0, last = 0] = [values[from], values[to - 1]];
  let increase = last - first;
  for (let index = from + 1; index < to; index++) {
    const [before = 0, now = 0] = [values[index - 1], values[index]];
    if (now < before) increase += before;
  }
  const [firstNs = 0, lastNs = 0] = [timesNs[from], timesNs[to - 1]];
  const sampled = (lastNs - firstNs) / 1e9;
  const average = sampled / (to - from - 1);
  const near = average * 1.1;
  let toStart = (firstNs - startNs) / 1e9;
  let toEnd = (endNs - lastNs) / 1e9;
  if (toStart >= near) toStart = average / 2;
  if (increase > 0 && first >= 0) toStart = Math.min(toStart, sampled * (first / increase));
  if (toEnd >= near) toEnd = average / 2;
  return (increase * ((sampled + toStart + toEnd) / sampled)) / seconds;
}
