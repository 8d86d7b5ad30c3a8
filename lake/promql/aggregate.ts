import type { Labels } from '../model/labels.ts';
import { withHistograms } from './aggregate-histograms.ts';
import { aggregateK, foldBest } from './aggregate-k.ts';
import { executionError } from './errors.ts';
import { attempt, type Evaluation, evaluateScalar, evaluateVector } from './evaluation.ts';
import { foldGroups, foldMembers } from './fold-groups.ts';
import { printHistogram } from './histograms/print.ts';
import { printFloat, printGeneral, printString } from './literals.ts';
import { extremes, type Mean, meanAdd, meanValue, newMean, quantile } from './numbers.ts';
import type { AggregationNode, Times } from './plan.ts';
import { isEmpty, labelsKey, newSeries, type StepSeries, type Value, withLabel } from './value.ts';

/** Aggregations: series of equal grouping labels become one (or, for topk and its kin, a choice of them). */
export async function aggregate(evaluation: Evaluation, node: AggregationNode, times: Times): Promise<Value> {
  const { parameter } = node;
  if (node.op === 'count_values') {
    const label = parameter?.kind === 'string' ? parameter.value : '';
    if (label === '') throw executionError(`invalid label name ${printString(label)}`);
    const input = await evaluateVector(evaluation, node.input, times);
    return { kind: 'vector', series: await countValues(evaluation, node, label, input, times) };
  }
  const folded = await attempt(evaluation, () => foldGroups(evaluation, node, grouper(node), times));
  if (folded) return { kind: 'vector', series: folded };
  const parameters = parameter ? await evaluateScalar(evaluation, parameter, times) : new Float64Array(0);
  const best = await attempt(evaluation, () => foldBest(evaluation, node, parameters, times));
  if (best) return { kind: 'vector', series: best };
  const input = await evaluateVector(evaluation, node.input, times);
  const groups = await groupSeries(evaluation, node, input);
  switch (node.op) {
    case 'topk':
    case 'bottomk':
    case 'limitk':
    case 'limit_ratio':
      return { kind: 'vector', series: await aggregateK(evaluation, node, groups, input, parameters, times) };
    case 'quantile':
      warnOfQuantiles(evaluation, node, parameters);
      break;
    default:
      break;
  }
  const series: StepSeries[] = [];
  for (const { labels, members } of groups) {
    evaluation.budget.charge(times.steps);
    const dropName = members.some((one) => one.dropName);
    const result = newSeries(labels, dropName, times.steps);
    const hasHistograms = members.some(({ histograms }) => histograms !== undefined);
    const floats = hasHistograms ? withHistograms(evaluation, node, members, result) : members;
    series.push(result);
    if (foldMembers(node.op, floats, result)) continue;
    // In slices of steps, so that large groups don't hold the event loop.
    const stepsPerTurn = Math.max(1, Math.floor(valuesPerTurn / members.length));
    for (let from = 0; from < times.steps; from += stepsPerTurn) {
      if (evaluation.budget.due()) await evaluation.budget.pause();
      reduce(node.op, floats, result, parameters, from, Math.min(times.steps, from + stepsPerTurn));
    }
  }
  return { kind: 'vector', series: series.filter((one) => !isEmpty(one)) };
}

/** Values that are aggregated before the event loop is asked about. */
const valuesPerTurn = 100_000;

export interface Group {
  readonly labels: Labels;
  readonly members: readonly StepSeries[];
}

/** In the order in which groups first appear. */
async function groupSeries(
  { budget }: Evaluation,
  node: Pick<AggregationNode, 'without' | 'grouping'>,
  series: readonly StepSeries[],
): Promise<readonly Group[]> {
  const labelsOf = grouper(node);
  const groups = new Map<string, { labels: Labels; members: StepSeries[] }>();
  for (const one of series) {
    if (budget.due()) await budget.pause();
    const labels = labelsOf(one.labels);
    const key = labelsKey(labels);
    const group = groups.get(key);
    if (group) group.members.push(one);
    else groups.set(key, { labels, members: [one] });
  }
  return [...groups.values()];
}

/** The labels by which an aggregation groups. */
function grouper({
  without,
  grouping,
}: Pick<AggregationNode, 'without' | 'grouping'>): (labels: Labels) => Labels {
  const names = new Set(grouping);
  return without
    ? (labels) => labels.filter(([name]) => !names.has(name) && name !== '__name__')
    : (labels) => labels.filter(([name]) => names.has(name));
}

function warnOfQuantiles({ annotations }: Evaluation, node: AggregationNode, parameters: Float64Array): void {
  const span = node.parameter?.span ?? node.span;
  const warn = (q: number): void =>
    annotations.warn(`quantile value should be between 0 and 1, got ${printGeneral(q)}`, span);
  if (parameters.some(Number.isNaN)) warn(Number.NaN);
  const { least, most } = extremes(parameters);
  if (most > 1) warn(most);
  if (least < 0) warn(least);
}

/** Aggregates the steps from `from` up to but not including `to`. */
function reduce(
  op: AggregationNode['op'],
  members: readonly StepSeries[],
  result: StepSeries,
  parameters: Float64Array,
  from: number,
  to: number,
): void {
  switch (op) {
    case 'avg':
      average(members, result, from, to);
      break;
    case 'stdvar':
    case 'stddev':
      deviation(members, result, from, to, op === 'stddev');
      break;
    case 'quantile':
      quantiles(members, result, from, to, parameters);
      break;
    default:
      throw new Error(`${op} is no reduction`);
  }
}

function average(
  members: readonly StepSeries[],
  { values: out, present: seen }: StepSeries,
  from: number,
  to: number,
): void {
  for (let index = from; index < to; index++) {
    let mean: Mean | undefined;
    for (const { values, present } of members) {
      if (!present[index]) continue;
      const value = values[index] ?? 0;
      if (mean) meanAdd(mean, value);
      else mean = newMean(value);
    }
    if (mean === undefined) continue;
    out[index] = meanValue(mean);
    seen[index] = 1;
  }
}

/** Welford's method; a first value that is no finite number makes the result NaN. */
function deviation(
  members: readonly StepSeries[],
  { values: out, present: seen }: StepSeries,
  from: number,
  to: number,
  root: boolean,
): void {
  for (let index = from; index < to; index++) {
    let count = 0;
    let mean = 0;
    let squares = 0;
    for (const { values, present } of members) {
      if (!present[index]) continue;
      const value = values[index] ?? 0;
      if (++count === 1) {
        mean = value;
        squares = Number.isFinite(value) ? 0 : Number.NaN;
        continue;
      }
      const delta = value - mean;
      mean += delta / count;
      squares += delta * (value - mean);
    }
    if (count === 0) continue;
    out[index] = root ? Math.sqrt(squares / count) : squares / count;
    seen[index] = 1;
  }
}

function quantiles(
  members: readonly StepSeries[],
  { values: out, present: seen }: StepSeries,
  from: number,
  to: number,
  parameters: Float64Array,
): void {
  const scratch = new Float64Array(members.length);
  for (let index = from; index < to; index++) {
    let count = 0;
    for (const { values, present } of members) if (present[index]) scratch[count++] = values[index] ?? 0;
    if (count === 0) continue;
    out[index] = quantile(parameters[index] ?? Number.NaN, scratch.subarray(0, count));
    seen[index] = 1;
  }
}

async function countValues(
  { budget }: Evaluation,
  node: AggregationNode,
  label: string,
  input: readonly StepSeries[],
  times: Times,
): Promise<readonly StepSeries[]> {
  const grouping = node.without ? node.grouping : [...node.grouping, label];
  const labelsOf = grouper({ without: node.without, grouping });
  const counts = new Map<string, StepSeries>();
  for (const { labels, values, present, histograms } of input) {
    if (budget.due()) await budget.pause();
    const byValue = new Map<string, StepSeries>();
    for (let index = 0; index < times.steps; index++) {
      if (!present[index]) continue;
      const histogram = histograms?.[index];
      const text = histogram ? printHistogram(histogram) : printFloat(values[index] ?? 0);
      const series = byValue.get(text) ?? counted(labelsOf(withLabel(labels, label, text)), text, byValue);
      series.values[index] = (series.values[index] ?? 0) + 1;
      series.present[index] = 1;
    }
  }
  return [...counts.values()];

  function counted(labels: Labels, text: string, byValue: Map<string, StepSeries>): StepSeries {
    const key = labelsKey(labels);
    let series = counts.get(key);
    if (series === undefined) {
      budget.charge(times.steps);
      series = newSeries(labels, false, times.steps);
      counts.set(key, series);
    }
    byValue.set(text, series);
    return series;
  }
}
