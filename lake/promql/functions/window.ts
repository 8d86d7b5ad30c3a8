import type { Histogram } from '../histograms/histogram.ts';

/** The samples that a range function sees at one step; one object is reused for all steps and series. */
export interface Window {
  timestampsMs: Float64Array;
  values: Float64Array;
  /** Since when each sample counts, 0 for not known; undefined when that is known of none. */
  startsMs: Float64Array | undefined;
  /** Samples from `from` up to but not including `to`. */
  from: number;
  to: number;
  /** The range, open at its start; for extended windows the samples reach beyond it. */
  startMs: number;
  endMs: number;
  /** The step's own time: the range's end before `offset` and `@`. */
  evalMs: number;
  /** Set by functions that have seen a sample that counts since before the sample before it. */
  overlap: boolean;
}

/** A window over the samples that are native histograms. */
export interface HistogramWindow extends Omit<Window, 'values'> {
  histograms: readonly Histogram[];
}

/**
 * One value of a range function, or undefined for none. `args` are its scalar arguments at this step, in order.
 * Windows are never empty.
 */
export type WindowFunction = (window: Window, args: readonly number[]) => number | undefined;

/** First index in [from, to) whose timestamp is after `afterMs`; `to` when there is none. */
export function firstAfter(timestampsMs: Float64Array, afterMs: number, from: number, to: number): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((timestampsMs[middle] ?? 0) > afterMs) high = middle;
    else low = middle + 1;
  }
  return low;
}

export const rangeSeconds = ({ startMs, endMs }: Pick<Window, 'startMs' | 'endMs'>): number =>
  (endMs - startMs) / 1000;

/** Whether the start timestamps of two samples in a row say that counting began anew between them. */
export function startedAnew(
  { timestampsMs, startsMs }: Pick<Window, 'timestampsMs' | 'startsMs'>,
  index: number,
): boolean {
  if (startsMs === undefined) return false;
  const [before, start] = [startsMs[index - 1] ?? 0, startsMs[index] ?? 0];
  const [beforeMs, timeMs] = [timestampsMs[index - 1] ?? 0, timestampsMs[index] ?? 0];
  if (start === 0 || start >= timeMs || start < beforeMs) return false;
  if (start > beforeMs) return true;
  // Deltas start where the last one ended; that the one before was no such delta makes it a reset.
  return before <= beforeMs && before !== 0 && before !== beforeMs;
}

/** Notes in the window when a sample counts since a time before the sample before it, with another start than that. */
export function noteOverlaps(window: Omit<Window, 'values'>): void {
  const { timestampsMs, startsMs, from, to } = window;
  if (startsMs === undefined) return;
  for (let index = from + 1; index < to; index++) {
    const start = startsMs[index] ?? 0;
    if (start !== 0 && start < (timestampsMs[index - 1] ?? 0) && start !== startsMs[index - 1])
      window.overlap = true;
  }
}
