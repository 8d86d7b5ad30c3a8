import type { Evaluation } from '../evaluation.ts';
import type { Histogram } from '../histograms/histogram.ts';
import { histogramVarianceOf } from '../histograms/quantile.ts';
import type { Times } from '../plan.ts';
import { isEmpty, newSeries, type StepSeries, type Value } from '../value.ts';

const statistics = {
  histogram_avg: ({ sum, count }: Histogram) => sum / count,
  histogram_count: ({ count }: Histogram) => count,
  histogram_sum: ({ sum }: Histogram) => sum,
  histogram_stddev: (histogram: Histogram) => Math.sqrt(histogramVarianceOf(histogram)),
  histogram_stdvar: histogramVarianceOf,
};

export const isStatistic = (name: string): name is keyof typeof statistics => Object.hasOwn(statistics, name);

/** One number of each native histogram; floats have no result. */
export async function histogramStatistic(
  { budget }: Evaluation,
  name: keyof typeof statistics,
  input: readonly StepSeries[],
  { steps }: Times,
): Promise<Value> {
  const series: StepSeries[] = [];
  for (const { labels, histograms } of input) {
    if (budget.due()) await budget.pause();
    if (histograms === undefined) continue;
    budget.charge(steps);
    const result = newSeries(labels, true, steps);
    for (let step = 0; step < steps; step++) {
      const histogram = histograms[step];
      if (histogram === undefined) continue;
      result.values[step] = statistics[name](histogram);
      result.present[step] = 1;
    }
    if (!isEmpty(result)) series.push(result);
  }
  return { kind: 'vector', series };
}
