import { type Labels, labelValue } from '../../model/labels.ts';
import { forMetric } from '../annotations.ts';
import { type Evaluation, evaluateScalar, evaluateVector } from '../evaluation.ts';
import { parseNumber, printGeneral, printString } from '../literals.ts';
import type { CallNode, PlanNode, Times } from '../plan.ts';
import {
  isEmpty,
  labelsKey,
  metricName,
  newSeries,
  type StepSeries,
  type Value,
  withLabel,
} from '../value.ts';
import { type Buckets, bucketFraction, bucketQuantile, sortBuckets } from './buckets.ts';

/** The series of one classic histogram: those that differ in `le` only. */
interface Histogram {
  readonly labels: Labels;
  readonly dropName: boolean;
  readonly bounds: readonly number[];
  readonly members: readonly StepSeries[];
}

export async function histogramQuantile(
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
): Promise<Value> {
  const [first, second] = twoArgs(node, 0, 1);
  const quantiles = await evaluateScalar(evaluation, first, times);
  const histograms = await evaluateHistograms(evaluation, second, times);
  warnOfQuantiles(evaluation, quantiles, first);
  const series = await quantileSeries(evaluation, histograms, quantiles, second, times, (labels) => labels);
  return { kind: 'vector', series };
}

/** histogram_quantiles(v, label, q...): one series for each quantile, told apart by the label. */
export async function histogramQuantiles(
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
): Promise<Value> {
  const [vector, name] = twoArgs(node, 0, 1);
  const label = name.kind === 'string' ? name.value : '';
  const histograms = await evaluateHistograms(evaluation, vector, times);
  const series: StepSeries[] = [];
  for (const arg of node.args.slice(2)) {
    const quantiles = await evaluateScalar(evaluation, arg, times);
    warnOfQuantiles(evaluation, quantiles, arg);
    const value = quantileText(quantiles[0] ?? Number.NaN);
    const labelled = (labels: Labels): Labels => withLabel(labels, label, value);
    series.push(...(await quantileSeries(evaluation, histograms, quantiles, vector, times, labelled)));
  }
  return { kind: 'vector', series };
}

/** OpenMetrics writes floats with a point or an exponent. */
function quantileText(q: number): string {
  const text = printGeneral(q);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

export async function histogramFraction(
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
): Promise<Value> {
  const [lowerNode, upperNode] = twoArgs(node, 0, 1);
  const [vector] = twoArgs(node, 2, 2);
  const lower = await evaluateScalar(evaluation, lowerNode, times);
  const upper = await evaluateScalar(evaluation, upperNode, times);
  const histograms = await evaluateHistograms(evaluation, vector, times);
  const series: StepSeries[] = [];
  for (const histogram of histograms) {
    if (evaluation.budget.due()) await evaluation.budget.pause();
    evaluation.budget.charge(times.steps);
    const result = newSeries(histogram.labels, true, times.steps);
    eachStep(histogram, times, (step, buckets) => {
      result.values[step] = bucketFraction(lower[step] ?? Number.NaN, upper[step] ?? Number.NaN, buckets);
      result.present[step] = 1;
    });
    if (!isEmpty(result)) series.push(result);
  }
  return { kind: 'vector', series };
}

function twoArgs(node: CallNode, first: number, second: number): readonly [PlanNode, PlanNode] {
  const [one, other] = [node.args[first], node.args[second]];
  if (one === undefined || other === undefined)
    throw new Error(`${node.name} without its arguments has passed the checks`);
  return [one, other];
}

function warnOfQuantiles({ annotations }: Evaluation, quantiles: Float64Array, arg: PlanNode): void {
  for (const q of quantiles)
    if (!(q >= 0 && q <= 1))
      annotations.warn(`quantile value should be between 0 and 1, got ${printGeneral(q)}`, arg.span);
}

async function evaluateHistograms(
  evaluation: Evaluation,
  node: PlanNode,
  times: Times,
): Promise<readonly Histogram[]> {
  const groups = new Map<string, Histogram & { bounds: number[]; members: StepSeries[] }>();
  for (const series of await evaluateVector(evaluation, node, times)) {
    const le = labelValue(series.labels, 'le');
    const bound = parseNumber(le.replace(/^[+-]/, ''));
    if (bound === undefined) {
      const text = `bucket label "le" is missing or has a malformed value of ${printString(le)}`;
      evaluation.annotations.warn(`${text}${forMetric(metricName(series.labels))}`, node.span);
      continue;
    }
    const labels = series.labels.filter(([name]) => name !== 'le');
    const key = labelsKey(labels);
    const group = groups.get(key) ?? { labels, dropName: series.dropName, bounds: [], members: [] };
    groups.set(key, group);
    group.bounds.push(le.startsWith('-') ? -bound : bound);
    group.members.push(series);
  }
  return [...groups.values()];
}

/** Calls `use` with the buckets of every step that has some, sorted by bound. */
function eachStep(
  { bounds, members }: Histogram,
  { steps }: Times,
  use: (step: number, buckets: Buckets) => void,
): void {
  for (let step = 0; step < steps; step++) {
    const buckets: Buckets = { bounds: [], counts: [] };
    members.forEach((member, index) => {
      if (!member.present[step]) return;
      buckets.bounds.push(bounds[index] ?? Number.NaN);
      buckets.counts.push(member.values[step] ?? 0);
    });
    if (buckets.bounds.length > 0) use(step, sortBuckets(buckets));
  }
}

async function quantileSeries(
  { annotations, budget }: Evaluation,
  histograms: readonly Histogram[],
  quantiles: Float64Array,
  arg: PlanNode,
  times: Times,
  labelled: (labels: Labels) => Labels,
): Promise<StepSeries[]> {
  const found: StepSeries[] = [];
  for (const histogram of histograms) {
    if (budget.due()) await budget.pause();
    budget.charge(times.steps);
    const result = newSeries(labelled(histogram.labels), true, times.steps);
    eachStep(histogram, times, (step, buckets) => {
      const { value, forced } = bucketQuantile(quantiles[step] ?? Number.NaN, buckets);
      result.values[step] = value;
      result.present[step] = 1;
      if (forced === undefined) return;
      const timeMs = times.startMs + step * times.stepMs;
      const report = { ...forced, fromMs: timeMs, toMs: timeMs, samples: 1 };
      annotations.forcedMonotonicity(report, metricName(histogram.labels), arg.span);
    });
    if (!isEmpty(result)) found.push(result);
  }
  return found;
}
