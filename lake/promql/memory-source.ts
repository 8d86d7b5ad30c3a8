import type { Labels } from '../model/labels.ts';
import { labelValue } from '../model/labels.ts';
import { valueTest } from './matcher.ts';
import type { SeriesData, SeriesSource } from './source.ts';
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
        .map(({ labels, timestampsMs, values }) => {
          const from = timestampsMs.findIndex((timeMs) => timeMs >= fromMs);
          const to = timestampsMs.findLastIndex((timeMs) => timeMs <= toMs) + 1;
          const kept = from < 0 ? [0, 0] : [from, Math.max(from, to)];
          return { labels, timestampsMs: timestampsMs.slice(...kept), values: values.slice(...kept) };
        })
        .filter(({ values }) => values.length > 0);
    },
  };
}
