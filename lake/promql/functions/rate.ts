import { firstAfter, rangeSeconds, type Window, type WindowFunction } from './window.ts';

const at = (array: Float64Array, index: number): number => array[index] ?? Number.NaN;

/** rate, increase and delta over plain windows. */
export function extrapolated(counter: boolean, perSecond: boolean): WindowFunction {
  return (window) => {
    const { timestampsMs, values, from, to, startMs, endMs } = window;
    if (to - from < 2) return undefined;
    const firstMs = at(timestampsMs, from);
    const lastMs = at(timestampsMs, to - 1);
    const first = at(values, from);
    let result = at(values, to - 1) - first;
    if (counter) {
      for (let index = from + 1; index < to; index++) {
        const before = at(values, index - 1);
        if (at(values, index) < before) result += before;
      }
    }
    const sampledSeconds = (lastMs - firstMs) / 1000;
    const meanSeconds = sampledSeconds / (to - from - 1);
    const thresholdSeconds = meanSeconds * 1.1;
    // Near a border the slope is taken to go on up to it; else for half the usual distance of samples.
    let toStart = (firstMs - startMs) / 1000;
    let toEnd = (endMs - lastMs) / 1000;
    if (toStart >= thresholdSeconds) toStart = meanSeconds / 2;
    if (counter) {
      // A counter is never negative: it started, at the earliest, where its slope meets zero.
      let toZero = toStart;
      if (result > 0 && first >= 0) toZero = sampledSeconds * (first / result);
      if (toZero < toStart) toStart = toZero;
    }
    if (toEnd >= thresholdSeconds) toEnd = meanSeconds / 2;
    let factor = sampledSeconds === 0 ? 1 : (sampledSeconds + toStart + toEnd) / sampledSeconds;
    if (perSecond) factor /= rangeSeconds(window);
    return result * factor;
  };
}

/** rate, increase and delta over `anchored` and `smoothed` windows: borders are taken from samples, not guessed. */
export function extended(smoothed: boolean, counter: boolean, perSecond: boolean): WindowFunction {
  return (window) => {
    const { timestampsMs, values, from, to, startMs, endMs } = window;
    let last = to - 1;
    let first = Math.max(from, firstAfter(timestampsMs, startMs, from, last) - 1);
    // The first sample at or after the end; timestamps are whole milliseconds.
    if (smoothed) last = firstAfter(timestampsMs, endMs - 1, from, last);
    if (at(timestampsMs, last) <= startMs) return undefined;
    if (smoothed && at(timestampsMs, first) > endMs) return undefined;
    const left =
      smoothed && at(timestampsMs, first) < startMs
        ? interpolate(window, first, startMs, counter)
        : at(values, first);
    const right =
      smoothed && last > from && at(timestampsMs, last) > endMs
        ? interpolate(window, last - 1, endMs, counter)
        : at(values, last);
    let result = right - left;
    if (counter) {
      if (at(timestampsMs, first) <= startMs) first++;
      if (at(timestampsMs, last) >= endMs) last--;
      result += lostToResets(values, first, last, left, right);
    }
    return perSecond ? result / rangeSeconds(window) : result;
  };
}

function lostToResets(
  values: Float64Array,
  first: number,
  last: number,
  left: number,
  right: number,
): number {
  let lost = 0;
  let before = left;
  for (let index = first; index <= last; index++) {
    const value = at(values, index);
    if (value < before) lost += before;
    before = value;
  }
  return right < before ? lost + before : lost;
}

/** The value at `timeMs` on the line through samples `index` and `index + 1`; after a reset it starts at zero. */
export function interpolate(
  { timestampsMs, values }: Pick<Window, 'timestampsMs' | 'values'>,
  index: number,
  timeMs: number,
  counter: boolean,
): number {
  const next = at(values, index + 1);
  let value = at(values, index);
  if (counter && next < value) value = 0;
  const fromMs = at(timestampsMs, index);
  return value + ((next - value) * (timeMs - fromMs)) / (at(timestampsMs, index + 1) - fromMs);
}

/** irate and idelta: between the last two samples. */
export function instantaneous(counter: boolean): WindowFunction {
  return ({ timestampsMs, values, from, to }) => {
    if (to - from < 2) return undefined;
    const seconds = (at(timestampsMs, to - 1) - at(timestampsMs, to - 2)) / 1000;
    if (seconds === 0) return undefined;
    const last = at(values, to - 1);
    const before = at(values, to - 2);
    const change = counter && last < before ? last : last - before;
    return counter ? change / seconds : change;
  };
}

/** resets and changes count pairs of neighbours; anchored windows also count from the sample before the range. */
export function countPairs(counts: (before: number, value: number) => boolean): WindowFunction {
  return (window) => {
    const { timestampsMs, values, to, startMs } = window;
    const inside = firstAfter(timestampsMs, startMs, window.from, to);
    // Only anchored windows hold samples before the range; the last of them is where counting starts.
    if (inside === to) return undefined;
    const from = Math.max(window.from, inside - 1);
    let count = 0;
    for (let index = from + 1; index < to; index++)
      if (counts(at(values, index - 1), at(values, index))) count++;
    return count;
  };
}
