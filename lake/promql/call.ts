import type { Budget } from './budget.ts';
import { executionError } from './errors.ts';
import {
  type Evaluation,
  evaluateInstant,
  evaluateMatrix,
  evaluateScalar,
  evaluateVector,
  type Matrix,
} from './evaluation.ts';
import { histogramFraction, histogramQuantile, histogramQuantiles } from './functions/histogram.ts';
import { enrichWithInfo } from './functions/info.ts';
import { labelJoin, labelReplace, sortByLabel, sortByValue } from './functions/labels.ts';
import { dateFunctions, dateOf, mathFunctions, roundTo } from './functions/math.ts';
import { windowFunctions } from './functions/over-time.ts';
import { extended } from './functions/rate.ts';
import { firstAfter, type Window, type WindowFunction } from './functions/window.ts';
import { printGeneral, printString } from './literals.ts';
import type { CallNode, PlanNode, Times } from './plan.ts';
import {
  isEmpty,
  type MatrixSeries,
  mergeSameLabels,
  metricName,
  newSeries,
  type StepSeries,
  type Value,
} from './value.ts';

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
      return absent(node, await vectorArg(evaluation, node, times), times);
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
    case 'histogram_avg':
    case 'histogram_count':
    case 'histogram_sum':
    case 'histogram_stddev':
    case 'histogram_stdvar':
      // These look at native histograms only; samples that are floats have none.
      await vectorArg(evaluation, node, times);
      return { kind: 'vector', series: [] };
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

/** Applies a function to every value; `step` lets it look at scalar arguments. */
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
      if (!one.present[step]) continue;
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
  const pick = node.name === 'min_of' ? Math.min : Math.max;
  return { kind: 'scalar', values: left.map((value, step) => pick(value, right[step] ?? Number.NaN)) };
}

/** The value where exactly one series has one, else NaN. */
function scalarOf(series: readonly StepSeries[], { steps }: Times): Value {
  const values = new Float64Array(steps).fill(Number.NaN);
  const seen = new Uint8Array(steps);
  for (const one of series) {
    for (let step = 0; step < steps; step++) {
      if (!one.present[step]) continue;
      values[step] = seen[step] ? Number.NaN : (one.values[step] ?? 0);
      seen[step] = 1;
    }
  }
  return { kind: 'scalar', values };
}

async function timestamps(evaluation: Evaluation, node: CallNode, times: Times): Promise<Value> {
  const arg = argOf(node, 0);
  // Start timestamps are not stored, so there are none to report.
  if (node.name === 'start_timestamp') return { kind: 'vector', series: [] };
  if (arg.kind === 'instant' && !arg.smoothed) {
    const series = await evaluateInstant(evaluation, arg, times, true);
    return { kind: 'vector', series: series.map((one) => ({ ...one, dropName: true })) };
  }
  const seconds = stepSeconds(times);
  return mapped(evaluation, await evaluateVector(evaluation, arg, times), (_, step) => seconds[step]);
}

function absent(node: CallNode, series: readonly StepSeries[], { steps }: Times): Value {
  const present = new Uint8Array(steps).fill(1);
  for (const one of series) for (let step = 0; step < steps; step++) if (one.present[step]) present[step] = 0;
  const values = new Float64Array(steps).fill(1);
  const found: StepSeries = { labels: node.pinned, dropName: false, values, present };
  return { kind: 'vector', series: isEmpty(found) ? [] : [found] };
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
      return mapped(evaluation, input, (value, step) => Math.max(at(first, step, -Infinity), value));
    case 'clamp_max':
      return mapped(evaluation, input, (value, step) => Math.min(at(first, step, Infinity), value));
    default:
      return mapped(evaluation, input, (value, step) => {
        const [least, most] = [at(first, step, -Infinity), at(second, step, Infinity)];
        return most < least ? undefined : Math.max(least, Math.min(most, value));
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

const anchoredFunctions: ReadonlySet<string> = new Set(['changes', 'delta', 'increase', 'rate', 'resets']);
const smoothedFunctions: ReadonlySet<string> = new Set(['delta', 'increase', 'rate']);

function windowFunction(node: CallNode, matrix: Matrix): WindowFunction {
  const { name } = node;
  const { extension } = matrix;
  const plain = windowFunctions[name];
  if (plain === undefined) throw new Error(`${name} is no range function`);
  if (extension === undefined) return plain;
  const usable = extension === 'anchored' ? anchoredFunctions : smoothedFunctions;
  if (!usable.has(name)) {
    const list = [...usable].join(', ');
    throw executionError(`${extension} modifier can only be used with: ${list} - not with ${name}`);
  }
  if (name === 'changes' || name === 'resets') return plain;
  return extended(extension === 'smoothed', name !== 'delta', name === 'rate');
}

async function overWindows(
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
): Promise<readonly StepSeries[]> {
  const { name, args } = node;
  const matrixIndex = args.findIndex(({ kind }) => kind === 'window' || kind === 'subquery');
  const matrixNode = args[matrixIndex];
  if (matrixNode?.kind !== 'window' && matrixNode?.kind !== 'subquery')
    throw new Error(`${name} without a range vector has passed the checks`);
  const matrix = await evaluateMatrix(evaluation, matrixNode);
  const scalars: Float64Array[] = [];
  for (const [index, arg] of args.entries())
    if (index !== matrixIndex) scalars.push(await evaluateScalar(evaluation, arg, times));
  const { budget } = evaluation;
  const apply = windowFunction(node, matrix);
  // The name stays where the value is one of the metric's own samples.
  const dropName = name !== 'last_over_time' && name !== 'first_over_time';
  const found: StepSeries[] = [];
  for (const series of matrix.series) {
    if (budget.due()) await budget.pause();
    const result = newSeries(series.labels, dropName || series.dropName, times.steps);
    const moved = {
      series,
      result,
      matrix,
      scalars,
      lookbackMs: evaluation.lookbackMs,
      times,
      apply,
      budget,
    };
    for (let step = slide(moved, 0); step < times.steps; step = slide(moved, step)) await budget.pause();
    if (isEmpty(result)) continue;
    budget.charge(times.steps);
    found.push(result);
  }
  annotate(evaluation, node, found, scalars);
  return name === 'absent_over_time' ? absentSeries(node, found, times) : found;
}

function absentSeries(node: CallNode, found: readonly StepSeries[], times: Times): readonly StepSeries[] {
  const value = absent(node, found, times);
  return value.kind === 'vector' ? value.series.map((one) => ({ ...one, dropName: true })) : [];
}

interface Slide {
  readonly series: MatrixSeries;
  readonly result: StepSeries;
  readonly matrix: Matrix;
  readonly scalars: readonly Float64Array[];
  readonly lookbackMs: number;
  readonly times: Times;
  readonly apply: WindowFunction;
  readonly budget: Budget;
}

/** Samples that a window function looks at before the event loop is asked about. */
const samplesPerTurn = 10_000;

/** Moves the window over one series from `fromStep` on; returns the step before which it stopped to let others run. */
function slide(
  { series, result, matrix, scalars, lookbackMs, times, apply, budget }: Slide,
  fromStep: number,
): number {
  const { timestampsMs, values } = series;
  const { rangeMs, offsetMs, atMs, extension } = matrix;
  const beforeMs = extension ? lookbackMs : 0;
  const afterMs = extension === 'smoothed' ? lookbackMs : 0;
  const window: Window = { timestampsMs, values, from: 0, to: 0, startMs: 0, endMs: 0, evalMs: 0 };
  const args = new Array<number>(scalars.length);
  const samples = timestampsMs.length;
  let seen = 0;
  for (let step = fromStep; step < times.steps; step++) {
    window.evalMs = times.startMs + step * times.stepMs;
    window.endMs = (atMs ?? window.evalMs) - offsetMs;
    window.startMs = window.endMs - rangeMs;
    const first = step === fromStep;
    // Windows only move forward, so their borders are searched from where they were.
    if (first) window.from = firstAfter(timestampsMs, window.startMs - beforeMs, 0, samples);
    while (window.from < samples && (timestampsMs[window.from] ?? 0) <= window.startMs - beforeMs)
      window.from++;
    if (first) window.to = firstAfter(timestampsMs, window.endMs + afterMs, window.from, samples);
    while (window.to < samples && (timestampsMs[window.to] ?? 0) <= window.endMs + afterMs) window.to++;
    if (window.from >= window.to) continue;
    for (let index = 0; index < scalars.length; index++) args[index] = scalars[index]?.[step] ?? Number.NaN;
    const value = apply(window, args);
    if (value !== undefined) {
      result.values[step] = value;
      result.present[step] = 1;
    }
    seen += window.to - window.from;
    if (seen < samplesPerTurn) continue;
    seen = 0;
    if (budget.due()) return step + 1;
  }
  return times.steps;
}

function annotate(
  { annotations }: Evaluation,
  node: CallNode,
  found: readonly StepSeries[],
  scalars: readonly Float64Array[],
): void {
  const span = node.args[0]?.span ?? node.span;
  if (node.name === 'rate' || node.name === 'increase') {
    const text = 'metric might not be a counter, name does not end in _total/_sum/_count/_bucket:';
    for (const { labels } of found) {
      const name = metricName(labels);
      if (name !== '' && !/_(total|sum|count|bucket)$/.test(name))
        annotations.inform(`${text} ${printString(name)}`, span);
    }
  }
  if (node.name === 'quantile_over_time' && found.length > 0) {
    for (const q of scalars[0] ?? [])
      if (!(q >= 0 && q <= 1))
        annotations.warn(`quantile value should be between 0 and 1, got ${printGeneral(q)}`, span);
  }
}
