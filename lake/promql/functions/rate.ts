import {
  firstAfter,
  noteOverlaps,
  rangeSeconds,
  startedAnew,
  type Window,
  type WindowFunction,
} from './window.ts';

const at = (array: Float64Array, index: number): number => array[index] ?? Number.NaN;

/** rate, increase and delta over plain windows. */
export function extrapolated(counter: boolean, perSecond: boolean): WindowFunction {
  return (window) => {
    const { values, from, to } = window;
    const countsSinceMs = counter ? startInside(window) : undefined;
    if (to - from < 2 && countsSinceMs === undefined) return undefined;
    const first = at(values, from);
    let result = at(values, to - 1) - first;
    if (counter) {
      if (window.startsMs) noteOverlaps(window);
      for (let index = from + 1; index < to; index++) {
        const before = at(values, index - 1);
        if (at(values, index) < before || startedAnew(window, index)) result += before;
      }
    }
    // A counter is never negative: it started, at the earliest, where its slope meets zero.
    const toZero = counter && result > 0 && first >= 0 ? first / result : undefined;
    if (countsSinceMs !== undefined) result += first;
    return result * extrapolation(window, toZero, countsSinceMs, perSecond);
  };
}

/** When the first sample began to count, if that was within the range: then it is known what it had counted there. */
export function startInside({
  timestampsMs,
  startsMs,
  from,
  startMs,
}: Omit<Window, 'values'>): number | undefined {
  const since = startsMs?.[from] ?? 0;
  return since !== 0 && since > startMs && since < at(timestampsMs, from) ? since : undefined;
}

/**
 * By what the change between the first and the last sample is multiplied to stand for the whole range. Near a border the
 * slope is taken to go on up to it; else for half the usual distance of samples. `toZero`: after which part of the
 * sampled time before it the first sample would have been zero.
 */
export function extrapolation(
  window: Omit<Window, 'values'>,
  toZero: number | undefined,
  countsSinceMs: number | undefined,
  perSecond: boolean,
): number {
  const { timestampsMs, from, to, startMs, endMs } = window;
  const [firstMs, lastMs] = [at(timestampsMs, from), at(timestampsMs, to - 1)];
  return stretched({ firstMs, lastMs, samples: to - from, startMs, endMs }, toZero, countsSinceMs, perSecond);
}

/** Where in its range a series has samples. */
interface Sampled extends Pick<Window, 'startMs' | 'endMs'> {
  readonly firstMs: number;
  readonly lastMs: number;
  readonly samples: number;
}

/** The same, of what is known about the samples. */
export function stretched(
  sampled: Sampled,
  toZero: number | undefined,
  countsSinceMs: number | undefined,
  perSecond: boolean,
): number {
  const { firstMs, lastMs, samples, startMs, endMs } = sampled;
  let sampledSeconds = (lastMs - firstMs) / 1000;
  const meanSeconds = samples > 1 ? sampledSeconds / (samples - 1) : 0;
  const thresholdSeconds = meanSeconds * 1.1;
  let toStart = (firstMs - startMs) / 1000;
  let toEnd = (endMs - lastMs) / 1000;
  if (countsSinceMs === undefined) {
    if (toStart >= thresholdSeconds) toStart = meanSeconds / 2;
    if (toZero !== undefined) toStart = Math.min(toStart, sampledSeconds * toZero);
  } else {
    toStart = 0;
    sampledSeconds = (lastMs - countsSinceMs) / 1000;
  }
  if (toEnd >= thresholdSeconds) toEnd = meanSeconds / 2;
  const factor = sampledSeconds === 0 ? 1 : (sampledSeconds + toStart + toEnd) / sampledSeconds;
  return perSecond ? factor / rangeSeconds(sampled) : factor;
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

/**
 * The samples of an `anchored` or `smoothed` window as they are: with one at each border, taken or interpolated from the
 * samples around it. Undefined when all samples lie before the range.
 */
export function extendedSamples(
  samples: Pick<Window, 'timestampsMs' | 'values'>,
  startMs: number,
  endMs: number,
  smoothed: boolean,
): { readonly timestampsMs: Float64Array; readonly values: Float64Array } | undefined {
  const { timestampsMs, values } = samples;
  let last = values.length - 1;
  let first = Math.max(0, firstAfter(timestampsMs, startMs, 0, last) - 1);
  if (smoothed) last = firstAfter(timestampsMs, endMs - 1, 0, last);
  if (at(timestampsMs, last) <= startMs) return undefined;
  const between = (index: number, timeMs: number): number => interpolate(samples, index, timeMs, false);
  const left = smoothed && at(timestampsMs, first) < startMs ? between(first, startMs) : at(values, first);
  const right =
    smoothed && last > 0 && at(timestampsMs, last) > endMs ? between(last - 1, endMs) : at(values, last);
  if (at(timestampsMs, first) <= startMs) first++;
  if (at(timestampsMs, last) >= endMs) last--;
  return {
    timestampsMs: Float64Array.of(startMs, ...timestampsMs.subarray(first, last + 1), endMs),
    values: Float64Array.of(left, ...values.subarray(first, last + 1), right),
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
  return (window) => {
    const { timestampsMs, values, from, to } = window;
    if (to - from < 2) return undefined;
    const seconds = (at(timestampsMs, to - 1) - at(timestampsMs, to - 2)) / 1000;
    if (seconds === 0) return undefined;
    const last = at(values, to - 1);
    const before = at(values, to - 2);
    const reset = counter && (last < before || startedAnew(window, to - 1));
    const change = reset ? last : last - before;
    return counter ? change / seconds : change;
  };
}

/** resets and changes count pairs of neighbours; anchored windows also count from the sample before the range. */
export function countPairs(
  counts: (before: number, value: number) => boolean,
  startsCount: boolean,
): WindowFunction {
  return (window) => {
    const { timestampsMs, values, to, startMs } = window;
    const inside = firstAfter(timestampsMs, startMs, window.from, to);
    // Only anchored windows hold samples before the range; the last of them is where counting starts.
    if (inside === to) return undefined;
    const from = Math.max(window.from, inside - 1);
    let count = 0;
    for (let index = from + 1; index < to; index++)
      if (counts(at(values, index - 1), at(values, index)) || (startsCount && startedAnew(window, index)))
        count++;
    return count;
  };
}
