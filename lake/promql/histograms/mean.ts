import { compact, divide, type Histogram } from './histogram.ts';
import {
  type Addition,
  addTo,
  copySum,
  type HistogramSum,
  hasOverflow,
  histogramOf,
  newSum,
  scaleSum,
} from './sum.ts';

/** A mean that sums as long as the sum does not overflow, and goes on incrementally from there. */
export interface HistogramMean {
  sum: HistogramSum;
  count: number;
  incremental: boolean;
}

export const newHistogramMean = (first: Histogram): HistogramMean => ({
  sum: newSum(first),
  count: 1,
  incremental: false,
});

/** Undefined when schemas do not go together; the mean is of no use then. */
export function meanAddHistogram(mean: HistogramMean, histogram: Histogram): Addition | undefined {
  const count = ++mean.count;
  let reconciled = false;
  if (!mean.incremental) {
    const next = copySum(mean.sum);
    const addition = addTo(next, histogram, 1);
    if (addition === undefined) return undefined;
    reconciled = addition.reconciled;
    if (!hasOverflow(next)) {
      mean.sum = next;
      return addition;
    }
    scaleSum(mean.sum, (value) => value / (count - 1));
    mean.incremental = true;
  }
  const kept = (count - 1) / count;
  scaleSum(mean.sum, (value) => value * kept);
  const addition = addTo(mean.sum, divide(histogram, count), 1);
  return addition && { ...addition, reconciled: reconciled || addition.reconciled };
}

export function meanHistogram({ sum, count, incremental }: HistogramMean): Histogram {
  if (incremental) return compact(histogramOf(sum));
  const scaled = copySum(sum);
  scaleSum(scaled, (value) => value / count);
  return compact(histogramOf(scaled));
}
