import { FirnError } from '../../base/errors.ts';
import type { MetricsBatch } from '../../model/batch.ts';
import { createMetricsBuilder, type MetricsBuilder } from '../metrics-builder.ts';
import {
  type Cursor,
  readEnd,
  readInt64,
  readTag,
  readVarint32,
  skipBytes,
  skipField,
  wireFixed64,
  wireLength,
  wireVarint,
} from '../protobuf.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import { invalid, limit, readLabels, text } from './labels.ts';
import type { RemoteWriteLimits } from './limits.ts';

// prometheus.WriteRequest (remote.proto, types.proto), walked straight into columns.

export interface DecodedWrite {
  readonly batch: MetricsBatch;
  /** Exemplars in the request; they are not kept. */
  readonly exemplars: number;
}

const requestSeries = (1 << 3) | wireLength;
const requestMetadata = (3 << 3) | wireLength;
/** Symbols and series of remote write 2.0, whose message begins where 1.0's ends. */
const secondVersionFields: readonly number[] = [(4 << 3) | wireLength, (5 << 3) | wireLength];
const seriesLabels = (1 << 3) | wireLength;
const seriesSamples = (2 << 3) | wireLength;
const seriesExemplars = (3 << 3) | wireLength;
const seriesHistograms = (4 << 3) | wireLength;
const sampleValue = (1 << 3) | wireFixed64;
const sampleTimestamp = (2 << 3) | wireVarint;

const metricTypes = [
  'unknown',
  'counter',
  'gauge',
  'histogram',
  'gaugehistogram',
  'summary',
  'info',
  'stateset',
];

/** 1684 until 2255: a little less than what tables hold, microseconds that are safe integers. */
const timestampMsMax = 9_000_000_000_000;

/**
 * Decodes a whole request; nothing comes out unless all of it is valid. Throws FirnError `invalid`, `limit` or
 * `unsupported` that names the series, counted from 1.
 */
export function decodeWriteRequest(
  bytes: Uint8Array,
  cache: SeriesCache,
  limits: RemoteWriteLimits,
): DecodedWrite {
  const builder = createMetricsBuilder();
  const cursor: Cursor = { bytes, pos: 0, end: bytes.length };
  let series = 0;
  let exemplars = 0;
  while (cursor.pos < bytes.length) {
    const tag = readTag(cursor);
    if (tag !== requestSeries && tag !== requestMetadata) {
      // Skipping these would acknowledge samples that are not stored.
      if (secondVersionFields.includes(tag)) throw secondVersion();
      skipField(cursor, tag);
      continue;
    }
    const end = readEnd(cursor);
    cursor.end = end;
    if (tag === requestMetadata) readMetadata(cursor, builder);
    else {
      if (++series > limits.seriesPerRequestMax)
        throw limit('seriesPerRequestMax', `the request has more than ${limits.seriesPerRequestMax} series`);
      try {
        exemplars += readSeries(cursor, builder, cache, limits);
      } catch (error) {
        throw inSeries(series, error);
      }
    }
    cursor.pos = end;
    cursor.end = bytes.length;
  }
  return { batch: builder.finish(), exemplars };
}

/** Reads one TimeSeries from the cursor to its end; returns how many exemplars it had. */
function readSeries(
  cursor: Cursor,
  builder: MetricsBuilder,
  cache: SeriesCache,
  limits: RemoteWriteLimits,
): number {
  const { bytes, pos: start, end } = cursor;
  let labelsStart = -1;
  let labelsEnd = -1;
  let together = true;
  let exemplars = 0;
  // First only where things are: labels may, legally, stand after or between the samples.
  while (cursor.pos < end) {
    const fieldStart = cursor.pos;
    const tag = readTag(cursor);
    if (tag === seriesHistograms) throw nativeHistogram();
    if (tag === seriesExemplars) exemplars++;
    skipField(cursor, tag);
    if (tag !== seriesLabels) continue;
    if (labelsStart < 0) labelsStart = fieldStart;
    else if (labelsEnd !== fieldStart) together = false;
    labelsEnd = cursor.pos;
  }
  if (labelsStart < 0) throw invalid('it has no labels');
  const found = together
    ? seriesOf(bytes, labelsStart, labelsEnd, cache, limits)
    : scatteredSeries({ bytes, pos: start, end }, cache, limits);

  cursor.pos = together && labelsStart === start ? labelsEnd : start;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === seriesSamples) readSample(cursor, readEnd(cursor), found, builder);
    else skipField(cursor, tag);
  }
  return exemplars;
}

function seriesOf(
  bytes: Uint8Array,
  start: number,
  end: number,
  cache: SeriesCache,
  limits: RemoteWriteLimits,
): CachedSeries {
  return cache.find(bytes, start, end) ?? cache.add(bytes, start, end, readLabels(bytes, start, end, limits));
}

/** Label fields with something else between them, put together first. */
function scatteredSeries(cursor: Cursor, cache: SeriesCache, limits: RemoteWriteLimits): CachedSeries {
  const parts: Uint8Array[] = [];
  while (cursor.pos < cursor.end) {
    const fieldStart = cursor.pos;
    const tag = readTag(cursor);
    skipField(cursor, tag);
    if (tag === seriesLabels) parts.push(cursor.bytes.subarray(fieldStart, cursor.pos));
  }
  const joined = Buffer.concat(parts);
  return seriesOf(joined, 0, joined.length, cache, limits);
}

function readSample(cursor: Cursor, end: number, series: CachedSeries, builder: MetricsBuilder): void {
  const { bytes, end: outer } = cursor;
  cursor.end = end;
  let low = 0;
  let high = 0;
  let timestampMs = 0;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === sampleValue) {
      const at = cursor.pos;
      skipBytes(cursor, 8);
      low = readUint32(bytes, at);
      high = readUint32(bytes, at + 4);
    } else if (tag === sampleTimestamp) timestampMs = readInt64(cursor);
    else skipField(cursor, tag);
  }
  cursor.end = outer;
  if (timestampMs > timestampMsMax || timestampMs < -timestampMsMax)
    throw invalid(`timestamp ${timestampMs} ms is out of range`);
  builder.appendBits(series, timestampMs * 1000, low, high);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

function readMetadata(cursor: Cursor, builder: MetricsBuilder): void {
  const { end } = cursor;
  let type = 0;
  const texts = new Map<number, string>();
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    const field = tag >>> 3;
    if (tag === ((1 << 3) | wireVarint)) type = readVarint32(cursor);
    else if ((tag & 7) === wireLength && (field === 2 || field === 4 || field === 5)) {
      const fieldEnd = readEnd(cursor);
      texts.set(field, text(cursor.bytes.subarray(cursor.pos, fieldEnd), `metadata field ${field}`));
      cursor.pos = fieldEnd;
    } else skipField(cursor, tag);
  }
  const name = texts.get(2) ?? '';
  if (name === '') throw invalid('metadata without metric_family_name');
  builder.describe({
    name,
    type: metricTypes[type] ?? 'unknown',
    help: texts.get(4) ?? '',
    unit: texts.get(5) ?? '',
  });
}

/** The error with which series it was. */
function inSeries(series: number, error: unknown): unknown {
  if (!(error instanceof FirnError)) return error;
  const { code, operation, subject, hint } = error;
  return new FirnError({
    code,
    operation,
    subject,
    message: `series ${series}: ${error.message}`,
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

function secondVersion(): FirnError {
  return new FirnError({
    code: 'unsupported',
    operation: 'decode remote write',
    subject: 'body',
    message: 'this is remote write 2.0 with the content type of 1.0: send 1.0 (prometheus.WriteRequest)',
  });
}

function nativeHistogram(): FirnError {
  return new FirnError({
    code: 'unsupported',
    operation: 'decode remote write',
    subject: 'histograms',
    message: 'native histograms are not supported yet',
    hint: 'set send_native_histograms: false in the remote_write section of the sender',
  });
}
