import { FirnError } from '../../base/errors.ts';
import type { ExemplarsBatch, MetricsBatch } from '../../model/batch.ts';
import { createExemplarsBuilder, type ExemplarsBuilder } from '../exemplars-builder.ts';
import { createMetricsBuilder, type MetricsBuilder } from '../metrics-builder.ts';
import { isUnsignedTime } from '../nanoseconds.ts';
import { readVarint32 } from '../protobuf.ts';
import { noteRejected, type Rejected } from '../rejected.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import type { DeltaSums, Undo } from './delta-sums.ts';
import { nativeHistogramOf } from './exponential.ts';
import { type MetricKind, metricName } from './metric-names.ts';
import { type Identities, type MetricIdentity, targetInfoLabels } from './metric-series.ts';
import {
  exponentialFields,
  hasNoValue,
  histogramFields,
  numberFields,
  type PointExemplar,
  type PointFields,
  point,
  readPoint,
  startUs,
  summaryFields,
  timeUs,
} from './points.ts';
import { type Resource, readResource, readScope, type Scope } from './resource.ts';
import {
  type BufferCursor,
  cursorOf,
  eachField,
  eachMessage,
  isZero,
  messageTag,
  readText,
  varintTag,
  within,
} from './wire.ts';

// opentelemetry.proto.metrics.v1 as Prometheus takes it.

export interface MetricsContext {
  readonly cache: SeriesCache;
  readonly identities: Identities;
  readonly deltas: DeltaSums;
  readonly undo: Undo;
  readonly rejected: Rejected;
}

/** An ExportMetricsServiceRequest. Throws FirnError `invalid` when it is not one; wrong points are rejected alone. */
export function decodeMetrics(
  body: Uint8Array,
  context: MetricsContext,
): { readonly metrics: MetricsBatch; readonly exemplars: ExemplarsBatch } {
  const cursor = cursorOf(body);
  const metrics = createMetricsBuilder();
  const exemplars = createExemplarsBuilder();
  eachMessage(cursor, 1, () => {
    const resource = readResource(cursor);
    const newest = { us: Number.NEGATIVE_INFINITY };
    eachMessage(cursor, 2, () => {
      const scope = readScope(cursor);
      const place = { ...context, resource, scope, metrics, exemplars, newest };
      eachMessage(cursor, 2, () => readMetric(cursor, place));
    });
    if (newest.us > Number.NEGATIVE_INFINITY) addTargetInfo(resource, newest.us, metrics, context);
  });
  return { metrics: metrics.finish(), exemplars: exemplars.finish() };
}

interface Place extends MetricsContext {
  readonly resource: Resource;
  readonly scope: Scope;
  readonly metrics: MetricsBuilder;
  readonly exemplars: ExemplarsBuilder;
  /** The newest time of the resource's points. */
  readonly newest: { us: number };
}

/** Fields of Metric with its points. */
const shapes = {
  5: { fields: numberFields, kind: 'gauge' },
  7: { fields: numberFields, kind: 'sum' },
  9: { fields: histogramFields, kind: 'histogram' },
  10: { fields: exponentialFields, kind: 'exponential' },
  11: { fields: summaryFields, kind: 'summary' },
} as const;
type Shape = (typeof shapes)[keyof typeof shapes];
const shapeTags = new Map<number, Shape>(
  Object.entries(shapes).map(([field, shape]) => [messageTag(Number(field)), shape]),
);

const nameTag = messageTag(1);
const descriptionTag = messageTag(2);
const unitTag = messageTag(3);
const temporalityTag = varintTag(2);
const monotonicTag = varintTag(3);
const deltaTemporality = 1;
const cumulativeTemporality = 2;

function readMetric(cursor: BufferCursor, place: Place): void {
  const { pos } = cursor;
  const text = { name: '', description: '', unit: '' };
  const data = { temporality: 0, monotonic: false };
  let shape: Shape | undefined;
  // First what it is: that may, legally, stand behind its points.
  eachField(cursor, (tag) => {
    if (tag === nameTag) text.name = readText(cursor);
    else if (tag === descriptionTag) text.description = readText(cursor);
    else if (tag === unitTag) text.unit = readText(cursor);
    else {
      const found = shapeTags.get(tag);
      if (found === undefined) return false;
      shape = found;
      return within(cursor, () => readTemporality(cursor, data));
    }
    return true;
  });
  cursor.pos = pos;
  const known = shape;
  if (known === undefined) return;
  const metric = identify(text, known, data, place);
  eachField(cursor, (tag) => {
    if (shapeTags.get(tag) !== known) return false;
    return within(cursor, () => eachMessage(cursor, 1, () => takePoint(cursor, known.fields, metric, place)));
  });
}

function readTemporality(cursor: BufferCursor, data: { temporality: number; monotonic: boolean }): void {
  eachField(cursor, (tag) => {
    if (tag === temporalityTag) data.temporality = readVarint32(cursor);
    else if (tag === monotonicTag) data.monotonic = readVarint32(cursor) !== 0;
    else return false;
    return true;
  });
}

interface Metric extends MetricIdentity {
  readonly shape: Shape['kind'];
  readonly delta: boolean;
  /** Counts since a start. */
  readonly counts: boolean;
  /** Why none of its points can be taken. */
  readonly wrong: string | undefined;
}

function identify(
  text: { readonly name: string; readonly description: string; readonly unit: string },
  { kind: shape }: Shape,
  { temporality, monotonic }: { readonly temporality: number; readonly monotonic: boolean },
  { identities, resource, scope, metrics }: Place,
): Metric {
  const kind: MetricKind =
    shape === 'sum' ? (monotonic ? 'counter' : 'updown') : shape === 'exponential' ? 'histogram' : shape;
  const family = metricName(text.name, text.unit, kind);
  const scopeText = JSON.stringify([scope.name, scope.version, scope.attributes]);
  const owner = identities.of(`${resource.bytes.toString('latin1')}${scopeText}`);
  const hasTemporality = shape !== 'gauge' && shape !== 'summary';
  const known = temporality === deltaTemporality || temporality === cumulativeTemporality;
  const wrong =
    family === ''
      ? `the name of metric ${JSON.stringify(text.name.slice(0, 100))} has no letter or digit`
      : hasTemporality && !known
        ? `metric ${text.name.slice(0, 100)} says no aggregation temporality (delta or cumulative)`
        : undefined;
  const type = kind === 'updown' ? 'gauge' : kind;
  if (wrong === undefined) metrics.describe({ name: family, type, help: text.description, unit: text.unit });
  return {
    ...{ family, resource, scope, shape, wrong, id: identities.of(`${owner} ${family}`) },
    delta: hasTemporality && temporality === deltaTemporality,
    counts: kind === 'counter' || kind === 'histogram' || kind === 'summary',
  };
}

function takePoint(cursor: BufferCursor, fields: PointFields, metric: Metric, place: Place): void {
  readPoint(cursor, fields);
  const wrong = metric.wrong ?? whyNotPoint(metric);
  if (wrong !== undefined) {
    noteRejected(place.rejected, wrong);
    return;
  }
  try {
    storePoint(metric, place);
  } catch (error) {
    // One series too many, or with too many labels: the others go on.
    if (!(error instanceof FirnError) || error.code !== 'limit') throw error;
    noteRejected(place.rejected, error.message);
    return;
  }
  place.newest.us = Math.max(place.newest.us, timeUs());
}

function whyNotPoint({ shape, family }: Metric): string | undefined {
  const { time, start, bounds, bucketCounts, hasValue } = point;
  if (isZero(time)) return `a point of ${family} has no time`;
  if (!isUnsignedTime(time.high) || !isUnsignedTime(start.high)) return `a time of ${family} is out of range`;
  if ((shape === 'gauge' || shape === 'sum') && !hasValue && !hasNoValue())
    return `a point of ${family} has no value`;
  if (shape !== 'histogram' || (bounds.length === 0 && bucketCounts.length <= 1)) return undefined;
  if (bounds.some((bound, index) => index > 0 && !(bound > (bounds[index - 1] ?? 0))))
    return `the bounds of ${family} do not ascend`;
  // One more than bounds is right; Prometheus takes fewer, too.
  if (bucketCounts.length <= bounds.length + 1) return undefined;
  return `${family} has ${bounds.length} bounds, but counts of ${bucketCounts.length} buckets`;
}

function storePoint(metric: Metric, place: Place): void {
  switch (metric.shape) {
    case 'gauge':
    case 'sum':
      storeNumber(metric, place);
      return;
    case 'histogram':
      storeHistogram(metric, place);
      return;
    case 'exponential':
      storeExponential(metric, place);
      return;
    case 'summary':
      storeSummary(metric, place);
      return;
  }
}

function storeNumber(metric: Metric, place: Place): void {
  const series = point.key.series(place.cache, metric, '');
  append([[series, point.value]], metric, place);
  if (metric.shape === 'sum') addExemplars(place, point.exemplars, () => series);
}

function storeSummary(metric: Metric, place: Place): void {
  const { key, quantiles, sum, count } = point;
  const of = (suffix: string): CachedSeries => key.series(place.cache, metric, suffix);
  append(
    [
      ...quantiles.map(
        ([quantile, value]) =>
          [key.series(place.cache, metric, '', { name: 'quantile', value: quantile }), value] as const,
      ),
      [of('_sum'), sum],
      [of('_count'), Number(count)],
    ],
    metric,
    place,
  );
}

function storeHistogram(metric: Metric, place: Place): void {
  const { key, bounds, bucketCounts, sum, hasSum, count } = point;
  const bucket = (value: number): CachedSeries =>
    key.series(place.cache, metric, '_bucket', { name: 'le', value });
  let below = 0;
  const counted = bounds.slice(0, hasNoValue() ? bounds.length : bucketCounts.length);
  const limits = [...counted, Number.POSITIVE_INFINITY];
  const buckets = limits.map((bound, index) => {
    below += bucketCounts[index] ?? 0;
    return [bucket(bound), bound === Number.POSITIVE_INFINITY ? Number(count) : below] as const;
  });
  append(
    [
      ...buckets,
      ...(hasSum ? [[key.series(place.cache, metric, '_sum'), sum] as const] : []),
      [key.series(place.cache, metric, '_count'), Number(count)],
    ],
    metric,
    place,
  );
  addExemplars(
    place,
    point.exemplars,
    ({ value }) => buckets[limits.findIndex((bound) => value <= bound)]?.[0],
  );
}

/** Differences are kept as they are, marked as a gauge: buckets of different widths can not be added up without loss. */
function storeExponential(metric: Metric, place: Place): void {
  const histogram = nativeHistogramOf(metric.delta ? 'gauge' : 'unknown');
  if (histogram === undefined) {
    noteRejected(place.rejected, `${metric.family}: scale ${point.scale} is less than -4`);
    return;
  }
  const series = point.key.series(place.cache, metric, '');
  place.metrics.appendHistogram(series, timeUs(), histogram);
  if (startUs() !== 0) place.metrics.countsSince(startUs());
  addExemplars(place, point.exemplars, () => series);
}

type Row = readonly [series: CachedSeries, value: number];

const staleLow = 2;
const staleHigh = 0x7ff00000;

/** The values of one point; those of delta temporality are added up by the first of its series. */
function append(rows: readonly Row[], metric: Metric, { metrics, deltas, undo, rejected }: Place): void {
  const us = timeUs();
  if (hasNoValue()) {
    for (const [series] of rows) metrics.appendBits(series, us, staleLow, staleHigh);
    return;
  }
  let values = rows.map(([, value]) => value);
  let since = startUs();
  const first = rows[0]?.[0];
  if (metric.delta && first !== undefined) {
    const sums = deltas.add(first, since, us, values, undo);
    if (sums === undefined) {
      noteRejected(rejected, `a point of ${metric.family} is not newer than the one before it`);
      return;
    }
    values = [...sums.values];
    since = sums.startUs;
  }
  for (const [index, [series]] of rows.entries()) {
    metrics.append(series, us, values[index] ?? 0);
    if (metric.counts && since !== 0) metrics.countsSince(since);
  }
}

function addExemplars(
  { exemplars }: Place,
  found: readonly PointExemplar[],
  seriesOf: (exemplar: PointExemplar) => CachedSeries | undefined,
): void {
  for (const exemplar of found) {
    const series = seriesOf(exemplar);
    if (series) exemplars.append(series, exemplar.timeUs ?? timeUs(), exemplar.value, exemplar.labels);
  }
}

const targetMark = Buffer.from('T');

function addTargetInfo(
  resource: Resource,
  us: number,
  metrics: MetricsBuilder,
  { cache, rejected }: MetricsContext,
): void {
  const labels = targetInfoLabels(resource);
  if (labels === undefined) return;
  const key = Buffer.concat([targetMark, resource.bytes]);
  try {
    const series = cache.find(key, 0, key.length) ?? cache.add(key, 0, key.length, labels);
    metrics.append(series, us, 1);
  } catch (error) {
    if (!(error instanceof FirnError) || error.code !== 'limit') throw error;
    noteRejected(rejected, error.message, 0);
  }
}
