import { FirnError } from '../../base/errors.ts';
import {
  type Cursor,
  readEnd,
  readTag,
  readVarint32,
  skipField,
  wireLength,
  wireVarint,
} from '../protobuf.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import { invalidSeries, tooMany, type WriteDraft } from './draft.ts';
import { readExemplarPoint } from './exemplar.ts';
import { readHistogram } from './histogram.ts';
import { readLabels, readSeriesLabels, text } from './labels.ts';
import { metricTypeOf } from './metric-type.ts';
import { isOutOfRange, readSample } from './sample.ts';

// prometheus.WriteRequest (remote.proto, types.proto), walked straight into columns.

const requestSeries = (1 << 3) | wireLength;
const requestMetadata = (3 << 3) | wireLength;
/** Symbols and series of remote write 2.0, whose message begins where 1.0's ends. */
const secondVersionFields: readonly number[] = [(4 << 3) | wireLength, (5 << 3) | wireLength];
const seriesLabels = (1 << 3) | wireLength;
const seriesSamples = (2 << 3) | wireLength;
const seriesExemplars = (3 << 3) | wireLength;
const seriesHistograms = (4 << 3) | wireLength;

/**
 * Reads a whole request into the draft. What is wrong with single series is left out and said there; throws FirnError
 * `invalid`, `limit` or `unsupported` when the request can't be read.
 */
export function decodeV1(bytes: Uint8Array, draft: WriteDraft): void {
  const cursor: Cursor = { bytes, pos: 0, end: bytes.length };
  let metadata = 0;
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
    if (tag === requestMetadata) {
      if (++metadata > draft.limits.metadataPerRequestMax)
        throw tooMany('metadataPerRequestMax', draft.limits, 'descriptions of metrics');
      attempt(draft, () => readMetadata(cursor, draft));
    } else {
      draft.countSeries();
      readSeries(cursor, draft);
    }
    cursor.pos = end;
    cursor.end = bytes.length;
  }
}

/** Reads one TimeSeries from the cursor to its end. */
function readSeries(cursor: Cursor, draft: WriteDraft): void {
  const { bytes, pos: start, end } = cursor;
  let labelsStart = -1;
  let labelsEnd = -1;
  let together = true;
  // First only where things are: labels may, legally, stand after or between the samples.
  for (let pos = start; pos < end; ) {
    const fieldStart = pos;
    const tag = bytes[fieldStart] ?? 0;
    const length = bytes[fieldStart + 1] ?? 0x80;
    // Nearly every field is a short message with a number below 16.
    if (length < 0x80 && (tag & 0x87) === wireLength && tag > 7 && fieldStart + 2 + length <= end)
      pos = fieldStart + 2 + length;
    else {
      cursor.pos = fieldStart;
      skipField(cursor, readTag(cursor));
      pos = cursor.pos;
    }
    if (tag !== seriesLabels) continue;
    if (labelsStart < 0) labelsStart = fieldStart;
    else if (labelsEnd !== fieldStart) together = false;
    labelsEnd = pos;
  }
  let found: CachedSeries;
  try {
    if (labelsStart < 0) throw invalidSeries('it has no labels');
    found = together
      ? seriesOf(bytes, labelsStart, labelsEnd, draft.cache)
      : scatteredSeries({ bytes, pos: start, end }, draft.cache);
  } catch (error) {
    draft.refuse(error);
    return;
  }
  cursor.pos = together && labelsStart === start ? labelsEnd : start;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === seriesSamples) readSample(cursor, readEnd(cursor), found, draft, 0);
    else if (tag === seriesHistograms) readHistogram(cursor, readEnd(cursor), found, draft, 0);
    else if (tag === seriesExemplars) readExemplar(cursor, readEnd(cursor), found, draft);
    else skipField(cursor, tag);
  }
}

function seriesOf(bytes: Uint8Array, start: number, end: number, cache: SeriesCache): CachedSeries {
  return cache.find(bytes, start, end) ?? cache.add(bytes, start, end, readSeriesLabels(bytes, start, end));
}

/** Label fields with something else between them, put together first. */
function scatteredSeries(cursor: Cursor, cache: SeriesCache): CachedSeries {
  const parts: Uint8Array[] = [];
  while (cursor.pos < cursor.end) {
    const fieldStart = cursor.pos;
    const tag = readTag(cursor);
    skipField(cursor, tag);
    if (tag === seriesLabels) parts.push(cursor.bytes.subarray(fieldStart, cursor.pos));
  }
  const joined = Buffer.concat(parts);
  return seriesOf(joined, 0, joined.length, cache);
}

/** As in Prometheus, a wrong exemplar is no reason to refuse anything: it is left out. */
function readExemplar(cursor: Cursor, end: number, series: CachedSeries, draft: WriteDraft): void {
  const start = cursor.pos;
  const { value, timestampMs } = readExemplarPoint(cursor, end, (tag) => skipField(cursor, tag));
  draft.countRow();
  if (isOutOfRange(timestampMs)) return;
  try {
    draft.exemplars.append(series, timestampMs * 1000, value, readLabels(cursor.bytes, start, end));
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
  }
}

function readMetadata(cursor: Cursor, draft: WriteDraft): void {
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
  if (name === '') throw invalidSeries('metadata without metric_family_name');
  draft.metrics.describe({
    name,
    type: metricTypeOf(type),
    help: texts.get(4) ?? '',
    unit: texts.get(5) ?? '',
  });
}

function attempt(draft: WriteDraft, work: () => void): void {
  try {
    work();
  } catch (error) {
    draft.refuse(error);
  }
}

function secondVersion(): FirnError {
  return new FirnError({
    code: 'unsupported',
    operation: 'decode remote write',
    subject: 'body',
    message:
      'this is remote write 2.0 with the content type of 1.0: send it as application/x-protobuf;proto=io.prometheus.write.v2.Request',
  });
}
