import { aggregate } from './aggregate.ts';
import { evaluateBinary } from './binary.ts';
import { evaluateCall } from './call.ts';
import { executionError } from './errors.ts';
import {
  type Evaluation,
  evaluateApart,
  evaluateInstant,
  evaluateMatrix,
  type Matrix,
} from './evaluation.ts';
import { extendedSamples } from './functions/rate.ts';
import { firstAfter } from './functions/window.ts';
import { type Histogram, multiply } from './histograms/histogram.ts';
import type { PlanNode, Times } from './plan.ts';
import { sliceSamples } from './source.ts';
import type { MatrixSeries, Value } from './value.ts';

/**
 * An evaluation over samples that have been read. Nodes work series by series on typed arrays with one entry a step; no
 * object is made per sample. `evaluate` throws PromqlError `execution`, `timeout` or `canceled`.
 */
export function createEvaluation(parts: Omit<Evaluation, 'evaluate'>): Evaluation {
  const evaluation: Evaluation = {
    ...parts,
    evaluate: (node, times) => evaluateCharged(evaluation, node, times),
  };
  return evaluation;
}

async function evaluateCharged(evaluation: Evaluation, node: PlanNode, times: Times): Promise<Value> {
  const { budget } = evaluation;
  const usedBefore = budget.used;
  const value = await evaluateNode(evaluation, node, times);
  // What the inputs held is free again; the result is held.
  budget.used = usedBefore;
  budget.charge(sizeOf(value));
  if (budget.due()) await budget.pause();
  return value;
}

function sizeOf(value: Value): number {
  if (value.kind === 'scalar') return value.values.length;
  if (value.kind === 'string') return 0;
  let size = 0;
  for (const { values } of value.series) size += values.length;
  return size;
}

async function evaluateNode(evaluation: Evaluation, node: PlanNode, times: Times): Promise<Value> {
  switch (node.kind) {
    case 'number':
      return { kind: 'scalar', values: new Float64Array(times.steps).fill(node.value) };
    case 'string':
      return { kind: 'string', value: node.value };
    case 'instant':
      return { kind: 'vector', series: await evaluateInstant(evaluation, node, times) };
    case 'window':
    case 'subquery': {
      const matrix = await evaluateMatrix(evaluation, node);
      const series = windowsAt(matrix, times.startMs, evaluation.lookbackMs);
      for (const one of series) evaluation.counts?.addWindows(one, matrix, Number.POSITIVE_INFINITY, times);
      return { kind: 'matrix', series };
    }
    case 'negate':
      return negate(await evaluation.evaluate(node.input, times));
    case 'once': {
      const { value, samples } = await evaluateApart(evaluation, node.input, { ...times, steps: 1 });
      evaluation.counts?.addToAll(samples);
      return repeat(value, times.steps);
    }
    case 'call':
      return evaluateCall(evaluation, node, times);
    case 'aggregation':
      return aggregate(evaluation, node, times);
    case 'binary':
      return evaluateBinary(evaluation, node, times);
  }
}

/** The samples of a range vector's windows at one time. */
function windowsAt(
  { series, rangeMs, offsetMs, atMs, extension }: Matrix,
  timeMs: number,
  lookbackMs: number,
) {
  const endMs = (atMs ?? timeMs) - offsetMs;
  const startMs = endMs - rangeMs;
  if (extension === undefined) return Array.from(series, (one) => cut(one, startMs, endMs)).flat();
  const afterMs = extension === 'smoothed' ? lookbackMs : 0;
  return Array.from(series, (one) => {
    const [found] = cut(one, startMs - lookbackMs, endMs + afterMs);
    if (found === undefined) return [];
    if (found.histograms?.some((histogram) => histogram !== undefined))
      throw executionError(`${extension} modifier is not supported with histograms`);
    const samples = extendedSamples(found, startMs, endMs, extension === 'smoothed');
    return samples ? [{ ...found, ...samples }] : [];
  }).flat();
}

/** The part of a series in (afterMs, toMs], if there is any. */
function cut(series: MatrixSeries, afterMs: number, toMs: number): MatrixSeries[] {
  const { timestampsMs } = series;
  const from = firstAfter(timestampsMs, afterMs, 0, timestampsMs.length);
  const to = firstAfter(timestampsMs, toMs, from, timestampsMs.length);
  return from === to ? [] : [{ ...series, ...sliceSamples(series, from, to) }];
}

function negate(value: Value): Value {
  if (value.kind === 'scalar') return { kind: 'scalar', values: value.values.map((one) => -one) };
  if (value.kind !== 'vector') throw new Error(`negation of ${value.kind} has passed the checks`);
  const series = value.series.map((one) => ({
    ...one,
    dropName: true,
    values: one.values.map((number) => -number),
    histograms: one.histograms?.map((histogram) => histogram && multiply(histogram, -1)),
  }));
  return { kind: 'vector', series };
}

function repeat(value: Value, steps: number): Value {
  if (value.kind === 'scalar')
    return { kind: 'scalar', values: new Float64Array(steps).fill(value.values[0] ?? Number.NaN) };
  if (value.kind !== 'vector') return value;
  const series = value.series.map((one) => ({
    ...one,
    values: new Float64Array(steps).fill(one.values[0] ?? Number.NaN),
    present: new Uint8Array(steps).fill(one.present[0] ?? 0),
    histograms: one.histograms && new Array<Histogram | undefined>(steps).fill(one.histograms[0]),
  }));
  return { kind: 'vector', series };
}
