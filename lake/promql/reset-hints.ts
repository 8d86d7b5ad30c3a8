import { type Histogram, withHint } from './histograms/histogram.ts';
import { detectReset, storedHint } from './histograms/resets.ts';
import type { SeriesData } from './source.ts';

/**
 * Native histograms with the reset hints that Prometheus' storage would give them: it knows of samples that only grow in
 * a row, and nothing of the first one after a reset. With `statistics` (only count, sum or average are looked at) every
 * sample is compared with the one before, as Prometheus does when it leaves out the buckets.
 */
export function hinted(series: SeriesData, statistics: boolean): SeriesData {
  if (series.histograms === undefined) return series;
  const histograms: (Histogram | undefined)[] = [];
  let before: Histogram | undefined;
  let last: Histogram | undefined;
  for (const histogram of series.histograms) {
    if (histogram === undefined) {
      // A number or the end of the series in between: what follows is a run of its own.
      before = undefined;
      histograms.push(undefined);
      continue;
    }
    let hint = storedHint(histogram, before);
    before = histogram;
    if (statistics && hint === 'unknown' && last)
      hint = detectReset(withHint(histogram, 'unknown'), last) ? 'yes' : 'no';
    last = histogram;
    histograms.push(withHint(histogram, hint));
  }
  return { ...series, histograms };
}
