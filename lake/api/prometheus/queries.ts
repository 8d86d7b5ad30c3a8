import type { Clock } from '../../base/clock.ts';
import { cachedRangeQuery } from '../../promql/cache/cached-query.ts';
import type { ResultCache } from '../../promql/cache/result-cache.ts';
import { PromqlError } from '../../promql/errors.ts';
import type { Evaluator } from '../../promql/evaluator.ts';
import { defaultLookbackMs, type QueryLimits } from '../../promql/limits.ts';
import { instantQuery, parseQuery, type Query, type QueryOptions, rangeQuery } from '../../promql/query.ts';
import type { ReadRange } from '../../promql/read-range.ts';
import type { ResultData } from '../../promql/result.ts';
import type { SeriesSource } from '../../promql/source.ts';
import { resultPieces } from './encode.ts';
import {
  badParameter,
  durationParameter,
  limitParameter,
  type Parameters,
  timeParameter,
} from './parameters.ts';
import { succeedWith } from './respond.ts';
import { type StatsOf, statsText } from './stats.ts';

export interface QueryHandlerOptions {
  readonly source: SeriesSource;
  readonly limits: QueryLimits;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly evaluator: Evaluator | undefined;
  /** Answers of range queries that are remembered; absent: none are. */
  readonly cache: ResultCache | undefined;
  /** How long the query has waited for its turn. */
  readonly queuedMs: number;
  /** What the author of a query that read this should know. */
  readonly warningOf: (read: ReadRange) => Promise<string | undefined>;
}

const truncated = 'results truncated due to limit';

/** GET and POST /api/v1/query. */
export async function answerQuery(parameters: Parameters, options: QueryHandlerOptions): Promise<Response> {
  const limit = limitParameter(parameters);
  const timeMs = timeParameter(parameters, 'time') ?? options.clock.nowMs();
  const queryOptions = optionsOf(parameters, options);
  const query = queryParameter(parameters);
  const times = { startMs: timeMs, endMs: timeMs, stepMs: 0 };
  const result = await instantQuery(query, timeMs, queryOptions);
  return answer({ ...result, times, queuedMs: options.queuedMs }, limit, parameters, options);
}

/** GET and POST /api/v1/query_range. */
export async function answerRangeQuery(
  parameters: Parameters,
  options: QueryHandlerOptions,
): Promise<Response> {
  const limit = limitParameter(parameters);
  const startMs = required(parameters, 'start');
  const endMs = required(parameters, 'end');
  if (endMs < startMs) throw badParameter('end', new Error('end timestamp must not be before start time'));
  const stepMs = durationParameter(parameters, 'step');
  if (stepMs === undefined) throw badParameter('step', new Error('cannot parse "" to a valid duration'));
  if (stepMs <= 0) {
    throw badParameter(
      'step',
      new Error('zero or negative query resolution step widths are not accepted. Try a positive integer'),
    );
  }
  if ((endMs - startMs) / stepMs > options.limits.stepsMax) {
    const points = options.limits.stepsMax.toLocaleString('en');
    throw new PromqlError(
      'bad_data',
      `exceeded maximum resolution of ${points} points per timeseries. Try decreasing the query resolution (?step=XX)`,
    );
  }
  const queryOptions = optionsOf(parameters, options);
  const query = queryParameter(parameters);
  // Prometheus' clock has milliseconds; a finer step would stand still.
  const times = { startMs, endMs, stepMs: Math.max(1, Math.trunc(stepMs)) };
  const cache = parameters.text('cache') === 'off' ? undefined : options.cache;
  const result = cache
    ? await cachedRangeQuery(query, times, queryOptions, cache)
    : await rangeQuery(query, times, queryOptions);
  return answer({ ...result, times, queuedMs: options.queuedMs }, limit, parameters, options);
}

function required(parameters: Parameters, name: string): number {
  const timeMs = timeParameter(parameters, name);
  if (timeMs === undefined) throw badParameter(name, new Error('cannot parse "" to a valid timestamp'));
  return timeMs;
}

/** The query's syntax tree, or the 400 that says where it is wrong. */
export function queryParameter(parameters: Parameters): Query {
  try {
    return parseQuery(parameters.text('query'));
  } catch (cause) {
    if (cause instanceof PromqlError && cause.errorType === 'bad_data') throw badParameter('query', cause);
    throw cause;
  }
}

function optionsOf(parameters: Parameters, options: QueryHandlerOptions): QueryOptions {
  const { source, limits, clock, signal, evaluator } = options;
  const timeoutMs = Math.min(limits.timeoutMs, durationParameter(parameters, 'timeout') ?? limits.timeoutMs);
  const lookbackMs = durationParameter(parameters, 'lookback_delta') || defaultLookbackMs;
  return {
    source,
    clock,
    signal,
    evaluator,
    lookbackMs,
    counted: parameters.text('stats') !== '',
    limits: { ...limits, timeoutMs: Math.max(0, timeoutMs) },
  };
}

async function answer(
  result: StatsOf,
  limit: number,
  parameters: Parameters,
  { warningOf }: QueryHandlerOptions,
): Promise<Response> {
  const { data, cut } = limited(result.data, limit);
  const incomplete = result.read && (await warningOf(result.read));
  const warnings = [
    ...result.warnings,
    ...(cut ? [truncated] : []),
    ...(incomplete === undefined ? [] : [incomplete]),
  ];
  const stats = statsText(parameters.text('stats'), result);
  const { rollups, cachedSteps, infos } = result;
  const headers = {
    ...(rollups.length > 0 && { 'x-firn-rollups': rollups.join(', ') }),
    ...(cachedSteps !== undefined && { 'x-firn-cached-steps': String(cachedSteps) }),
  };
  return succeedWith(braced(resultPieces(data), stats), { warnings, infos }, headers);
}

function limited(data: ResultData, limit: number): { data: ResultData; cut: boolean } {
  if (limit === 0) return { data, cut: false };
  if (data.type === 'vector' && data.samples.length > limit)
    return { data: { ...data, samples: data.samples.slice(0, limit) }, cut: true };
  if (data.type === 'matrix' && data.series.length > limit)
    return { data: { ...data, series: data.series.slice(0, limit) }, cut: true };
  return { data, cut: false };
}

function* braced(pieces: Iterable<string>, last: string): Generator<string> {
  yield '{';
  yield* pieces;
  yield `${last}}`;
}
