import type { CachedSeries } from '../series-cache.ts';

/**
 * Adds up what comes as differences (delta temporality), because tables hold what counters and histograms have counted
 * in all. What was added up is forgotten at a restart, and when too many series come: then a counter begins again from
 * its next difference, with its own start time, which is what a counter that was reset looks like.
 */
export interface DeltaSums {
  /**
   * The sums after these differences, which counted from `startUs` to `timeUs`. Undefined when the series is at that
   * time already: a request that came twice. `undo` takes the difference back, if it could not be stored.
   */
  add(
    series: CachedSeries,
    startUs: number,
    timeUs: number,
    differences: readonly number[],
    undo: Undo,
  ): Sums | undefined;
}

interface Sums {
  readonly startUs: number;
  readonly timeUs: number;
  readonly values: readonly number[];
}

export type Undo = (() => void)[];

export function createDeltaSums(deltaSeriesMax: number): DeltaSums {
  // In order of their last use, the oldest first.
  const sums = new Map<string, Sums>();
  return {
    add: (series, startUs, timeUs, differences, undo) => {
      const key = `${series.idHigh} ${series.idLow}`;
      const before = sums.get(key);
      if (before !== undefined && timeUs <= before.timeUs) return undefined;
      const goesOn = before?.values.length === differences.length ? before : undefined;
      const after: Sums = {
        startUs: goesOn?.startUs ?? (startUs || timeUs),
        timeUs,
        values: differences.map((difference, index) => (goesOn?.values[index] ?? 0) + difference),
      };
      sums.delete(key);
      sums.set(key, after);
      undo.push(() => {
        // What came after it has the difference in it.
        if (sums.get(key) !== after) return;
        if (before === undefined) sums.delete(key);
        else sums.set(key, before);
      });
      if (sums.size > deltaSeriesMax) sums.delete(sums.keys().next().value ?? '');
      return after;
    },
  };
}
