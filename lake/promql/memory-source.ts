import type { Labels } from '../model/labels.ts';
import { labelValue } from '../model/labels.ts';
import { valueTest } from './matcher.ts';
import { histogramHistoryMs, type SeriesData, type SeriesSource, sliceSamples } from './source.ts';
import { compareLabels } from './value.ts';

/** Series in memory, for tests of the language. */
export function memorySource(series: readonly SeriesData[]): SeriesSource {
  const sorted = series.toSorted((one, other) => compareLabels(one.labels, other.labels));
  return {
    select: async ({ matchers, fromMs, toMs }) => {
      const tests = matchers.map((matcher) => ({ label: matcher.label, test: valueTest(matcher) }));
      const wanted = (labels: Labels): boolean =>
        tests.every(({ label, test }) => test(labelValue(labels, label)));
      return sorted
        .filter(({ labels }) => wanted(labels))
        .map((one) => {
          const { labels, timestampsMs, histograms } = one;
          const startMs = histograms ? fromMs - histogramHistoryMs : fromMs;
          const from = timestampsMs.findIndex((timeMs) => timeMs >= startMs);
          const to = timestampsMs.findLastIndex((timeMs) => timeMs <= toMs) + 1;
          return {
            labels,
            ...(from < 0 ? sliceSamples(one, 0, 0) : sliceSamples(one, from, Math.max(from, to))),
          };
        })
        .filter(({ values }) => values.length > 0);
    },
  };
}
