import type { Clock } from '../base/clock.ts';
import { explanationOf, hasCode } from '../base/errors.ts';
import type { RollupTable } from '../model/table-name.ts';
import type { Expr } from './ast.ts';
import { throwIfStopped, timeoutReason, tooManySamples, withLimit } from './budget.ts';
import { checkExpr } from './check.ts';
import { executionError, PromqlError } from './errors.ts';
import { type Evaluated, type Evaluator, inlineEvaluator } from './evaluator.ts';
import { weightOf } from './histograms/histogram.ts';
import type { QueryLimits } from './limits.ts';
import { parseExpr } from './parse.ts';
import { type Plan, planQuery, type QueryTimes } from './plan.ts';
import { type ReadRange, readRangeOf } from './read-range.ts';
import { planRollups } from './rollups/plan.ts';
import { typeName, typeOf } from './signatures.ts';
import type { SelectedBuckets, SeriesData, SeriesSource, StoredScan } from './source.ts';

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
  /** Where it is evaluated; absent: here. */
  readonly evaluator?: Evaluator | undefined;
  /** Samples are counted by step, and times taken. */
  readonly counted?: boolean | undefined;
  /** Since when its time counts, by the monotonic clock; absent: since it is asked. */
  readonly sinceMs?: number | undefined;
}

export interface QueryResult extends Evaluated {
  /** How long it took to have the samples at hand, and to evaluate; absent when nobody has asked for counts. */
  readonly timings?: { readonly preparedMs: number; readonly evaluatedMs: number } | undefined;
  /** Tables that were read in the place of samples, where that gives the same. */
  readonly rollups: readonly RollupTable[];
  /** The time that was read for it, offsets, ranges and lookback included; undefined when nothing was. */
  readonly read: ReadRange | undefined;
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
  const { sinceMs = clock.monotonicMs() } = options;
  const leftMs = Math.max(0, limits.timeoutMs - (clock.monotonicMs() - sinceMs));
  if (leftMs === 0) timeout.abort(timeoutReason);
  const timer = clock.sleep(leftMs, done.signal).then(
    () => timeout.abort(timeoutReason),
    // The query was done before its time was up.
    () => undefined,
  );
  try {
    throwIfStopped(signal);
    const startMs = clock.monotonicMs();
    const plan = planQuery(query.expr, times, options.lookbackMs);
    checkSteps(plan, limits);
    const { lookbackMs, evaluator = inlineEvaluator(clock) } = options;
    await using opened = new AsyncDisposableStack();
    const { data, buckets } = await readScans(
      plan,
      options,
      evaluator.readsFiles ? opened : undefined,
      signal,
    );
    const samplesRead =
      data.reduce((sum, one) => sum + ('files' in one ? 0 : weightOfAll(one)), 0) +
      buckets.reduce((sum, one) => sum + (one?.read ?? 0), 0);
    // Before the samples are handed over: whoever evaluates may take them away.
    const read = readRangeOf(plan);
    const task = {
      plan,
      times,
      data,
      buckets: buckets.map((one) => one?.series),
      lookbackMs,
      samplesRead,
      samplesMax: limits.samplesMax,
      counted: options.counted ?? false,
      text: query.text,
    };
    const preparedMs = clock.monotonicMs() - startMs;
    const evaluated = await evaluator.evaluate(task, signal).catch((error) => {
      throw readingFailed(error, signal);
    });
    const evaluatedMs = clock.monotonicMs() - startMs - preparedMs;
    const rollups = [...new Set(buckets.flatMap((one) => one?.table ?? []))];
    return { ...evaluated, rollups, read, ...(options.counted && { timings: { preparedMs, evaluatedMs } }) };
  } catch (error) {
    throw withLimit(error, limits);
  } finally {
    done.abort();
    await timer;
  }
}

const weightOfAll = (series: readonly SeriesData[]): number =>
  series.reduce((sum, one) => sum + weightOfSeries(one), 0);

/** Samples, of which a native histogram is as many as it takes the room of. */
function weightOfSeries({ values, histograms = [] }: SeriesData): number {
  return histograms.reduce((sum, one) => sum + (one ? weightOf(one) - 1 : 0), values.length);
}

/** Subqueries have steps of their own, which no parameter of the query shows. As in Prometheus, steps are from point to point. */
function checkSteps(plan: Plan, { stepsMax, samplesMax }: QueryLimits): void {
  if (plan.times.steps - 1 > stepsMax) {
    throw new PromqlError(
      'bad_data',
      `exceeded maximum resolution of ${stepsMax.toLocaleString('en')} points per timeseries. Try decreasing the query resolution (?step=XX)`,
    );
  }
  if (plan.grids.some(({ steps }) => steps > samplesMax)) throw tooManySamples();
}

interface ScanData {
  readonly data: readonly (readonly SeriesData[] | StoredScan)[];
  /** What was read in buckets instead. */
  readonly buckets: readonly (SelectedBuckets | undefined)[];
}

/** With `opened` scans that are in files are left there, and closed with it. */
async function readScans(
  plan: Plan,
  { source, limits }: QueryOptions,
  opened: AsyncDisposableStack | undefined,
  signal: AbortSignal,
): Promise<ScanData> {
  let samplesLeft = limits.samplesMax;
  const data: (readonly SeriesData[] | StoredScan)[] = [];
  const buckets: (SelectedBuckets | undefined)[] = [];
  const rollups = source.selectBuckets ? planRollups(plan) : [];
  for (const [index, scan] of plan.scans.entries()) {
    try {
      const selection = { ...scan, samplesMax: samplesLeft, seriesMax: limits.seriesMax };
      const asked = rollups[index];
      const found = asked && (await source.selectBuckets?.({ ...selection, ...asked }, signal));
      buckets.push(found);
      const none = found !== undefined || scan.toMs < scan.fromMs;
      const stored = none || !opened ? undefined : await source.open?.(selection, signal);
      if (stored) data.push(opened?.use(stored) ?? stored);
      else {
        const series = none ? [] : await source.select(selection, signal);
        for (const { values } of series) samplesLeft -= values.length;
        data.push(series);
      }
      samplesLeft -= found?.read ?? 0;
    } catch (error) {
      throw readingFailed(error, signal);
    }
    throwIfStopped(signal);
  }
  return { data, buckets };
}

function readingFailed(error: unknown, signal: AbortSignal): unknown {
  throwIfStopped(signal);
  if (hasCode(error, 'limit') && error.subject === 'samplesMax') return tooManySamples();
  return hasCode(error, 'limit') ? executionError(explanationOf(error)) : error;
}
