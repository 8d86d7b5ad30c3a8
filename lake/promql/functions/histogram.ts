import { type Labels, labelValue } from '../../model/labels.ts';
import { forMetric } from '../annotations.ts';
import { type Evaluation, evaluateScalar, evaluateVector } from '../evaluation.ts';
import type { Histogram } from '../histograms/histogram.ts';
import { histogramFractionOf, histogramQuantileOf } from '../histograms/quantile.ts';
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

/** The series of one classic histogram, those that differ in `le` only; or one series with native histograms. */
interface Input {
  readonly labels: Labels;
  readonly bounds: readonly number[];
  readonly members: readonly StepSeries[];
  /** Also in a group that has classic buckets; at a step that has both nothing is evaluated. */
  readonly native: StepSeries | undefined;
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
  for (const input of histograms) {
    if (evaluation.budget.due()) await evaluation.budget.pause();
    evaluation.budget.charge(times.steps);
    const result = newSeries(input.labels, true, times.steps);
    const put = (step: number, value: number): void => {
      result.values[step] = value;
      result.present[step] = 1;
    };
    const bounds = (step: number) => [lower[step] ?? Number.NaN, upper[step] ?? Number.NaN] as const;
    const classic = (step: number, buckets: Buckets): void =>
      put(step, bucketFraction(...bounds(step), buckets));
    eachStep(input, times, classic, (step, histogram) => {
      const { value, excluded } = histogramFractionOf(...bounds(step), histogram);
      put(step, value);
      if (!excluded) return;
      const text = 'input to histogram_fraction has NaN observations, which are excluded from all fractions';
      evaluation.annotations.inform(`${text}${forMetric(metricName(input.labels))}`, vector.span);
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

interface Group extends Input {
  readonly bounds: number[];
  readonly members: StepSeries[];
  native: StepSeries | undefined;
}

async function evaluateHistograms(
  evaluation: Evaluation,
  node: PlanNode,
  times: Times,
): Promise<readonly Input[]> {
  const groups = new Map<string, Group>();
  const groupOf = (labels: Labels): Group => {
    const key = labelsKey(labels);
    const group = groups.get(key) ?? { labels, bounds: [], members: [], native: undefined };
    groups.set(key, group);
    return group;
  };
  for (const series of await evaluateVector(evaluation, node, times)) {
    const { labels, histograms, present } = series;
    if (histograms) groupOf(labels).native = series;
    if (histograms && !present.some((flag, step) => flag === 1 && histograms[step] === undefined)) continue;
    const le = labelValue(labels, 'le');
    const bound = parseNumber(le.replace(/^[+-]/, ''));
    if (bound === undefined) {
      const text = `bucket label "le" is missing or has a malformed value of ${printString(le)}`;
      evaluation.annotations.warn(`${text}${forMetric(metricName(labels))}`, node.span);
      continue;
    }
    const group = groupOf(labels.filter(([name]) => name !== 'le'));
    group.bounds.push(le.startsWith('-') ? -bound : bound);
    group.members.push(series);
  }
  warnOfBoth(evaluation, node, [...groups.values()], times);
  return [...groups.values()];
}

function warnOfBoth(
  { annotations }: Evaluation,
  node: PlanNode,
  groups: readonly Input[],
  { steps }: Times,
): void {
  const text = 'vector contains a mix of classic and native histograms';
  for (const { labels, native, members } of groups) {
    if (native === undefined || members.length === 0) continue;
    for (let step = 0; step < steps; step++) {
      if (native.histograms?.[step] && members.some((member) => hasBucket(member, step)))
        annotations.warn(`${text}${forMetric(metricName(labels))}`, node.span);
    }
  }
}

const hasBucket = ({ present, histograms }: StepSeries, step: number): boolean =>
  present[step] === 1 && histograms?.[step] === undefined;

/** Calls one of the functions at every step: with the buckets sorted by bound, or with the native histogram. */
function eachStep(
  { bounds, members, native }: Input,
  { steps }: Times,
  classicUse: (step: number, buckets: Buckets) => void,
  nativeUse: (step: number, histogram: Histogram) => void,
): void {
  for (let step = 0; step < steps; step++) {
    const buckets: Buckets = { bounds: [], counts: [] };
    members.forEach((member, index) => {
      if (!hasBucket(member, step)) return;
      buckets.bounds.push(bounds[index] ?? Number.NaN);
      buckets.counts.push(member.values[step] ?? 0);
    });
    const histogram = native?.present[step] ? native.histograms?.[step] : undefined;
    if (buckets.bounds.length > 0) {
      if (histogram === undefined) classicUse(step, sortBuckets(buckets));
    } else if (histogram) nativeUse(step, histogram);
  }
}

async function quantileSeries(
  { annotations, budget }: Evaluation,
  inputs: readonly Input[],
  quantiles: Float64Array,
  arg: PlanNode,
  times: Times,
  labelled: (labels: Labels) => Labels,
): Promise<StepSeries[]> {
  const found: StepSeries[] = [];
  for (const input of inputs) {
    if (budget.due()) await budget.pause();
    budget.charge(times.steps);
    const result = newSeries(labelled(input.labels), true, times.steps);
    const name = metricName(input.labels);
    const put = (step: number, value: number): void => {
      result.values[step] = value;
      result.present[step] = 1;
    };
    const classic = (step: number, buckets: Buckets): void => {
      const { value, forced } = bucketQuantile(quantiles[step] ?? Number.NaN, buckets);
      put(step, value);
      if (forced === undefined) return;
      const timeMs = times.startMs + step * times.stepMs;
      const report = { ...forced, fromMs: timeMs, toMs: timeMs, samples: 1 };
      annotations.forcedMonotonicity(report, name, arg.span);
    };
    eachStep(input, times, classic, (step, histogram) => {
      const { value, note } = histogramQuantileOf(quantiles[step] ?? Number.NaN, histogram);
      put(step, value);
      if (note === undefined) return;
      const effect = note === 'result' ? 'result is NaN' : 'result is skewed higher';
      const text = `input to histogram_quantile has NaN observations, ${effect}`;
      annotations.inform(`${text}${forMetric(name)}`, arg.span);
    });
    if (!isEmpty(result)) found.push(result);
  }
  return found;
}
