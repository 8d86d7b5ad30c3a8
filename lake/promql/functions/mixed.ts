import { equalHistograms, type Histogram } from '../histograms/histogram.ts';
import { meanAddHistogram, meanHistogram, newHistogramMean } from '../histograms/mean.ts';
import { detectReset } from '../histograms/resets.ts';
import { addTo, histogramOf, newSum } from '../histograms/sum.ts';
import {
  type Notes,
  noteCollision,
  noteIgnoredInRange,
  noteMixed,
  noteReconciled,
  noteSchemas,
} from '../notes.ts';
import { extendedHistogram, extrapolatedHistogram, instantaneousHistogram } from './histogram-rate.ts';
import { firstAfter, type HistogramWindow, startedAnew, type Window, type WindowFunction } from './window.ts';

// Range functions over series that have native histograms, and maybe floats too. Either window may be empty, not both.

export interface MixedWindow {
  readonly floats: Window;
  readonly histograms: HistogramWindow;
  readonly notes: Notes;
  /** How the window is completed at its borders. */
  readonly extension: 'anchored' | 'smoothed' | undefined;
}

type MixedResult = number | Histogram | undefined;

/** One value of a range function; `floats` is the function over floats alone. */
export function applyMixed(
  name: string,
  floats: WindowFunction,
  mixed: MixedWindow,
  args: readonly number[],
): MixedResult {
  const { notes } = mixed;
  const [floatCount, histogramCount] = [sizeOf(mixed.floats), sizeOf(mixed.histograms)];
  const both = floatCount > 0 && histogramCount > 0;
  switch (name) {
    case 'rate':
    case 'increase':
    case 'delta':
    case 'sum_over_time':
    case 'avg_over_time':
      if (both) noteMixed(notes);
      if (both) return undefined;
      return floatCount > 0 ? floats(mixed.floats, args) : overHistograms(name, mixed);
    case 'irate':
    case 'idelta':
      return instantaneousMixed(floats, mixed, name === 'irate');
    case 'count_over_time':
      return floatCount + histogramCount;
    case 'present_over_time':
    case 'absent_over_time':
      return 1;
    case 'first_over_time':
    case 'last_over_time':
    case 'ts_of_first_over_time':
    case 'ts_of_last_over_time':
      return atEnd(mixed, name.includes('first'), name.startsWith('ts_of'));
    case 'resets':
    case 'changes':
      return countMixed(mixed, name === 'resets');
    default:
      // The others are about floats only.
      if (floatCount === 0) return undefined;
      if (histogramCount > 0) noteIgnoredInRange(notes);
      return floats(mixed.floats, args);
  }
}

const sizeOf = ({ from, to }: Pick<Window, 'from' | 'to'>): number => to - from;

function overHistograms(name: string, { histograms: window, notes, extension }: MixedWindow): MixedResult {
  if (name === 'sum_over_time') return sumOverTime(window, notes);
  if (name === 'avg_over_time') return averageOverTime(window, notes);
  const counter = name !== 'delta';
  const perSecond = name === 'rate';
  return extension === undefined
    ? extrapolatedHistogram(window, counter, perSecond, notes)
    : extendedHistogram(window, extension === 'smoothed', counter, perSecond, notes);
}

function sumOverTime({ histograms, from, to }: HistogramWindow, notes: Notes): Histogram | undefined {
  const used = histograms.slice(from, to);
  const [first, ...others] = used;
  if (first === undefined) return undefined;
  const sum = newSum(first);
  let reconciled = false;
  for (const other of others) {
    const addition = addTo(sum, other, 1);
    if (addition === undefined) return void noteSchemas(notes);
    reconciled ||= addition.reconciled;
  }
  noteAggregation(used, reconciled, notes);
  return histogramOf(sum);
}

function averageOverTime({ histograms, from, to }: HistogramWindow, notes: Notes): Histogram | undefined {
  const used = histograms.slice(from, to);
  const [first, ...others] = used;
  if (first === undefined) return undefined;
  const mean = newHistogramMean(first);
  let reconciled = false;
  for (const other of others) {
    const addition = meanAddHistogram(mean, other);
    if (addition === undefined) return void noteSchemas(notes);
    reconciled ||= addition.reconciled;
  }
  noteAggregation(used, reconciled, notes);
  return meanHistogram(mean);
}

function noteAggregation(used: readonly Histogram[], reconciled: boolean, notes: Notes): void {
  if (used.some(({ hint }) => hint === 'yes') && used.some(({ hint }) => hint === 'no'))
    noteCollision(notes, 'aggregation');
  if (reconciled) noteReconciled(notes, 'aggregation');
}

/** irate and idelta look at the last two samples, of whichever kind. */
function instantaneousMixed(floats: WindowFunction, mixed: MixedWindow, counter: boolean): MixedResult {
  const { floats: window, histograms: others, notes } = mixed;
  if (sizeOf(window) + sizeOf(others) < 2) return undefined;
  const lastTwo = [window, others]
    .flatMap(({ timestampsMs, from, to }, kind) =>
      Array.from(timestampsMs.subarray(Math.max(from, to - 2), to), (timeMs) => ({ timeMs, kind })),
    )
    .sort((one, other) => one.timeMs - other.timeMs)
    .slice(-2);
  const kinds = new Set(lastTwo.map(({ kind }) => kind));
  if (kinds.size > 1) return void noteMixed(notes);
  return kinds.has(0) ? floats(window, []) : instantaneousHistogram(others, counter, notes);
}

function atEnd({ floats, histograms }: MixedWindow, first: boolean, time: boolean): MixedResult {
  const place = ({ from, to }: Pick<Window, 'from' | 'to'>): number => (first ? from : to - 1);
  const timeOf = (window: Omit<Window, 'values'>): number | undefined =>
    sizeOf(window) > 0 ? window.timestampsMs[place(window)] : undefined;
  const [floatMs, histogramMs] = [timeOf(floats), timeOf(histograms)];
  const pick = first ? Math.min : Math.max;
  if (time) return pick(floatMs ?? histogramMs ?? 0, histogramMs ?? floatMs ?? 0) / 1000;
  const float =
    histogramMs === undefined ||
    (floatMs !== undefined && (first ? floatMs < histogramMs : histogramMs < floatMs));
  return float ? floats.values[place(floats)] : histograms.histograms[place(histograms)];
}

interface Point {
  readonly timeMs: number;
  readonly value: number;
  readonly histogram: Histogram | undefined;
  /** Counting began anew between the sample of the same kind before it and this one. */
  readonly anew: boolean;
}

/** resets and changes count pairs of neighbours; a change of kind is one. */
function countMixed(mixed: MixedWindow, resets: boolean): number | undefined {
  const { floats, histograms, extension } = mixed;
  const points = [...floatPoints(floats), ...histogramPoints(histograms)].sort(
    (one, other) => one.timeMs - other.timeMs,
  );
  let from = 0;
  if (extension === 'anchored') {
    const inside = points.findIndex(({ timeMs }) => timeMs > floats.startMs);
    if (inside < 0) return undefined;
    from = Math.max(0, inside - 1);
  }
  let count = 0;
  for (let index = from + 1; index < points.length; index++) {
    const [before, point] = [points[index - 1], points[index]];
    if (before && point && (resets ? isReset(before, point) : isChange(before, point))) count++;
  }
  return count;
}

const floatPoints = (window: Window): Point[] =>
  Array.from(window.timestampsMs.subarray(window.from, window.to), (timeMs, at) => ({
    ...{ timeMs, value: window.values[window.from + at] ?? Number.NaN, histogram: undefined },
    anew: at > 0 && startedAnew(window, window.from + at),
  }));

const histogramPoints = (window: HistogramWindow): Point[] =>
  Array.from(window.timestampsMs.subarray(window.from, window.to), (timeMs, at) => ({
    ...{ timeMs, value: Number.NaN, histogram: window.histograms[window.from + at] },
    anew: at > 0 && startedAnew(window, window.from + at),
  }));

function isReset(before: Point, point: Point): boolean {
  if (before.histogram && point.histogram)
    return point.anew || detectReset(point.histogram, before.histogram);
  if (before.histogram || point.histogram) return true;
  return point.anew || point.value < before.value;
}

function isChange(before: Point, point: Point): boolean {
  if (before.histogram && point.histogram) return !equalHistograms(point.histogram, before.histogram);
  if (before.histogram || point.histogram) return true;
  return point.value !== before.value && !(Number.isNaN(point.value) && Number.isNaN(before.value));
}

/** Where the window of a series lies now; its borders only move forward. */
export function moveTo(window: Omit<Window, 'values'>, afterMs: number, toMs: number): void {
  const { timestampsMs } = window;
  window.from = firstAfter(timestampsMs, afterMs, window.from, timestampsMs.length);
  window.to = firstAfter(timestampsMs, toMs, Math.max(window.from, window.to), timestampsMs.length);
}
