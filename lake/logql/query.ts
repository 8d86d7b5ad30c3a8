import type { Clock } from '../base/clock.ts';
import type { AnswerTask } from './answer/answer.ts';
import type { LogExpr, MetricExpr } from './ast.ts';
import { createBudget, throwIfStopped, timeoutReason } from './budget.ts';
import { metadataReader, type Reading } from './collect.ts';
import { LogqlError, limitError } from './errors.ts';
import { evaluate, firstAsked, seriesOf } from './evaluate.ts';
import type { LogqlLimits } from './limits.ts';
import {
  emptyLabels,
  errorDetailsLabel,
  errorLabel,
  hasError,
  type LabelSet,
  type Row,
  resetLabels,
} from './pipeline/row.ts';
import { planPipeline } from './plan.ts';
import { type LogSource, newStats, type ReadStats } from './source.ts';
import {
  compareLabels,
  labelsKey,
  type Series,
  type SeriesLabels,
  sortedLabels,
  type Times,
} from './value.ts';

export interface QueryOptions {
  readonly source: LogSource;
  readonly limits: LogqlLimits;
  readonly clock: Clock;
  /** Ends the query when its client is gone. */
  readonly signal: AbortSignal;
  /** Who reads the source and evaluates; absent: this thread. */
  readonly evaluator?: LogqlEvaluator | undefined;
}

/** What is asked: plain data, which another thread can be given. */
export type LogqlTask =
  | { readonly kind: 'instant'; readonly expr: MetricExpr; readonly timeNs: bigint }
  | { readonly kind: 'range'; readonly expr: MetricExpr; readonly times: Times }
  | { readonly kind: 'log'; readonly expr: LogExpr; readonly log: LogOptions };

/** Both throw LogqlError. */
export interface LogqlEvaluator {
  evaluate(task: LogqlTask, limits: LogqlLimits, signal: AbortSignal): Promise<QueryResult>;
  /** Pieces come as they are taken. */
  answer(
    task: AnswerTask,
    limits: LogqlLimits,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array<ArrayBuffer>>>;
}

/** Answers a query where it is to be evaluated. Throws LogqlError. */
export async function runQuery(task: LogqlTask, options: QueryOptions): Promise<QueryResult> {
  const { evaluator, limits, signal } = options;
  if (evaluator) return evaluator.evaluate(task, limits, signal);
  switch (task.kind) {
    case 'instant':
      return instantQuery(task.expr, task.timeNs, options);
    case 'range':
      return rangeQuery(task.expr, task.times, options);
    case 'log':
      return logQuery(task.expr, task.log, options);
  }
}

/** The time whose lines are asked for first, where that is known before; nanoseconds, from inclusive, to exclusive. */
export function firstAskedBy(
  task: LogqlTask,
): { readonly fromNs: bigint; readonly toNs: bigint } | undefined {
  switch (task.kind) {
    case 'log':
      return task.log;
    case 'instant':
      return firstAsked(task.expr, instantTimes(task.timeNs));
    case 'range':
      return firstAsked(task.expr, task.times);
  }
}

const instantTimes = (timeNs: bigint): Times => ({ startNs: timeNs, stepNs: 0, steps: 1 });

export interface QueryResult {
  readonly data: ResultData;
  readonly stats: ReadStats;
}

export type ResultData =
  | { readonly type: 'scalar'; readonly timestampNs: bigint; readonly value: number }
  | { readonly type: 'vector'; readonly timestampNs: bigint; readonly series: readonly Series[] }
  | { readonly type: 'matrix'; readonly times: Times; readonly series: readonly Series[] }
  | { readonly type: 'streams'; readonly streams: readonly LogStream[] };

/** Lines that share all their labels, as columns. */
export interface LogStream {
  /** Labels of the stream itself, ... */
  readonly labels: SeriesLabels;
  /** ... and what each of its lines has besides. */
  readonly metadata: SeriesLabels;
  readonly parsed: SeriesLabels;
  readonly timesNs: BigInt64Array;
  readonly lines: readonly string[];
}

export interface LogOptions {
  readonly fromNs: bigint;
  /** Exclusive. */
  readonly toNs: bigint;
  readonly limit: number;
  readonly direction: 'forward' | 'backward';
  /** Only one line an interval and stream, nanoseconds; 0 for all. */
  readonly intervalNs: number;
}

/** Runs `body` under the query's timeout. Whatever is thrown after it is met is the timeout. */
export async function limited<T>(options: QueryOptions, body: (reading: Reading) => Promise<T>): Promise<T> {
  const { source, limits, clock } = options;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(timeoutReason), limits.timeoutMs);
  const signal = AbortSignal.any([options.signal, timeout.signal]);
  try {
    return await body({ source, limits, budget: createBudget(limits, clock, signal), stats: newStats() });
  } catch (error) {
    if (!(error instanceof LogqlError && error.type !== 'canceled')) throwIfStopped(signal, limits);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** The value of a metric query at one time. */
export function instantQuery(expr: MetricExpr, timeNs: bigint, options: QueryOptions): Promise<QueryResult> {
  return limited(options, async (reading) => {
    const times = instantTimes(timeNs);
    const value = await evaluate(expr, times, reading);
    if (value.kind === 'scalar')
      return { data: { type: 'scalar', timestampNs: timeNs, value: value.value }, stats: reading.stats };
    const series = value.series.filter(({ present }) => present[0] === 1);
    reading.budget.checkSeries(series.length);
    const ordered = sorts(expr) ? series : byLabels(series);
    return { data: { type: 'vector', timestampNs: timeNs, series: ordered }, stats: reading.stats };
  });
}

/** The values of a metric query at each step. */
export function rangeQuery(expr: MetricExpr, times: Times, options: QueryOptions): Promise<QueryResult> {
  if (times.steps > options.limits.stepsMax)
    throw limitError(
      'stepsMax',
      'exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter',
    );
  return limited(options, async (reading) => {
    const value = await evaluate(expr, times, reading);
    const series = seriesOf(value, times).filter(({ present }) => present.includes(1));
    reading.budget.checkSeries(series.length);
    return { data: { type: 'matrix', times, series: byLabels(series) }, stats: reading.stats };
  });
}

const byLabels = (series: readonly Series[]): readonly Series[] =>
  [...series].sort((a, b) => compareLabels(a.labels, b.labels));

/** Whether the query asks for an order. */
function sorts(expr: MetricExpr): boolean {
  switch (expr.kind) {
    case 'vector-aggregation':
      return expr.op === 'sort' || expr.op === 'sort_desc' || sorts(expr.input);
    case 'label-replace':
      return sorts(expr.input);
    case 'binary':
      return sorts(expr.left) || sorts(expr.right);
    default:
      return false;
  }
}

/** The lines of a log query: the newest `limit` of them, or the oldest. */
export function logQuery(expr: LogExpr, log: LogOptions, options: QueryOptions): Promise<QueryResult> {
  const { limits } = options;
  if (log.limit > limits.entriesMax)
    throw limitError(
      'entriesMax',
      `max entries limit per query exceeded, limit > max_entries_limit_per_query (${log.limit} > ${limits.entriesMax}, entriesMax)`,
    );
  return limited(options, async (reading) => ({
    data: { type: 'streams', streams: await streamsOf(expr, log, reading) },
    stats: reading.stats,
  }));
}

/** The lines of a log query, by their labels. */
export async function streamsOf(
  expr: LogExpr,
  log: LogOptions,
  reading: Reading,
): Promise<readonly LogStream[]> {
  const collector = createCollector(log);
  if (log.limit > 0 && log.toNs > log.fromNs) await readLines(expr, log, reading, collector);
  return collector.streams();
}

interface Collector {
  /** False when there are enough. */
  add(row: Row): boolean;
  /** The same for a line that is as it was stored. */
  addStored(
    stream: LabelSet['stream'],
    metadata: LabelSet['metadata'],
    timestampNs: bigint,
    line: string,
  ): boolean;
  streams(): readonly LogStream[];
}

async function readLines(
  expr: LogExpr,
  log: LogOptions,
  reading: Reading,
  collector: Collector,
): Promise<void> {
  const { source, limits, budget, stats } = reading;
  const { pushed, fields, pipeline } = planPipeline(expr);
  const { fromNs, toNs, direction, limit, intervalNs } = log;
  const request = {
    ...{
      matchers: expr.matchers,
      lineFilters: pushed,
      fieldConditions: fields,
      fromNs,
      toNs,
      direction,
      bytesMax: limits.bytesMax,
      stats,
    },
    ...(pipeline === undefined && intervalNs === 0 ? { limit } : {}),
    needs: { line: true, metadata: true },
  };
  const read = metadataReader();
  const labels = emptyLabels();
  for await (const batch of source.lines(request, budget.signal)) {
    for (let index = 0; index < batch.rows; index++) {
      const { labels: stream } = batch.stream(index);
      const metadata = read(stream, batch.metadata[index] ?? null);
      const [line, timestampNs] = [batch.lines[index] ?? '', batch.timestampNs[index] ?? 0n];
      if (pipeline === undefined) {
        if (!collector.addStored(stream, metadata, timestampNs, line)) return;
        continue;
      }
      resetLabels(labels, stream, metadata);
      const row: Row = { line, timestampNs, labels };
      if (pipeline(row) && !collector.add(row)) return;
    }
    await budget.breathe();
  }
}

interface Collected extends Omit<LogStream, 'timesNs'> {
  readonly timesNs: bigint[];
  readonly lines: string[];
}

function createCollector({ limit, intervalNs }: LogOptions): Collector {
  const streams = new Map<string, Collected>();
  /** Of lines that are as they were stored: most have stream and metadata in common with others. */
  const asStored = new Map<LabelSet['stream'], Map<LabelSet['metadata'], Collected>>();
  const collectedOf = (labels: LabelSet): Collected => {
    const parts = categories(labels);
    const key = `${labelsKey(parts.stream)}\u0002${labelsKey(parts.metadata)}\u0002${labelsKey(parts.parsed)}`;
    const { metadata, parsed } = parts;
    const found = streams.get(key) ?? { labels: parts.stream, metadata, parsed, timesNs: [], lines: [] };
    streams.set(key, found);
    return found;
  };
  const storedOf = (stream: LabelSet['stream'], metadata: LabelSet['metadata']): Collected => {
    const ofStream = asStored.get(stream) ?? new Map<LabelSet['metadata'], Collected>();
    asStored.set(stream, ofStream);
    const found = ofStream.get(metadata) ?? collectedOf({ ...emptyLabels(), stream, metadata });
    ofStream.set(metadata, found);
    return found;
  };
  let count = 0;
  const addTo = ({ timesNs, lines }: Collected, timestampNs: bigint, line: string): boolean => {
    const last = timesNs.at(-1);
    if (last !== undefined && intervalNs > 0) {
      const distance = last - timestampNs;
      if ((distance < 0n ? -distance : distance) < BigInt(intervalNs)) return true;
    }
    timesNs.push(timestampNs);
    lines.push(line);
    return ++count < limit;
  };
  return {
    add: ({ line, timestampNs, labels }) => {
      const isAsStored = labels.parsed.size === 0 && labels.dropped.size === 0 && !hasError(labels);
      const found = isAsStored ? storedOf(labels.stream, labels.metadata) : collectedOf(labels);
      return addTo(found, timestampNs, line);
    },
    addStored: (stream, metadata, timestampNs, line) => addTo(storedOf(stream, metadata), timestampNs, line),
    streams: () =>
      [...streams.values()]
        .sort((a, b) => compareLabels(a.labels, b.labels))
        .map(({ timesNs, ...stream }) => ({ ...stream, timesNs: new BigInt64Array(timesNs) })),
  };
}

/** A line's labels by where they come from; errors are among the parsed. */
export function categories(labels: LabelSet): Record<'stream' | 'metadata' | 'parsed', SeriesLabels> {
  const errors: [string, string][] = [];
  if (labels.error !== '') errors.push([errorLabel, labels.error]);
  if (labels.errorDetails !== '') errors.push([errorDetailsLabel, labels.errorDetails]);
  return {
    stream: sortedLabels([...labels.stream].filter(([name]) => !labels.dropped.has(name))),
    metadata: sortedLabels(labels.metadata),
    parsed: sortedLabels([...labels.parsed, ...errors]),
  };
}
