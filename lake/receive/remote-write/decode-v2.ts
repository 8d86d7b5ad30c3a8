import type { Label, Labels } from '../../model/labels.ts';
import {
  type Cursor,
  readEnd,
  readInt64,
  readTag,
  readVarint32,
  skipField,
  wireLength,
  wireVarint,
} from '../protobuf.ts';
import type { CachedSeries } from '../series-cache.ts';
import { invalidSeries, tooMany, type WriteDraft } from './draft.ts';
import { readExemplarPoint } from './exemplar.ts';
import { readHistogram } from './histogram.ts';
import { readSeriesLabels, text } from './labels.ts';
import { metricTypeOf } from './metric-type.ts';
import { isOutOfRange, readSample } from './sample.ts';
import { createSymbols, type Symbols } from './symbols.ts';

// io.prometheus.write.v2.Request (types_v2.proto), walked straight into columns. A series is looked up by the bytes that
// its labels would have in 1.0, put together from the symbols: so both versions share what the cache knows.

const requestSymbols = (4 << 3) | wireLength;
const requestSeries = (5 << 3) | wireLength;
const labelsRefs = 1;
const seriesSamples = (2 << 3) | wireLength;
const seriesHistograms = (3 << 3) | wireLength;
const seriesExemplars = (4 << 3) | wireLength;
const seriesMetadata = (5 << 3) | wireLength;
/** Reserved now; senders before 2.0 was final say here since when the series counts. */
const seriesCreated = (6 << 3) | wireVarint;
const firstVersionSeries = (1 << 3) | wireLength;

interface Reading {
  readonly draft: WriteDraft;
  readonly symbols: Symbols;
  /** Names (by reference) whose metadata was looked at: a request says it again with each series. */
  readonly described: Set<number>;
  /** Of the series that is being read. */
  readonly refs: number[];
}

/** As decodeV1. Symbols may stand anywhere, so they are found first. */
export function decodeV2(bytes: Uint8Array, draft: WriteDraft): void {
  const symbols = createSymbols(bytes, draft.limits.decodedBytesMax);
  const cursor: Cursor = { bytes, pos: 0, end: bytes.length };
  while (cursor.pos < bytes.length) {
    const tag = readTag(cursor);
    if (tag === requestSymbols) {
      const end = readEnd(cursor);
      if (symbols.add(cursor.pos, end) > draft.limits.symbolsPerRequestMax)
        throw tooMany('symbolsPerRequestMax', draft.limits, 'symbols');
      cursor.pos = end;
    } else skipField(cursor, tag);
  }
  const reading: Reading = { draft, symbols, described: new Set(), refs: [] };
  cursor.pos = 0;
  while (cursor.pos < bytes.length) {
    const tag = readTag(cursor);
    if (tag !== requestSeries) {
      if (tag === firstVersionSeries)
        draft.refuse(invalidSeries('this is a series of remote write 1.0 with the content type of 2.0'));
      skipField(cursor, tag);
      continue;
    }
    const end = readEnd(cursor);
    cursor.end = end;
    draft.countSeries();
    readSeries(cursor, reading);
    cursor.pos = end;
    cursor.end = bytes.length;
  }
}

/** Reads one TimeSeries from the cursor to its end. */
function readSeries(cursor: Cursor, reading: Reading): void {
  const { draft, symbols, refs } = reading;
  const { pos: start, end } = cursor;
  refs.length = 0;
  let metadataAt = -1;
  let createdMs = 0;
  // What there is but samples first, in whatever order it comes.
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag >>> 3 === labelsRefs) {
      readRefs(cursor, tag, refs);
      continue;
    }
    if (tag === seriesMetadata) metadataAt = cursor.pos;
    if (tag === seriesCreated) createdMs = readInt64(cursor);
    else skipField(cursor, tag);
  }
  let found: CachedSeries;
  try {
    const key = symbols.labelBytes(refs);
    found =
      draft.cache.find(key, 0, key.length) ??
      draft.cache.add(key, 0, key.length, readSeriesLabels(key, 0, key.length));
    if (metadataAt >= 0) {
      cursor.pos = metadataAt;
      readMetadata(cursor, readEnd(cursor), symbols.nameRef(refs), reading);
    }
  } catch (error) {
    draft.refuse(error);
    return;
  }
  cursor.pos = start;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === seriesSamples) readSample(cursor, readEnd(cursor), found, draft, createdMs);
    else if (tag === seriesHistograms) readHistogram(cursor, readEnd(cursor), found, draft, createdMs);
    else if (tag === seriesExemplars) readExemplar(cursor, readEnd(cursor), found, reading);
    else skipField(cursor, tag);
  }
}

/** References to symbols, packed or not. */
function readRefs(cursor: Cursor, tag: number, refs: number[]): void {
  if ((tag & 7) === wireVarint) refs.push(readVarint32(cursor));
  else if ((tag & 7) === wireLength) {
    const outer = cursor.end;
    cursor.end = readEnd(cursor);
    while (cursor.pos < cursor.end) refs.push(readVarint32(cursor));
    cursor.end = outer;
  } else skipField(cursor, tag);
}

function readExemplar(cursor: Cursor, end: number, series: CachedSeries, reading: Reading): void {
  const { draft, symbols } = reading;
  const refs: number[] = [];
  const { value, timestampMs } = readExemplarPoint(cursor, end, (tag) => {
    if (tag >>> 3 === labelsRefs) readRefs(cursor, tag, refs);
    else skipField(cursor, tag);
  });
  draft.countRow();
  try {
    if (isOutOfRange(timestampMs)) throw invalidSeries(`an exemplar's timestamp is out of range`);
    draft.exemplars.append(series, timestampMs * 1000, value, exemplarLabels(refs, symbols));
  } catch (error) {
    draft.refuse(error);
  }
}

function exemplarLabels(refs: readonly number[], symbols: Symbols): Labels {
  symbols.check(refs);
  const labels: Label[] = [];
  for (let index = 0; index < refs.length; index += 2)
    labels.push([
      text(symbols.bytesOf(refs[index] ?? 0), 'name of an exemplar label'),
      text(symbols.bytesOf(refs[index + 1] ?? 0), 'value of an exemplar label'),
    ]);
  return labels;
}

function readMetadata(cursor: Cursor, end: number, nameRef: number, reading: Reading): void {
  const { draft, symbols, described } = reading;
  if (described.has(nameRef)) return;
  described.add(nameRef);
  const outer = cursor.end;
  cursor.end = end;
  let type = 0;
  let help = 0;
  let unit = 0;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === ((1 << 3) | wireVarint)) type = readVarint32(cursor);
    else if (tag === ((3 << 3) | wireVarint)) help = readVarint32(cursor);
    else if (tag === ((4 << 3) | wireVarint)) unit = readVarint32(cursor);
    else skipField(cursor, tag);
  }
  cursor.end = outer;
  symbols.checkOne(help, 'help');
  symbols.checkOne(unit, 'unit');
  if (type === 0 && help === 0 && unit === 0) return;
  const word = metricTypeOf(type);
  draft.metrics.describe({
    name: familyName(text(symbols.bytesOf(nameRef), 'metric name'), word),
    type: word,
    help: text(symbols.bytesOf(help), 'help'),
    unit: text(symbols.bytesOf(unit), 'unit'),
  });
}

/** Metadata is of metric families; a histogram in classic form has a series for each of its parts. */
const familyName = (name: string, type: string): string =>
  type === 'histogram' || type === 'gaugehistogram' || type === 'summary'
    ? name.replace(/_(?:bucket|sum|count)$/, '')
    : name;
