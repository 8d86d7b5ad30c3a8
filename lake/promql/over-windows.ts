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
import type { CallNode, Times } from './plan.ts';
import { bucketsOverTime } from './rollups/evaluate.ts';
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
  const found: StepSeries[] = [];
  await eachOverWindows(evaluation, node, times, seriesMaker(times.steps), (series) => {
    evaluation.budget.charge(times.steps);
    found.push(series);
    return true;
  });
  if (node.name !== 'absent_over_time') return found;
  return absentSeries(node, found, times).map((one) => ({ ...one, dropName: true }));
}

/**
 * The same series, one after the other, in memory that `newSeries` gives: those of which no step is empty. Stops when
 * `take` says false.
 */
export async function eachOverWindows(
  evaluation: Evaluation,
  node: CallNode,
  times: Times,
  newSeries: ReturnType<typeof seriesMaker>,
  take: (series: StepSeries) => boolean,
): Promise<void> {
  const { name, args } = node;
  const matrixIndex = args.findIndex(({ kind }) => kind === 'window' || kind === 'subquery');
  const matrixNode = args[matrixIndex];
  if (matrixNode?.kind !== 'window' && matrixNode?.kind !== 'subquery')
    throw new Error(`${name} without a range vector has passed the checks`);
  const scalars: Float64Array[] = [];
  for (const [index, arg] of args.entries())
    if (index !== matrixIndex) scalars.push(await evaluateScalar(evaluation, arg, times));
  const note = annotator(evaluation, node, scalars);
  const found = (series: StepSeries): boolean => {
    note(series);
    return take(series);
  };
  const { budget } = evaluation;
  const buckets = matrixNode.kind === 'window' ? evaluation.buckets[matrixNode.scan] : undefined;
  if (buckets && matrixNode.kind === 'window') {
    for (const series of buckets) {
      if (budget.due()) await budget.pause();
      const result = await bucketsOverTime(name, dropsName(name), series, matrixNode, times, budget);
      if (!isEmpty(result) && !found(result)) return;
    }
    return;
  }
  const matrix = await evaluateMatrix(evaluation, matrixNode);
  const move = mover({ evaluation, node, times, scalars, matrix });
  for (const series of matrix.series) {
    if (budget.due()) await budget.pause();
    evaluation.counts?.addWindows(series, matrix, matrix.rangeMs, times);
    const result = newSeries(series.labels, dropsName(name) || series.dropName);
    await move(series, result);
    if (!isEmpty(result) && !found(result)) return;
  }
}

interface Moving {
  readonly evaluation: Evaluation;
  readonly node: CallNode;
  readonly times: Times;
  readonly scalars: readonly Float64Array[];
  readonly matrix: Matrix;
}

/** Moves the windows over a series, and fills what comes of it in. */
function mover({ evaluation, node, times, scalars, matrix }: Moving) {
  const { name } = node;
  const { budget, annotations, lookbackMs } = evaluation;
  const apply = windowFunction(node, matrix);
  const span = node.args[0]?.span ?? node.span;
  const column = matrix.extension === undefined ? columnFunctions[name] : undefined;
  const borders = bordersOfEach(matrix, matrix.rangeMs, times);
  return async (series: MatrixSeries, result: StepSeries): Promise<void> => {
    if (column && !series.histograms && !series.startsMs)
      return column(series, borders(series.timestampsMs), result);
    const notes = { annotations, metric: metricName(series.labels), span };
    const moved = { series, result, matrix, scalars, lookbackMs, times, apply, budget, notes, name };
    const move = series.histograms ? slideMixed : slide;
    for (let step = move(moved, 0); step < times.steps; step = move(moved, step)) await budget.pause();
  };
}

/** The name stays where the value is one of the metric's own samples. */
const dropsName = (name: string): boolean => name !== 'last_over_time' && name !== 'first_over_time';

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

/** Says of each series what there is to say of it. */
function annotator(
  { annotations }: Evaluation,
  { name, args, span: ofCall }: CallNode,
  scalars: readonly Float64Array[],
): (series: StepSeries) => void {
  const span = args[0]?.span ?? ofCall;
  if (name === 'rate' || name === 'increase') {
    const text = 'metric might not be a counter, name does not end in _total/_sum/_count/_bucket:';
    let before = '';
    return ({ labels, present, histograms }) => {
      const metric = metricName(labels);
      if (metric === before) return;
      if (histograms && !present.some((flag, step) => flag === 1 && histograms[step] === undefined)) return;
      before = metric;
      if (metric !== '' && !/_(total|sum|count|bucket)$/.test(metric))
        annotations.inform(`${text} ${printString(metric)}`, span);
    };
  }
  if (name !== 'quantile_over_time') return () => undefined;
  let first = true;
  return () => {
    for (const q of first ? (scalars[0] ?? []) : [])
      if (!(q >= 0 && q <= 1))
        annotations.warn(`quantile value should be between 0 and 1, got ${printGeneral(q)}`, span);
    first = false;
  };
}
