/** The samples that a range function sees at one step; one object is reused for all steps and series. */
export interface Window {
  timestampsMs: Float64Array;
  values: Float64Array;
  /** Samples from `from` up to but not including `to`. */
  from: number;
  to: number;
  /** The range, open at its start; for extended windows the samples reach beyond it. */
  startMs: number;
  endMs: number;
  /** The step's own time: the range's end before `offset` and `@`. */
  evalMs: number;
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

export const rangeSeconds = ({ startMs, endMs }: Window): number => (endMs - startMs) / 1000;
