import { executionError } from './errors.ts';
import { type Evaluation, evaluateInstant, evaluateScalar, evaluateVector } from './evaluation.ts';
import { histogramFraction, histogramQuantile, histogramQuantiles } from './functions/histogram.ts';
import { histogramStatistic, isStatistic } from './functions/histogram-statistics.ts';
import { enrichWithInfo } from './functions/info.ts';
import { labelJoin, labelReplace, sortByLabel, sortByValue } from './functions/labels.ts';
import { dateFunctions, dateOf, mathFunctions, roundTo } from './functions/math.ts';
import { windowFunctions } from './functions/over-time.ts';
import { printString } from './literals.ts';
import { largerOf, smallerOf } from './numbers.ts';
import { absentSeries, overWindows } from './over-windows.ts';
import type { CallNode, PlanNode, Times } from './plan.ts';
import { isEmpty, mergeSameLabels, newSeries, type StepSeries, type Value } from './value.ts';

/** Function calls. Range functions see windows of one series; the others whole series, step by step. */
export async function evaluateCall(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  const { name } = node;
  if (Object.hasOwn(windowFunctions, name))
    return { kind: 'vector', series: await overWindows(evaluation, node, times) };
  if (Object.hasOwn(mathFunctions, name)) {
    const apply = mathFunctions[name];
    if (apply) return mapped(evaluation, await vectorArg(evaluation, node, times), apply);
  }
  if (Object.hasOwn(dateFunctions, name)) return dates(evaluation, node, times);
  if (isStatistic(name))
    return histogramStatistic(evaluation, name, await vectorArg(evaluation, node, times), times);
  switch (name) {
    case 'time':
      return { kind: 'scalar', values: stepSeconds(times) };
    case 'pi':
      return { kind: 'scalar', values: new Float64Array(times.steps).fill(Math.PI) };
    case 'min_of':
    case 'max_of':
      return extremeOf(evaluation, node, times);
    case 'scalar':
      return scalarOf(await vectorArg(evaluation, node, times), times);
    case 'vector': {
      const values = await scalarArg(evaluation, node, times, 0);
      const present = new Uint8Array(times.steps).fill(1);
      return { kind: 'vector', series: [{ labels: [], dropName: false, values, present }] };
    }
    case 'timestamp':
    case 'start_timestamp':
      return timestamps(evaluation, node, times);
    case 'absent':
      return { kind: 'vector', series: absentSeries(node, await vectorArg(evaluation, node, times), times) };
    default:
      return evaluateOther(evaluation, node, times);
  }
}

async function evaluateOther(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  const { name } = node;
  switch (name) {
    case 'round':
    case 'clamp':
    case 'clamp_min':
    case 'clamp_max':
      return clamped(evaluation, node, times);
    case 'label_replace':
    case 'label_join': {
      const change = name === 'label_replace' ? labelReplace : labelJoin;
      const rewrite = change(texts(node));
      const series = rewrite(await vectorArg(evaluation, node, times));
      return { kind: 'vector', series: mergeSameLabels(series) };
    }
    case 'sort':
    case 'sort_desc':
    case 'sort_by_label':
    case 'sort_by_label_desc':
      return sorted(evaluation, node, times);
    case 'histogram_quantile':
      return histogramQuantile(evaluation, node, times);
    case 'histogram_quantiles':
      return histogramQuantiles(evaluation, node, times);
    case 'histogram_fraction':
      return histogramFraction(evaluation, node, times);
    case 'info': {
      const series = await enrichWithInfo(evaluation, node, await vectorArg(evaluation, node, times), times);
      return { kind: 'vector', series: mergeSameLabels(series) };
    }
    default:
      throw executionError(`function ${printString(name)} is not implemented`);
  }
}

function argOf(node: CallNode, index: number): PlanNode {
  const arg = node.args[index];
  if (arg === undefined) throw new Error(`${node.name} without argument ${index} has passed the checks`);
  return arg;
}

const vectorArg = (
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
  index = 0,
): Promise<readonly StepSeries[]> => evaluateVector(evaluation, argOf(node, index), times);

const scalarArg = (
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
  index: number,
): Promise<Float64Array> => evaluateScalar(evaluation, argOf(node, index), times);

/** The string arguments of a call. */
const texts = (node: CallNode): readonly string[] =>
  node.args.flatMap((arg) => (arg.kind === 'string' ? [arg.value] : []));

const stepSeconds = ({ startMs, stepMs, steps }: Times): Float64Array =>
  Float64Array.from({ length: steps }, (_, step) => (startMs + step * stepMs) / 1000);

/** Applies a function to every float (histograms have no result); `step` lets it look at scalar arguments. */
async function mapped(
  { budget }: Evaluation,
  input: readonly StepSeries[],
  apply: (value: number, step: number) => number | undefined,
): Promise<Value> {
  const series: StepSeries[] = [];
  for (const one of input) {
    if (budget.due()) await budget.pause();
    budget.charge(one.values.length);
    const result = newSeries(one.labels, true, one.values.length);
    for (let step = 0; step < one.values.length; step++) {
      if (!one.present[step] || one.histograms?.[step]) continue;
      const value = apply(one.values[step] ?? 0, step);
      if (value === undefined) continue;
      result.values[step] = value;
      result.present[step] = 1;
    }
    if (!isEmpty(result)) series.push(result);
  }
  return { kind: 'vector', series };
}

async function dates(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  const part = dateFunctions[node.name];
  if (part === undefined) throw new Error(`${node.name} is no date function`);
  if (node.args.length > 0)
    return mapped(evaluation, await vectorArg(evaluation, node, times), (value) => part(dateOf(value)));
  const values = stepSeconds(times).map((seconds) => part(dateOf(Math.floor(seconds))));
  const present = new Uint8Array(times.steps).fill(1);
  return { kind: 'vector', series: [{ labels: [], dropName: false, values, present }] };
}

async function extremeOf(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  const left = await scalarArg(evaluation, node, times, 0);
  const right = await scalarArg(evaluation, node, times, 1);
  const pick = node.name === 'min_of' ? smallerOf : largerOf;
  return { kind: 'scalar', values: left.map((value, step) => pick(value, right[step] ?? Number.NaN)) };
}

/** The value where exactly one series has a float, else NaN. */
function scalarOf(series: readonly StepSeries[], { steps }: Times): Value {
  const values = new Float64Array(steps).fill(Number.NaN);
  const seen = new Uint8Array(steps);
  for (const one of series) {
    for (let step = 0; step < steps; step++) {
      if (!one.present[step] || one.histograms?.[step]) continue;
      values[step] = seen[step] ? Number.NaN : (one.values[step] ?? 0);
      seen[step] = 1;
    }
  }
  return { kind: 'scalar', values };
}

async function timestamps(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  const arg = argOf(node, 0);
  const start = node.name === 'start_timestamp';
  if (arg.kind === 'instant' && !arg.smoothed) {
    const series = await evaluateInstant(evaluation, arg, times, start ? 'start' : 'time');
    return { kind: 'vector', series: series.map((one) => ({ ...one, dropName: true })) };
  }
  const vector = await evaluateVector(evaluation, arg, times);
  // What is computed has not counted since anything.
  if (start) return { kind: 'vector', series: [] };
  const seconds = stepSeconds(times);
  const plain = vector.map(({ histograms: _, ...series }) => series);
  return mapped(evaluation, plain, (_, step) => seconds[step]);
}

async function clamped(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  const input = await vectorArg(evaluation, node, times);
  const scalars: Float64Array[] = [];
  for (let index = 1; index < node.args.length; index++)
    scalars.push(await scalarArg(evaluation, node, times, index));
  const [first, second] = scalars;
  const at = (values: Float64Array | undefined, step: number, otherwise: number): number =>
    values?.[step] ?? otherwise;
  switch (node.name) {
    case 'round':
      return mapped(evaluation, input, (value, step) => roundTo(value, at(first, step, 1)));
    case 'clamp_min':
      return mapped(evaluation, input, (value, step) => largerOf(at(first, step, -Infinity), value));
    case 'clamp_max':
      return mapped(evaluation, input, (value, step) => smallerOf(at(first, step, Infinity), value));
    default:
      return mapped(evaluation, input, (value, step) => {
        const [least, most] = [at(first, step, -Infinity), at(second, step, Infinity)];
        return most < least ? undefined : largerOf(least, smallerOf(most, value));
      });
  }
}

async function sorted(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  if (times.steps > 1) {
    const text = 'sort is ineffective for range queries since results are always ordered by labels';
    evaluation.annotations.warn(text, node.span);
  }
  const series = await vectorArg(evaluation, node, times);
  const descending = node.name.endsWith('_desc');
  const byLabel = node.name.startsWith('sort_by_label');
  const ordered = byLabel ? sortByLabel(series, texts(node), descending) : sortByValue(series, descending);
  return { kind: 'vector', series: ordered };
}
