import type { Budget } from './budget.ts';
import { bordersOfEach, columnFunctions } from './column-windows.ts';
import { executionError } from './errors.ts';
import { type Evaluation, evaluateMatrix, evaluateScalar, type Matrix } from './evaluation.ts';
import { applyMixed, moveTo } from './functions/mixed.ts';
import { windowFunctions } from './functions/over-time.ts';
import { extended } from './functions/rate.ts';
import { firstAfter, type Window, type WindowFunction } from './functions/window.ts';
import { printGeneral, printString } from './literals.ts';
import type { Notes } from './notes.ts';
import type { CallNode, Times, WindowNode } from './plan.ts';
import { type BucketSeries, bucketsOverTime } from './rollups/evaluate.ts';
import { keepSamples, type SeriesData } from './source.ts';
import {
  isEmpty,
  type MatrixSeries,
  metricName,
  putHistogram,
  type StepSeries,
  seriesMaker,
} from './value.ts';

// Range functions: a window moves over each series, step by step.

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

export async function overWindows(
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
): Promise<readonly StepSeries[]> {
  const { name, args } = node;
  const matrixIndex = args.findIndex(({ kind }) => kind === 'window' || kind === 'subquery');
  const matrixNode = args[matrixIndex];
  if (matrixNode?.kind !== 'window' && matrixNode?.kind !== 'subquery')
    throw new Error(`${name} without a range vector has passed the checks`);
  const buckets = matrixNode.kind === 'window' ? evaluation.buckets[matrixNode.scan] : undefined;
  if (buckets && matrixNode.kind === 'window')
    return finished(
      evaluation,
      node,
      times,
      await overBuckets(evaluation, node, matrixNode, buckets, times),
      [],
    );
  const matrix = await evaluateMatrix(evaluation, matrixNode);
  const scalars: Float64Array[] = [];
  for (const [index, arg] of args.entries())
    if (index !== matrixIndex) scalars.push(await evaluateScalar(evaluation, arg, times));
  const { budget } = evaluation;
  const apply = windowFunction(node, matrix);
  const dropName = dropsName(name);
  const found: StepSeries[] = [];
  const span = args[0]?.span ?? node.span;
  const column = matrix.extension === undefined ? columnFunctions[name] : undefined;
  const newSeries = seriesMaker(times.steps);
  const borders = bordersOfEach(matrix, matrix.rangeMs, times);
  for (const series of matrix.series) {
    if (budget.due()) await budget.pause();
    const result = newSeries(series.labels, dropName || series.dropName);
    const moved = {
      series,
      result,
      matrix,
      scalars,
      lookbackMs: evaluation.lookbackMs,
      times,
      apply,
      budget,
      notes: { annotations: evaluation.annotations, metric: metricName(series.labels), span },
      name,
    };
    evaluation.counts?.addWindows(series, matrix, matrix.rangeMs, times);
    const move = series.histograms ? slideMixed : slide;
    if (column && !series.histograms && !series.startsMs)
      column(series, borders(series.timestampsMs), result);
    else for (let step = move(moved, 0); step < times.steps; step = move(moved, step)) await budget.pause();
    if (isEmpty(result)) continue;
    budget.charge(times.steps);
    found.push(result);
  }
  return finished(evaluation, node, times, found, scalars);
}

/** The name stays where the value is one of the metric's own samples. */
const dropsName = (name: string): boolean => name !== 'last_over_time' && name !== 'first_over_time';

function finished(
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
  found: readonly StepSeries[],
  scalars: readonly Float64Array[],
): readonly StepSeries[] {
  annotate(evaluation, node, found, scalars);
  if (node.name !== 'absent_over_time') return found;
  return absentSeries(node, found, times).map((one) => ({ ...one, dropName: true }));
}

async function overBuckets(
  { budget }: Evaluation,
  { name }: CallNode,
  window: WindowNode,
  buckets: readonly BucketSeries[],
  times: Times,
): Promise<readonly StepSeries[]> {
  const found: StepSeries[] = [];
  for (const series of buckets) {
    if (budget.due()) await budget.pause();
    const result = await bucketsOverTime(name, dropsName(name), series, window, times, budget);
    if (isEmpty(result)) continue;
    budget.charge(times.steps);
    found.push(result);
  }
  return found;
}

/** One series that has a 1 where none of \`series\` has a sample; none when there is no such step. */
export function absentSeries(
  { pinned }: CallNode,
  series: readonly StepSeries[],
  { steps }: Times,
): readonly StepSeries[] {
  const present = new Uint8Array(steps).fill(1);
  for (const one of series) for (let step = 0; step < steps; step++) if (one.present[step]) present[step] = 0;
  const found = { labels: pinned, dropName: false, values: new Float64Array(steps).fill(1), present };
  return isEmpty(found) ? [] : [found];
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
  readonly notes: Notes;
  readonly name: string;
}

/** Samples that a window function looks at before the event loop is asked about. */
const samplesPerTurn = 10_000;

/** Moves the window over one series from `fromStep` on; returns the step before which it stopped to let others run. */
function slide(
  { series, result, matrix, scalars, lookbackMs, times, apply, budget, notes }: Slide,
  fromStep: number,
): number {
  const { timestampsMs } = series;
  const { rangeMs, offsetMs, atMs, extension } = matrix;
  const beforeMs = extension ? lookbackMs : 0;
  const afterMs = extension === 'smoothed' ? lookbackMs : 0;
  const window = newWindow(series);
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
    if (window.overlap) noteOverlap(window, notes);
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

const newWindow = ({ timestampsMs, values, startsMs }: Omit<SeriesData, 'labels'>): Window => ({
  ...{ timestampsMs, values, startsMs, from: 0, to: 0, startMs: 0, endMs: 0, evalMs: 0 },
  overlap: false,
});

function noteOverlap(window: Pick<Window, 'overlap'>, { annotations, metric, span }: Notes): void {
  window.overlap = false;
  annotations.startOverlap(metric, span);
}

/** The same over a series that has native histograms, and maybe floats: each kind has a window of its own. */
function slideMixed(
  { series, result, matrix, scalars, lookbackMs, times, apply, budget, notes, name }: Slide,
  fromStep: number,
): number {
  const { rangeMs, offsetMs, atMs, extension } = matrix;
  const beforeMs = extension ? lookbackMs : 0;
  const afterMs = extension === 'smoothed' ? lookbackMs : 0;
  const { floats: floatSamples, histograms: histogramSamples } = byKind(series);
  const floats = newWindow(floatSamples);
  const { values: _, ...plain } = newWindow(histogramSamples);
  const histograms = { ...plain, histograms: histogramSamples.histograms };
  for (let step = fromStep; step < times.steps; step++) {
    for (const window of [floats, histograms]) {
      window.evalMs = times.startMs + step * times.stepMs;
      window.endMs = (atMs ?? window.evalMs) - offsetMs;
      window.startMs = window.endMs - rangeMs;
      moveTo(window, window.startMs - beforeMs, window.endMs + afterMs);
    }
    if (floats.from === floats.to && histograms.from === histograms.to) continue;
    const args = scalars.map((values) => values[step] ?? Number.NaN);
    const value = applyMixed(name, apply, { floats, histograms, notes, extension }, args);
    for (const window of [floats, histograms]) if (window.overlap) noteOverlap(window, notes);
    if (typeof value === 'number') {
      result.values[step] = value;
      result.present[step] = 1;
    } else if (value) putHistogram(result, step, value);
    if (budget.due()) return step + 1;
  }
  return times.steps;
}

function byKind(series: SeriesData) {
  const { histograms: all = [] } = series;
  const isFloat = Array.from(series.values, (_, index) => all[index] === undefined);
  const floats = keepSamples(series, (index) => isFloat[index] === true);
  const rest = keepSamples(series, (index) => isFloat[index] === false);
  const histograms = (rest.histograms ?? []).filter((one) => one !== undefined);
  return { floats, histograms: { ...rest, histograms } };
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
    for (const { labels, present, histograms } of found) {
      const name = metricName(labels);
      if (histograms && !present.some((flag, step) => flag === 1 && histograms[step] === undefined)) continue;
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
