import type { Clock } from '../base/clock.ts';
import { hasCode } from '../base/errors.ts';
import type { Labels } from '../model/labels.ts';
import { createAnnotations } from './annotations.ts';
import type { Expr } from './ast.ts';
import { createBudget, throwIfStopped, timeoutReason, tooManySamples } from './budget.ts';
import { checkExpr } from './check.ts';
import { executionError, PromqlError } from './errors.ts';
import { createEvaluation } from './evaluate.ts';
import { type Histogram, weightOf } from './histograms/histogram.ts';
import type { QueryLimits } from './limits.ts';
import { parseExpr } from './parse.ts';
import { type Plan, planQuery, type QueryTimes } from './plan.ts';
import { type ReadRange, readRangeOf } from './read-range.ts';
import { typeName, typeOf } from './signatures.ts';
import type { SeriesData, SeriesSource } from './source.ts';
import {
  compareLabels,
  isEmpty,
  mergeSameLabels,
  type StepSeries,
  toMatrix,
  type Value,
  withoutName,
} from './value.ts';

/** A query text that is well-formed and well-typed. */
export interface Query {
  readonly text: string;
  readonly expr: Expr;
}

/** Parses and checks; throws PromqlError `bad_data` with the position. */
export function parseQuery(text: string): Query {
  const expr = parseExpr(text);
  checkExpr(text, expr);
  return { text, expr };
}

export interface QueryOptions {
  readonly source: SeriesSource;
  readonly clock: Clock;
  readonly limits: QueryLimits;
  readonly lookbackMs: number;
  /** Ends the query when its client is gone. */
  readonly signal: AbortSignal;
}

export interface QueryResult {
  readonly data: ResultData;
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  /** Samples that were read for it. */
  readonly samplesRead: number;
  /** The time that was read for it, offsets, ranges and lookback included; undefined when nothing was. */
  readonly read: ReadRange | undefined;
}

export type ResultData =
  | { readonly type: 'scalar'; readonly timestampMs: number; readonly value: number }
  | { readonly type: 'string'; readonly timestampMs: number; readonly value: string }
  | { readonly type: 'vector'; readonly timestampMs: number; readonly samples: readonly VectorSample[] }
  | { readonly type: 'matrix'; readonly series: readonly SeriesData[] };

interface VectorSample {
  readonly labels: Labels;
  readonly value: number;
  /** The sample, when it is a native histogram; `value` means nothing then. */
  readonly histogram?: Histogram | undefined;
}

/** Answers a query at one point of time. */
export async function instantQuery(
  query: Query,
  timestampMs: number,
  options: QueryOptions,
): Promise<QueryResult> {
  return run(query, { startMs: timestampMs, endMs: timestampMs, stepMs: 0 }, options);
}

/** Answers a query at every step of a range; `stepMs` is positive. */
export async function rangeQuery(
  query: Query,
  times: QueryTimes,
  options: QueryOptions,
): Promise<QueryResult> {
  const type = typeOf(query.expr);
  if (type !== 'scalar' && type !== 'vector') {
    const name = JSON.stringify(typeName(type));
    throw new PromqlError(
      'bad_data',
      `invalid expression type ${name} for range query, must be Scalar or instant Vector`,
    );
  }
  return run(query, times, options);
}

async function run(query: Query, times: QueryTimes, options: QueryOptions): Promise<QueryResult> {
  const { clock, limits } = options;
  const timeout = new AbortController();
  const done = new AbortController();
  const signal = AbortSignal.any([options.signal, timeout.signal]);
  if (limits.timeoutMs <= 0) timeout.abort(timeoutReason);
  const timer = clock.sleep(limits.timeoutMs, done.signal).then(
    () => timeout.abort(timeoutReason),
    // The query was done before its time was up.
    () => undefined,
  );
  try {
    throwIfStopped(signal);
    const plan = planQuery(query.expr, times, options.lookbackMs);
    checkSteps(plan, limits);
    const budget = createBudget(limits.samplesMax, clock, signal);
    const data = await readScans(plan, options, signal);
    const samplesRead = data.flat().reduce((sum, series) => sum + weightOfSeries(series), 0);
    budget.charge(samplesRead);
    const annotations = createAnnotations();
    const evaluation = createEvaluation({ data, lookbackMs: options.lookbackMs, annotations, budget });
    const value = await evaluation.evaluate(plan.root, plan.times);
    const read = readRangeOf(plan);
    return { data: finish(plan, times, value), ...annotations.texts(query.text), samplesRead, read };
  } finally {
    done.abort();
    await timer;
  }
}

/** Samples, of which a native histogram is as many as it takes the room of. */
function weightOfSeries({ values, histograms = [] }: SeriesData): number {
  return histograms.reduce((sum, one) => sum + (one ? weightOf(one) - 1 : 0), values.length);
}

/** Subqueries have steps of their own, which no parameter of the query shows. */
function checkSteps(plan: Plan, { stepsMax, samplesMax }: QueryLimits): void {
  if (plan.times.steps > stepsMax) {
    throw new PromqlError(
      'bad_data',
      `exceeded maximum resolution of ${stepsMax.toLocaleString('en')} points per timeseries. Try decreasing the query resolution (?step=XX)`,
    );
  }
  if (plan.grids.some(({ steps }) => steps > samplesMax)) throw tooManySamples();
}

async function readScans(
  plan: Plan,
  { source, limits }: QueryOptions,
  signal: AbortSignal,
): Promise<readonly (readonly SeriesData[])[]> {
  let samplesLeft = limits.samplesMax;
  const data: (readonly SeriesData[])[] = [];
  for (const scan of plan.scans) {
    try {
      const selection = { ...scan, samplesMax: samplesLeft, seriesMax: limits.seriesMax };
      const series = scan.toMs < scan.fromMs ? [] : await source.select(selection, signal);
      for (const { values } of series) samplesLeft -= values.length;
      data.push(series);
    } catch (error) {
      throwIfStopped(signal);
      if (hasCode(error, 'limit') && error.subject === 'samplesMax') throw tooManySamples();
      if (hasCode(error, 'limit')) throw executionError(error.message);
      throw error;
    }
    throwIfStopped(signal);
  }
  return data;
}

/** Drops the names that no longer hold, and brings the value into the form and order of an answer. */
function finish(plan: Plan, { startMs, stepMs }: QueryTimes, value: Value): ResultData {
  const instant = stepMs <= 0;
  switch (value.kind) {
    case 'string':
      return { type: 'string', timestampMs: startMs, value: value.value };
    case 'scalar': {
      if (instant) return { type: 'scalar', timestampMs: startMs, value: value.values[0] ?? Number.NaN };
      const present = new Uint8Array(plan.times.steps).fill(1);
      const series = { labels: [], dropName: false, values: value.values, present };
      return { type: 'matrix', series: [toMatrix(series, plan.times)] };
    }
    case 'matrix':
      return { type: 'matrix', series: sorted(value.series.map(named)) };
    case 'vector': {
      const series = mergeSameLabels(value.series.map(named)).filter((one) => !isEmpty(one));
      if (!instant) return { type: 'matrix', series: sorted(series.map((one) => toMatrix(one, plan.times))) };
      const samples = series.map(({ labels, values, histograms }) => ({
        labels,
        value: values[0] ?? Number.NaN,
        histogram: histograms?.[0],
      }));
      return { type: 'vector', timestampMs: startMs, samples };
    }
  }
}

function named<T extends Pick<StepSeries, 'labels' | 'dropName'>>(series: T): T {
  return series.dropName ? { ...series, labels: withoutName(series.labels), dropName: false } : series;
}

const sorted = (series: readonly SeriesData[]): readonly SeriesData[] =>
  series.toSorted((one, other) => compareLabels(one.labels, other.labels));
