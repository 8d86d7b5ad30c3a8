import { FirnError, messageOf } from '../base/errors.ts';
import type { RangeAggregation, Unwrap } from './ast.ts';
import type { Budget } from './budget.ts';
import type { LogqlLimits } from './limits.ts';
import { labelTest } from './pipeline/label-filter.ts';
import {
  createLabels,
  deleteLabel,
  emptyLabels,
  errorDetailsLabel,
  errorLabel,
  failLine,
  type LabelSet,
  labelOf,
  labelsAndErrors,
  metadataBeside,
  preserveErrorLabel,
  type Row,
  resetLabels,
  setLabel,
} from './pipeline/row.ts';
import { asksForErrors, countsBytes, isCountable, planPipeline, wantedLabels } from './plan.ts';
import type { LogSource, ReadStats } from './source.ts';
import { parseBytes, parseGoDuration, parseGoFloat } from './units.ts';
import { compareLabels, grouped, labelsKey, type SeriesLabels, sortedLabels, type Times } from './value.ts';
import type { Samples } from './window.ts';

export interface Reading {
  readonly source: LogSource;
  readonly limits: LogqlLimits;
  readonly budget: Budget;
  readonly stats: ReadStats;
}

export interface CollectedSeries {
  readonly labels: SeriesLabels;
  readonly samples: Samples;
  /** The value of __error__, if the query must end when it sees this series. */
  readonly error: string | undefined;
}

interface Growing {
  readonly labels: SeriesLabels;
  timesNs: Float64Array;
  values: Float64Array;
  length: number;
  ascending: boolean;
}

/** The times of a range aggregation: when its first window ends, and all that its windows hold. */
export function boundsOf({ range }: RangeAggregation, times: Times) {
  const baseNs = times.startNs - BigInt(range.offsetNs);
  const fromNs = baseNs - BigInt(range.rangeNs) + 1n;
  const toNs = baseNs + BigInt(times.stepNs) * BigInt(times.steps - 1) + 1n;
  return { baseNs, fromNs, toNs };
}

/**
 * The samples of a range aggregation, series by series, at times from the end of the first window. `by`: the labels
 * that matter, when series that share them may be one.
 */
export async function collect(
  expr: RangeAggregation,
  times: Times,
  by: readonly string[] | undefined,
  reading: Reading,
): Promise<readonly CollectedSeries[]> {
  const series = new Map<string, Growing>();
  if (isCountable(expr)) await collectCounts(expr, times, by, reading, series);
  else await collectLines(expr, times, by, reading, series);
  // In the order of labels, so that what ties in topk is the same wherever it is asked.
  return [...series.values()].map(finished).sort((a, b) => compareLabels(a.labels, b.labels));
}

function greatestDivisor(a: number, b: number): number {
  let [left, right] = [a, b];
  while (right !== 0) [left, right] = [right, left % right];
  return left;
}

async function collectCounts(
  expr: RangeAggregation,
  times: Times,
  by: readonly string[] | undefined,
  { source, limits, budget, stats }: Reading,
  series: Map<string, Growing>,
): Promise<void> {
  const { baseNs, fromNs, toNs } = boundsOf(expr, times);
  const { log, rangeNs } = expr.range;
  const bucketNs = times.steps === 1 ? rangeNs : greatestDivisor(rangeNs, times.stepNs);
  const request = {
    ...{ matchers: log.matchers, lineFilters: log.stages.filter((stage) => stage.kind === 'line-filter') },
    ...{ originNs: baseNs, bucketNs, fromNs, toNs, labels: by, bytes: countsBytes(expr.op) },
    ...{ rowsMax: limits.samplesMax, bytesMax: limits.bytesMax, stats },
  };
  planPipeline(log);
  for (const { labels, metadata, bucket, value } of await source.counts(request, budget.signal)) {
    const set = createLabels(labels, metadata);
    add(series, labelsFor(set, by), bucket * bucketNs, value, budget);
  }
}

/** A line with an error keeps all its labels, so that whoever sees it knows which it is. */
function labelsFor(labels: LabelSet, by: readonly string[] | undefined): SeriesLabels {
  if (by === undefined || labels.error !== '') return sortedLabels(labelsAndErrors(labels));
  const found: [string, string][] = [];
  for (const name of by) {
    const value = labelOf(labels, name);
    if (value !== undefined) found.push([name, value]);
  }
  if (labels.errorDetails !== '') found.push([errorDetailsLabel, labels.errorDetails]);
  return found.length > 1 ? sortedLabels(new Map(found)) : found;
}

const parserErrors: ReadonlySet<string> = new Set(['JSONParserErr', 'LogfmtParserErr']);

async function collectLines(
  expr: RangeAggregation,
  times: Times,
  by: readonly string[] | undefined,
  { source, limits, budget, stats }: Reading,
  series: Map<string, Growing>,
): Promise<void> {
  const { baseNs, fromNs, toNs } = boundsOf(expr, times);
  const { log, unwrap } = expr.range;
  const names = by ?? groupingLabels(expr);
  const { pushed, fields, pipeline, needs } = planPipeline(log, wantedLabels(expr.range, names));
  const preserves = asksForErrors(expr.range, names);
  const sampleOf = unwrap === undefined ? lineSample(expr) : unwrapSample(unwrap);
  const request = {
    ...{
      matchers: log.matchers,
      lineFilters: pushed,
      fieldConditions: fields,
      fromNs,
      toNs,
      bytesMax: limits.bytesMax,
      stats,
    },
    needs: { line: needs.line || countsBytes(expr.op), metadata: true },
  };
  const read = metadataReader();
  const row: Row = { line: '', timestampNs: 0n, labels: emptyLabels() };
  for await (const batch of source.lines(request, budget.signal)) {
    for (let index = 0; index < batch.rows; index++) {
      row.line = batch.lines[index] ?? '';
      row.timestampNs = batch.timestampNs[index] ?? 0n;
      const { labels: stream } = batch.stream(index);
      resetLabels(row.labels, stream, read(stream, batch.metadata[index] ?? null));
      if (pipeline !== undefined && !pipeline(row)) continue;
      const value = sampleOf(row);
      if (value === undefined) continue;
      if (preserves && parserErrors.has(row.labels.error)) setLabel(row.labels, preserveErrorLabel, 'true');
      const labels = groupedBy(labelsFor(row.labels, by), expr);
      add(series, labels, Number(row.timestampNs - baseNs), value, budget);
    }
    await budget.breathe();
  }
}

/** Errors are kept by every grouping: nobody may overlook them. */
function groupedBy(labels: SeriesLabels, { grouping }: RangeAggregation): SeriesLabels {
  if (grouping === undefined) return labels;
  const errors = labels.filter(([name]) => name === errorLabel || name === errorDetailsLabel);
  return errors.length > 0 ? labels : grouped(labels, grouping);
}

/** The labels of a grouping by labels. */
const groupingLabels = ({ grouping }: RangeAggregation): readonly string[] | undefined =>
  grouping === undefined || grouping.without ? undefined : grouping.labels;

/** Reads metadata texts. They are few: what one says beside the labels of a stream is found once. */
export function metadataReader(): (
  stream: ReadonlyMap<string, string>,
  text: string | null,
) => ReadonlyMap<string, string> {
  const known = new Map<ReadonlyMap<string, string>, Map<string, ReadonlyMap<string, string>>>();
  const knownMax = 10_000;
  const nothing: ReadonlyMap<string, string> = new Map();
  return (stream, text) => {
    if (text === null) return nothing;
    let ofStream = known.get(stream);
    if (ofStream === undefined) {
      if (known.size >= knownMax) known.clear();
      ofStream = new Map();
      known.set(stream, ofStream);
    }
    const found = ofStream.get(text);
    if (found !== undefined) return found;
    const metadata = metadataBeside(stream, metadataEntries(text));
    if (ofStream.size >= knownMax) ofStream.clear();
    ofStream.set(text, metadata);
    return metadata;
  };
}

function metadataEntries(text: string): [string, string][] {
  try {
    return Object.entries(JSON.parse(text) as Record<string, string>);
  } catch (cause) {
    throw new FirnError({
      ...{ code: 'corrupt', operation: 'answer LogQL', subject: 'attributes', cause },
      message: `the structured metadata of a line is no JSON: ${messageOf(cause)}`,
    });
  }
}

type SampleOf = (row: Row) => number | undefined;

function lineSample({ op }: RangeAggregation): SampleOf {
  return countsBytes(op) ? ({ line }) => Buffer.byteLength(line) : () => 1;
}

/** The value of a label, which then is none of the series'. */
function unwrapSample({ label, conversion, filters }: Unwrap): SampleOf {
  const read = conversion === undefined ? parseGoFloat : conversion === 'bytes' ? parseBytes : secondsOf;
  const tests = filters.map(labelTest);
  return ({ labels }) => {
    const text = labelOf(labels, label);
    if (text === undefined || text === '') return undefined;
    let value = 0;
    try {
      value = read(text);
    } catch (cause) {
      failLine(labels, 'SampleExtractionErr', messageOf(cause));
    }
    if (!tests.every((test) => test(labels))) return undefined;
    if (labels.error === '') deleteLabel(labels, label);
    return value;
  };
}

const secondsOf = (text: string): number => parseGoDuration(text) / 1e9;

function add(
  series: Map<string, Growing>,
  labels: SeriesLabels,
  timeNs: number,
  value: number,
  budget: Budget,
): void {
  const key = labelsKey(labels);
  let one = series.get(key);
  if (one === undefined) {
    one = { labels, timesNs: new Float64Array(4), values: new Float64Array(4), length: 0, ascending: true };
    series.set(key, one);
    budget.checkSeries(series.size);
  }
  budget.chargeSamples(1);
  const { length } = one;
  if (length === one.timesNs.length) {
    one.timesNs = doubled(one.timesNs);
    one.values = doubled(one.values);
  }
  if (length > 0 && (one.timesNs[length - 1] ?? 0) > timeNs) one.ascending = false;
  one.timesNs[length] = timeNs;
  one.values[length] = value;
  one.length++;
}

function doubled(array: Float64Array): Float64Array {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}

function finished({ labels, timesNs, values, length, ascending }: Growing): CollectedSeries {
  const samples = { timesNs: timesNs.subarray(0, length), values: values.subarray(0, length) };
  const error = labels.find(([name]) => name === errorLabel)?.[1];
  const preserved = labels.some(([name, value]) => name === preserveErrorLabel && value === 'true');
  return {
    labels,
    samples: ascending ? samples : inOrder(samples),
    error: error === undefined || error === '' || preserved ? undefined : error,
  };
}

function inOrder({ timesNs, values }: Samples): Samples {
  const order = Array.from(timesNs.keys()).sort((a, b) => (timesNs[a] ?? 0) - (timesNs[b] ?? 0) || a - b);
  return {
    timesNs: Float64Array.from(order, (index) => timesNs[index] ?? 0),
    values: Float64Array.from(order, (index) => values[index] ?? 0),
  };
}
