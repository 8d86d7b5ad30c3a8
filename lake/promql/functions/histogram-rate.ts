import {
  compact,
  divide,
  emptyLike,
  type Histogram,
  isCustom,
  multiply,
  withHint,
} from '../histograms/histogram.ts';
import { detectReset } from '../histograms/resets.ts';
import { atSchema, combine } from '../histograms/sum.ts';
import { type Notes, noteNotCounter, noteNotGauge, noteReconciled, noteSchemas } from '../notes.ts';
import { extrapolation, startInside } from './rate.ts';
import { firstAfter, type HistogramWindow, noteOverlaps, rangeSeconds, startedAnew } from './window.ts';

// rate, increase, delta and their kin over native histograms. What does not go together is noted and has no result.

/** `one + sign * other`, noted; undefined when their schemas do not go together. */
function combineNoted(one: Histogram, other: Histogram, sign: 1 | -1, notes: Notes): Histogram | undefined {
  const combined = combine(one, other, sign);
  if (combined === undefined) noteSchemas(notes);
  else if (combined.reconciled) noteReconciled(notes, sign === 1 ? 'addition' : 'subtraction');
  return combined?.histogram;
}

/** rate, increase and delta over plain windows. */
export function extrapolatedHistogram(
  window: HistogramWindow,
  counter: boolean,
  perSecond: boolean,
  notes: Notes,
): Histogram | undefined {
  const { histograms, from, to } = window;
  const countsSinceMs = counter ? startInside(window) : undefined;
  const first = histograms[from];
  if (first === undefined || (to - from < 2 && countsSinceMs === undefined)) return undefined;
  let result = to - from < 2 ? undefined : change(window, counter, notes);
  if (result === undefined && to - from >= 2) return undefined;
  const toZero =
    counter && result && result.count > 0 && first.count >= 0 ? first.count / result.count : undefined;
  if (countsSinceMs !== undefined) result = result ? combineNoted(result, first, 1, notes) : first;
  return result && multiply(result, extrapolation(window, toZero, countsSinceMs, perSecond));
}

/** The last histogram less the first, with what was lost to resets in between. */
function change(window: HistogramWindow, counter: boolean, notes: Notes): Histogram | undefined {
  const { histograms, from, to } = window;
  const [first, second, last] = [histograms[from], histograms[from + 1], histograms[to - 1]];
  if (first === undefined || second === undefined || last === undefined) return undefined;
  if (counter && (first.hint === 'gauge' || last.hint === 'gauge')) noteNotCounter(notes);
  let start = first;
  if (counter && (startedAnew(window, from + 1) || detectReset(second, first))) start = emptyLike(second);
  const custom = isCustom(start);
  let schema = Math.min(last.schema, start.schema);
  if (isCustom(last) !== custom) {
    noteSchemas(notes);
    return undefined;
  }
  if (counter) {
    for (const current of histograms.slice(from + 1, to - 1)) {
      if (current.hint === 'gauge') noteNotCounter(notes);
      schema = Math.min(schema, current.schema);
      if (isCustom(current) === custom) continue;
      noteSchemas(notes);
      return undefined;
    }
  }
  let result = combineNoted(atSchema(last, schema), start, -1, notes);
  if (counter) {
    noteOverlaps(window);
    let before = start;
    for (let index = from + 1; index < to && result; index++) {
      const current = histograms[index];
      if (current === undefined) break;
      if (startedAnew(window, index) || detectReset(current, before))
        result = combineNoted(result, before, 1, notes);
      before = current;
    }
  } else if (first.hint !== 'gauge' || last.hint !== 'gauge') noteNotGauge(notes);
  return result && compact(withHint(result, 'gauge'));
}

/** irate and idelta: between the last two samples. */
export function instantaneousHistogram(
  window: HistogramWindow,
  counter: boolean,
  notes: Notes,
): Histogram | undefined {
  const { timestampsMs, histograms, to } = window;
  const [before, last] = [histograms[to - 2], histograms[to - 1]];
  const seconds = ((timestampsMs[to - 1] ?? 0) - (timestampsMs[to - 2] ?? 0)) / 1000;
  if (before === undefined || last === undefined || seconds === 0) return undefined;
  if (counter && (last.hint === 'gauge' || before.hint === 'gauge')) noteNotCounter(notes);
  if (!counter && (last.hint !== 'gauge' || before.hint !== 'gauge')) noteNotGauge(notes);
  const reset = counter && (startedAnew(window, to - 1) || detectReset(last, before));
  const difference = reset ? last : combineNoted(last, before, -1, notes);
  if (difference === undefined) return undefined;
  const result = compact(withHint(difference, 'gauge'));
  return counter ? divide(result, seconds) : result;
}

/** The histogram on the line between two; after a reset it starts at zero. Undefined when they do not go together. */
export function interpolateHistogram(
  one: Histogram,
  other: Histogram,
  fraction: number,
  counter: boolean,
  notes: Notes,
): Histogram | undefined {
  if (fraction === 0) return one;
  if (fraction === 1) return other;
  if (counter && detectReset(other, one)) return multiply(other, fraction);
  const difference = combineNoted(other, one, -1, notes);
  return difference && combineNoted(multiply(difference, fraction), one, 1, notes);
}

/** rate, increase and delta over `anchored` and `smoothed` windows. */
export function extendedHistogram(
  window: HistogramWindow,
  smoothed: boolean,
  counter: boolean,
  perSecond: boolean,
  notes: Notes,
): Histogram | undefined {
  const { timestampsMs, histograms, from, to, startMs, endMs } = window;
  const timeOf = (index: number): number => timestampsMs[index] ?? 0;
  let last = to - 1;
  const first = Math.max(from, firstAfter(timestampsMs, startMs, from, last) - 1);
  if (smoothed) last = firstAfter(timestampsMs, endMs - 1, from, last);
  if (timeOf(last) <= startMs || (smoothed && timeOf(first) > endMs)) return undefined;
  const used = histograms.slice(first, last + 1);
  if (!usable(used, counter, notes)) return undefined;
  const [one, other] = [used[0], used.at(-1)];
  if (one === undefined || other === undefined) return undefined;
  const between = (index: number, timeMs: number): Histogram | undefined => {
    const [left, right] = [histograms[index], histograms[index + 1]];
    const fraction = (timeMs - timeOf(index)) / (timeOf(index + 1) - timeOf(index));
    return left && right && interpolateHistogram(left, right, fraction, counter, notes);
  };
  const left = smoothed && timeOf(first) < startMs ? between(first, startMs) : one;
  const right = smoothed && last > from && timeOf(last) > endMs ? between(last - 1, endMs) : other;
  if (left === undefined || right === undefined) return undefined;
  if (!counter && (left.hint !== 'gauge' || right.hint !== 'gauge')) noteNotGauge(notes);
  let result = combineNoted(right, left, -1, notes);
  if (counter && result) {
    const interpolated = smoothed && timeOf(first) < startMs;
    const lost = lostToResets(used, left, right, interpolated, notes);
    if (lost === 'incompatible') return undefined;
    if (lost) result = combineNoted(result, lost, 1, notes);
  }
  if (perSecond && result) result = divide(result, rangeSeconds(window));
  return result && compact(withHint(result, 'gauge'));
}

function usable(histograms: readonly Histogram[], counter: boolean, notes: Notes): boolean {
  const [first] = histograms;
  for (const histogram of histograms) {
    if (first && isCustom(histogram) !== isCustom(first)) {
      noteSchemas(notes);
      return false;
    }
    if (counter && histogram.hint === 'gauge') noteNotCounter(notes);
  }
  return true;
}

function lostToResets(
  used: readonly Histogram[],
  left: Histogram,
  right: Histogram,
  interpolated: boolean,
  notes: Notes,
): Histogram | undefined | 'incompatible' {
  let from = 1;
  let before = left;
  const [first, second] = used;
  // The interpolation has started at zero then, so this reset is in it already.
  if (interpolated && first && second && detectReset(second, first)) {
    before = second;
    from++;
  }
  if (from > used.length - 1) return undefined;
  let lost: Histogram | undefined;
  for (const current of [...used.slice(from, -1), right]) {
    if (detectReset(current, before)) {
      lost = lost ? combineNoted(lost, before, 1, notes) : before;
      if (lost === undefined) return 'incompatible';
    }
    before = current;
  }
  return lost;
}
