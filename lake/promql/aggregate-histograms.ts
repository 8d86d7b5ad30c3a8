import type { Evaluation } from './evaluation.ts';
import { compact, type Histogram } from './histograms/histogram.ts';
import { meanAddHistogram, meanHistogram, newHistogramMean } from './histograms/mean.ts';
import { addTo, histogramOf, newSum } from './histograms/sum.ts';
import { noteCollision, noteReconciled, noteSchemas } from './notes.ts';
import type { AggregationNode } from './plan.ts';
import { metricName, putHistogram, type StepSeries } from './value.ts';

/**
 * Aggregates the steps of a group at which there are native histograms: sum and average add them up into `result`, the
 * others have nothing to say of them. Gives the series with only what is left to aggregate, which is floats.
 */
export function withHistograms(
  evaluation: Evaluation,
  node: AggregationNode,
  members: readonly StepSeries[],
  result: StepSeries,
): readonly StepSeries[] {
  const { op } = node;
  // These count samples, of whichever kind.
  if (op === 'count' || op === 'group') return members;
  const floats = members.map((one) => ({ ...one, present: one.present.slice(), histograms: undefined }));
  for (let step = 0; step < result.present.length; step++) {
    const found = members.flatMap((one) => {
      const histogram = one.present[step] ? one.histograms?.[step] : undefined;
      return histogram ? [{ name: metricName(one.labels), histogram }] : [];
    });
    if (found.length === 0) continue;
    const mixed = members.some(({ present, histograms }) => present[step] === 1 && !histograms?.[step]);
    if (op !== 'sum' && op !== 'avg') {
      evaluation.annotations.inform(`ignored histogram in ${op} aggregation`, node.input.span);
      members.forEach(({ histograms }, index) => {
        const float = floats[index];
        if (histograms?.[step] && float) float.present[step] = 0;
      });
      continue;
    }
    for (const { present } of floats) present[step] = 0;
    const notes = { annotations: evaluation.annotations, span: node.input.span };
    const combined = combineAll(op, found, notes);
    if (mixed)
      notes.annotations.warn('encountered a mix of histograms and floats for aggregation', notes.span);
    else if (combined) putHistogram(result, step, combined);
  }
  return floats;
}

function combineAll(
  op: 'sum' | 'avg',
  found: readonly { readonly name: string; readonly histogram: Histogram }[],
  notes: Pick<Evaluation, 'annotations'> & { readonly span: AggregationNode['span'] },
): Histogram | undefined {
  const [first, ...others] = found;
  if (first === undefined) return undefined;
  const mean = op === 'avg' ? newHistogramMean(first.histogram) : undefined;
  const sum = newSum(first.histogram);
  for (const { name, histogram } of others) {
    const addition = mean ? meanAddHistogram(mean, histogram) : addTo(sum, histogram, 1);
    if (addition === undefined) {
      noteSchemas({ ...notes, metric: name });
      return undefined;
    }
    if (addition.reconciled) noteReconciled(notes, 'aggregation');
  }
  const hints = new Set(found.map(({ histogram }) => histogram.hint));
  if (hints.has('yes') && hints.has('no')) noteCollision(notes, 'aggregation');
  return mean ? meanHistogram(mean) : compact(histogramOf(sum));
}
