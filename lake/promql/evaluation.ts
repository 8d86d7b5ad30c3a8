import type { Annotations } from './annotations.ts';
import type { Budget } from './budget.ts';
import { type Histogram, withHint } from './histograms/histogram.ts';
import type { InstantNode, PlanNode, Reference, SubqueryNode, Times, WindowNode } from './plan.ts';
import { hinted } from './reset-hints.ts';
import { type BucketSeries, selectFromBuckets } from './rollups/evaluate.ts';
import { createSampleCounts, type SampleCounts, sumOf } from './sample-counts.ts';
import { type SamplePart, selectInstant, selectSmoothed } from './select.ts';
import { type SeriesData, type SeriesSet, withoutStale } from './source.ts';
import { isEmpty, type MatrixSeries, type StepSeries, toMatrix, type Value } from './value.ts';

/** What the parts of an evaluation have at hand; evaluate.ts makes it. */
export interface Evaluation {
  /** The samples of every scan of the plan. */
  readonly data: readonly SeriesSet[];
  /** Scans that were read in buckets instead, and have no samples. */
  readonly buckets: readonly (readonly BucketSeries[] | undefined)[];
  readonly lookbackMs: number;
  readonly annotations: Annotations;
  readonly budget: Budget;
  /** Of the node that is being evaluated; absent when nobody asks. */
  counts: SampleCounts | undefined;
  /** The value of a plan node at all steps of `times`. */
  evaluate(node: PlanNode, times: Times): Promise<Value>;
}

/** Evaluates a node that the checks have found to be an instant vector. */
export async function evaluateVector(
  evaluation: Evaluation,
  node: PlanNode,
  times: Times,
): Promise<readonly StepSeries[]> {
  const value = await evaluation.evaluate(node, times);
  if (value.kind !== 'vector') throw new Error(`${value.kind} where the checks promise a vector`);
  return value.series;
}

/** Evaluates a node that the checks have found to be a scalar: one value a step. */
export async function evaluateScalar(
  evaluation: Evaluation,
  node: PlanNode,
  times: Times,
): Promise<Float64Array> {
  const value = await evaluation.evaluate(node, times);
  if (value.kind !== 'scalar') throw new Error(`${value.kind} where the checks promise a scalar`);
  return value.values;
}

/** The instant vector of a selector. */
export async function evaluateInstant(
  evaluation: Evaluation,
  node: InstantNode,
  times: Times,
  part: SamplePart = 'value',
): Promise<StepSeries[]> {
  const { budget, lookbackMs, data } = evaluation;
  const found: StepSeries[] = [];
  for (const series of evaluation.buckets[node.scan] ?? []) {
    if (budget.due()) await budget.pause();
    const selected = selectFromBuckets(series, node, times, lookbackMs, part);
    if (isEmpty(selected)) continue;
    budget.charge(times.steps);
    found.push(selected);
  }
  for (const stored of seriesOf(data[node.scan])) {
    if (budget.due()) await budget.pause();
    const series = hinted(stored, node.statistics);
    const selected = node.smoothed
      ? selectSmoothed(series, node, times, lookbackMs, evaluation.annotations)
      : selectInstant(series, node, times, lookbackMs, part);
    if (isEmpty(selected)) continue;
    evaluation.counts?.addInstant(selected);
    budget.charge(times.steps);
    found.push(selected);
  }
  return found;
}

/** Evaluates an input that has steps of its own, and tells how many samples that took; they do not count by step. */
export async function evaluateApart(
  evaluation: Evaluation,
  node: PlanNode,
  times: Times,
): Promise<{ readonly value: Value; readonly samples: number }> {
  const { counts } = evaluation;
  if (counts === undefined) return { value: await evaluation.evaluate(node, times), samples: 0 };
  const own = createSampleCounts(times.steps);
  evaluation.counts = own;
  const value = await evaluation.evaluate(node, times);
  evaluation.counts = counts;
  return { value, samples: sumOf(own.perStep) };
}

/** Runs what may give up with undefined, and has then counted nothing. */
export async function attempt<T>(
  { counts }: Evaluation,
  work: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const before = counts?.perStep.slice();
  const found = await work();
  if (found === undefined && before) counts?.perStep.set(before);
  return found;
}

/** The series of a scan one after the other; each is valid until the next is asked for. */
export function* seriesOf(scan: SeriesSet | undefined): Generator<SeriesData, void, undefined> {
  for (let index = 0; index < (scan?.length ?? 0); index++) {
    const series = scan?.at(index);
    if (series) yield series;
  }
}

/** A range vector, with where its windows lie. */
export interface Matrix extends Reference {
  /** Each is valid until the next is asked for. */
  readonly series: Iterable<MatrixSeries>;
  readonly rangeMs: number;
  readonly extension: WindowNode['extension'];
}

function* matrixSeries(scan: SeriesSet | undefined, statistics: boolean): Generator<MatrixSeries> {
  for (const one of seriesOf(scan)) yield { ...withoutStale(hinted(one, statistics)), dropName: false };
}

export async function evaluateMatrix(
  evaluation: Evaluation,
  node: WindowNode | SubqueryNode,
): Promise<Matrix> {
  const { rangeMs, offsetMs, atMs } = node;
  if (node.kind === 'window') {
    const series = matrixSeries(evaluation.data[node.scan], node.statistics);
    return { series, rangeMs, offsetMs, atMs, extension: node.extension };
  }
  if (node.times.steps === 0) return { series: [], rangeMs, offsetMs, atMs, extension: undefined };
  // As in Prometheus, what counts are the values that the windows see.
  const { value } = await evaluateApart(evaluation, node.input, node.times);
  if (value.kind !== 'vector') throw new Error(`a subquery over ${value.kind} has passed the checks`);
  const series = value.series.map((one) => {
    const matrix = toMatrix(one, node.times);
    // Between two steps there may have been samples that nobody has seen.
    const forget = (histogram: Histogram | undefined): Histogram | undefined =>
      histogram && withHint(histogram, histogram.hint === 'gauge' ? 'gauge' : 'unknown');
    return matrix.histograms ? { ...matrix, histograms: matrix.histograms.map(forget) } : matrix;
  });
  return { series, rangeMs, offsetMs, atMs, extension: undefined };
}
