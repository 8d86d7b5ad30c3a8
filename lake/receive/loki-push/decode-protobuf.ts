import type { LogsBatch } from '../../model/batch.ts';
import type { Label } from '../../model/labels.ts';
import { lineMetadata } from '../logs/metadata.ts';
import type { LogStream, LogStreams } from '../logs/streams.ts';
import { addMetadata, createLogsBuilder, type LogsBuilder } from '../logs-builder.ts';
import { isStorableTime, setSeconds } from '../nanoseconds.ts';
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
import type { Rejected } from '../rejected.ts';
import { addBytes } from '../text-builder.ts';
import { invalid, limit } from './errors.ts';
import type { LokiPushLimits } from './limits.ts';
import { parseLabels } from './parse-labels.ts';
import { admittedStream, pushedStream } from './streams.ts';

// logproto.PushRequest (grafana/loki pkg/push/push.proto), walked straight into columns.

const requestStream = (1 << 3) | wireLength;
const streamLabels = (1 << 3) | wireLength;
const streamEntry = (2 << 3) | wireLength;
const entryTime = (1 << 3) | wireLength;
const entryLine = (2 << 3) | wireLength;
const entryMetadata = (3 << 3) | wireLength;
const timeSeconds = (1 << 3) | wireVarint;
const timeNanoseconds = (2 << 3) | wireVarint;
const pairName = (1 << 3) | wireLength;
const pairValue = (2 << 3) | wireLength;

/** 2^34 seconds: setSeconds is exact up to there. */
const secondsMax = 17_179_869_184;

/** A whole request; throws FirnError `invalid` or `limit`. */
export function decodePushRequest(
  body: Uint8Array,
  streams: LogStreams,
  limits: LokiPushLimits,
  rejected: Rejected,
): LogsBatch {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const cursor = { bytes, pos: 0, end: bytes.length };
  const builder = createLogsBuilder(bytes.length);
  let count = 0;
  while (cursor.pos < bytes.length) {
    const tag = readTag(cursor);
    if (tag !== requestStream) {
      skipField(cursor, tag);
      continue;
    }
    if (++count > limits.streamsPerRequestMax)
      throw limit('streamsPerRequestMax', `the request has more than ${limits.streamsPerRequestMax} streams`);
    const end = readEnd(cursor);
    cursor.end = end;
    readStream(cursor, builder, streams, limits, rejected);
    cursor.pos = end;
    cursor.end = bytes.length;
  }
  return builder.finish();
}

interface BufferCursor extends Cursor {
  readonly bytes: Buffer;
}

function readStream(
  cursor: BufferCursor,
  builder: LogsBuilder,
  streams: LogStreams,
  limits: LokiPushLimits,
  rejected: Rejected,
): void {
  const { bytes, pos: start, end } = cursor;
  let [labelsStart, labelsEnd] = [0, 0];
  let entries = 0;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === streamLabels) {
      labelsEnd = readEnd(cursor);
      labelsStart = cursor.pos;
      cursor.pos = labelsEnd;
    } else {
      entries += Number(tag === streamEntry);
      skipField(cursor, tag);
    }
  }
  if (entries === 0) return;
  const labels = () => parseLabels(bytes.toString('utf8', labelsStart, labelsEnd));
  const stream = admittedStream(() => pushedStream(streams, bytes, labelsStart, labelsEnd, labels), rejected);
  if (stream === undefined) {
    rejected.count += entries;
    return;
  }
  cursor.pos = start;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === streamEntry) readEntry(cursor, readEnd(cursor), stream, builder, limits);
    else skipField(cursor, tag);
  }
}

const time = { low: 0, high: 0 };

function readEntry(
  cursor: BufferCursor,
  end: number,
  stream: LogStream,
  builder: LogsBuilder,
  limits: LokiPushLimits,
): void {
  const { bytes, end: outer } = cursor;
  cursor.end = end;
  let lineStart = 0;
  let lineEnd = 0;
  let pairs: Label[] | undefined;
  let pairBytes = 0;
  time.low = 0;
  time.high = 0;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === entryTime) readTime(cursor, readEnd(cursor));
    else if (tag === entryLine) {
      lineEnd = readEnd(cursor);
      lineStart = cursor.pos;
      if (lineEnd - lineStart > limits.lineBytesMax) throw lineTooLong(lineEnd - lineStart, limits);
      cursor.pos = lineEnd;
    } else if (tag === entryMetadata) {
      const pairEnd = readEnd(cursor);
      pairBytes += pairEnd - cursor.pos;
      if (pairBytes > limits.metadataBytesMax) throw metadataTooLarge(pairBytes, limits);
      pairs ??= [];
      pairs.push(readPair(cursor, pairEnd));
    } else skipField(cursor, tag);
  }
  cursor.end = outer;
  const metadata = lineMetadata(pairs ?? [], bytes, lineStart, lineEnd, stream.level);
  const texts = builder.begin(stream.series, time);
  addBytes(texts.line, bytes, lineStart, lineEnd);
  addMetadata(texts, metadata);
}

/** google.protobuf.Timestamp. */
function readTime(cursor: Cursor, end: number): void {
  const outer = cursor.end;
  cursor.end = end;
  let seconds = 0;
  let nanoseconds = 0;
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === timeSeconds) seconds = readInt64(cursor);
    else if (tag === timeNanoseconds) nanoseconds = readVarint32(cursor);
    else skipField(cursor, tag);
  }
  cursor.end = outer;
  if (!(seconds < secondsMax && seconds > -secondsMax)) throw outOfRange(String(seconds));
  if (nanoseconds > 999_999_999) throw invalid('the nanoseconds of a timestamp are not 0 to 999999999');
  setSeconds(time, seconds, nanoseconds);
  if (!isStorableTime(time.high)) throw outOfRange(String(seconds));
}

function readPair(cursor: BufferCursor, end: number): Label {
  const outer = cursor.end;
  cursor.end = end;
  let name = '';
  let value = '';
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag !== pairName && tag !== pairValue) {
      skipField(cursor, tag);
      continue;
    }
    const fieldEnd = readEnd(cursor);
    const text = cursor.bytes.toString('utf8', cursor.pos, fieldEnd);
    cursor.pos = fieldEnd;
    if (tag === pairName) name = text;
    else value = text;
  }
  cursor.end = outer;
  return [name, value];
}

export const outOfRange = (seconds: string) =>
  invalid(`the timestamp ${seconds} s is out of range: times from 1698 to 2242 are accepted`);

export const lineTooLong = (bytes: number, { lineBytesMax }: LokiPushLimits) =>
  limit('lineBytesMax', `Max entry size '${lineBytesMax}' bytes exceeded by an entry of '${bytes}' bytes`);

export const metadataTooLarge = (bytes: number, { metadataBytesMax }: LokiPushLimits) =>
  limit(
    'metadataBytesMax',
    `a line has structured metadata too large: '${bytes}' bytes, limit: '${metadataBytesMax}' bytes`,
  );
