import { meanOf, sumOf } from './functions/over-time.ts';
import { firstAfter } from './functions/window.ts';
import type { Reference, Times } from './plan.ts';
import { slidingExtreme, slidingPairs } from './sliding-windows.ts';
import type { SeriesData } from './source.ts';
import type { StepSeries } from './value.ts';

// Range functions over all steps of a series at once, for plain numbers: what depends on timestamps alone is worked out
// once for all series that have the same ones, and sums are differences of running sums. functions/ says what each of them
// means; these give the same, sums within a rounding.

/** Where the windows of all steps lie among the samples of some timestamps. */
interface Borders {
  readonly timestampsMs: Float64Array;
  /** Of each step: its first sample, and behind its last. */
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  /** Windows' ends of each step, in milliseconds. */
  readonly endMs: Float64Array;
  readonly rangeMs: number;
  /** Made when a function first asks for it. */
  slopes?: Slopes;
}

/** How far windows are extrapolated; seconds, of each step. */
interface Slopes {
  readonly sampled: Float64Array;
  readonly toStart: Float64Array;
  readonly toEnd: Float64Array;
}

export type ColumnFunction = (
  series: Pick<SeriesData, 'values'>,
  borders: Borders,
  result: Pick<StepSeries, 'values' | 'present'>,
) => void;

function bordersOf(
  timestampsMs: Float64Array,
  { offsetMs, atMs }: Reference,
  rangeMs: number,
  { startMs, stepMs, steps }: Times,
): Borders {
  const [from, to] = [new Uint32Array(steps), new Uint32Array(steps)];
  const ends = new Float64Array(steps);
  const samples = timestampsMs.length;
  const firstEndMs = (atMs ?? startMs) - offsetMs;
  let first = firstAfter(timestampsMs, firstEndMs - rangeMs, 0, samples);
  let next = firstAfter(timestampsMs, firstEndMs, first, samples);
  for (let step = 0; step < steps; step++) {
    const endMs = (atMs ?? startMs + step * stepMs) - offsetMs;
    while (first < samples && (timestampsMs[first] ?? 0) <= endMs - rangeMs) first++;
    while (next < samples && (timestampsMs[next] ?? 0) <= endMs) next++;
    from[step] = first;
    to[step] = next;
    ends[step] = endMs;
  }
  return { timestampsMs, from, to, endMs: ends, rangeMs };
}

/** The same for series one after the other: borders are kept as long as timestamps are the same. */
export function bordersOfEach(
  reference: Reference,
  rangeMs: number,
  times: Times,
): (timestampsMs: Float64Array) => Borders {
  let last: { readonly given: Float64Array; readonly borders: Borders } | undefined;
  return (timestampsMs) => {
    if (last && (last.given === timestampsMs || sameTimes(last.borders.timestampsMs, timestampsMs)))
      return last.borders;
    // A copy, because the memory may be the next series' too.
    last = { given: timestampsMs, borders: bordersOf(timestampsMs.slice(), reference, rangeMs, times) };
    return last.borders;
  };
}

function sameTimes(one: Float64Array, other: Float64Array): boolean {
  if (one.length !== other.length) return false;
  for (let index = 0; index < one.length; index++) if (one[index] !== other[index]) return false;
  return true;
}

/** Those that there are; others go window by window. */
export const columnFunctions: Readonly<Record<string, ColumnFunction>> = {
  rate: extrapolated(true, true),
  increase: extrapolated(true, false),
  delta: extrapolated(false, false),
  sum_over_time: sums(false),
  avg_over_time: sums(true),
  count_over_time: overEach((_, from, to) => to - from),
  first_over_time: overEach((values, from) => values[from] ?? 0),
  last_over_time: overEach((values, _, to) => values[to - 1] ?? 0),
  present_over_time: overEach(() => 1),
  min_over_time: slidingExtreme(-1),
  max_over_time: slidingExtreme(1),
  resets: slidingPairs((before, value) => value < before),
  changes: slidingPairs(
    (before, value) => value !== before && !(Number.isNaN(value) && Number.isNaN(before)),
  ),
};

function overEach(value: (values: Float64Array, from: number, to: number) => number): ColumnFunction {
  return ({ values }, { from, to }, result) => {
    for (let step = 0; step < from.length; step++) {
      const [first, end] = [from[step] ?? 0, to[step] ?? 0];
      if (first >= end) continue;
      result.values[step] = value(values, first, end);
      result.present[step] = 1;
    }
  };
}

/** As functions/rate.ts does it, where no sample says since when it counts. */
function extrapolated(counter: boolean, perSecond: boolean): ColumnFunction {
  let resets = new Uint32Array(1024);
  return ({ values }, borders, result) => {
    const { from, to } = borders;
    borders.slopes ??= slopesOf(borders);
    const { sampled, toStart, toEnd } = borders.slopes;
    const rangeSeconds = borders.rangeMs / 1000;
    if (counter) {
      if (resets.length < values.length) resets = new Uint32Array(values.length * 2);
      countResets(values, resets);
    }
    for (let step = 0; step < from.length; step++) {
      const first = from[step] ?? 0;
      const last = (to[step] ?? 0) - 1;
      if (last - first < 1) continue;
      const firstValue = values[first] ?? 0;
      let change = (values[last] ?? 0) - firstValue;
      if (counter && resets[last] !== resets[first]) change = addResets(values, first, last, change);
      const seconds = sampled[step] ?? 0;
      let before = toStart[step] ?? 0;
      if (counter && change > 0 && firstValue >= 0) {
        const toZero = seconds * (firstValue / change);
        if (toZero < before) before = toZero;
      }
      let factor = seconds === 0 ? 1 : (seconds + before + (toEnd[step] ?? 0)) / seconds;
      if (perSecond) factor /= rangeSeconds;
      result.values[step] = change * factor;
      result.present[step] = 1;
    }
  };
}

/** How many samples up to each one are less than the one before. */
function countResets(values: Float64Array, resets: Uint32Array): void {
  let count = 0;
  let before = Number.NaN;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value < before) count++;
    before = value;
    resets[index] = count;
  }
}

function addResets(values: Float64Array, first: number, last: number, change: number): number {
  let sum = change;
  for (let index = first + 1; index <= last; index++) {
    const before = values[index - 1] ?? 0;
    if ((values[index] ?? 0) < before) sum += before;
  }
  return sum;
}

function slopesOf({ timestampsMs, from, to, endMs, rangeMs }: Borders): Slopes {
  const [sampled, toStart, toEnd] = [from, from, from].map(({ length }) => new Float64Array(length)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  for (let step = 0; step < from.length; step++) {
    const [first, last] = [from[step] ?? 0, (to[step] ?? 0) - 1];
    if (last <= first) continue;
    const [firstMs, lastMs] = [timestampsMs[first] ?? 0, timestampsMs[last] ?? 0];
    const seconds = (lastMs - firstMs) / 1000;
    const mean = seconds / (last - first);
    const threshold = mean * 1.1;
    const startMs = (endMs[step] ?? 0) - rangeMs;
    const start = (firstMs - startMs) / 1000;
    const end = ((endMs[step] ?? 0) - lastMs) / 1000;
    sampled[step] = seconds;
    toStart[step] = start >= threshold ? mean / 2 : start;
    toEnd[step] = end >= threshold ? mean / 2 : end;
  }
  return { sampled, toStart, toEnd };
}

/** A running sum that is larger than a window's by more than this may have lost digits of it. */
const ratioMax = 2 ** 40;

/**
 * Sums or means. Running sums are kept in two numbers of which the second holds what rounding took from the first, so
 * that their differences are as exact as adding up each window with compensation.
 */
function sums(mean: boolean): ColumnFunction {
  let high = new Float64Array(1024);
  let low = new Float64Array(1024);
  return ({ values }, borders, result) => {
    const { from, to } = borders;
    if (high.length <= values.length) {
      high = new Float64Array(values.length * 2);
      low = new Float64Array(values.length * 2);
    }
    const exact = addUp(values, high, low);
    for (let step = 0; step < from.length; step++) {
      const [first, end] = [from[step] ?? 0, to[step] ?? 0];
      if (first >= end) continue;
      const [highFirst, highEnd] = [high[first] ?? 0, high[end] ?? 0];
      const difference = highEnd - highFirst;
      // What rounding takes from the difference (Knuth's two-sum).
      const back = difference - highEnd;
      const lost = highEnd - (difference - back) + (-highFirst - back);
      const rest = lost + ((low[end] ?? 0) - (low[first] ?? 0));
      const large = Math.max(Math.abs(highFirst), Math.abs(highEnd));
      const count = end - first;
      result.present[step] = 1;
      if (exact && large <= ratioMax * Math.abs(difference))
        result.values[step] = mean ? difference / count + rest / count : difference + rest;
      else result.values[step] = mean ? meanOf(values, first, end) : sumOf(values, first, end);
    }
  };
}

/** Fills the sums of all samples before each index. False when they are not all finite. */
function addUp(values: Float64Array, high: Float64Array, low: Float64Array): boolean {
  let [sum, rest] = [0, 0];
  high[0] = 0;
  low[0] = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    const total = sum + value;
    const back = total - sum;
    rest += sum - (total - back) + (value - back);
    sum = total;
    high[index + 1] = sum;
    low[index + 1] = rest;
  }
  return Number.isFinite(sum) && Number.isFinite(rest);
}
