import { messageOf } from '../../base/errors.ts';
import type { LogsBatch } from '../../model/batch.ts';
import { type Label, labelsJson } from '../../model/labels.ts';
import { lineMetadata } from '../logs/metadata.ts';
import type { LogStream, LogStreams } from '../logs/streams.ts';
import { addMetadata, createLogsBuilder, type LogsBuilder } from '../logs-builder.ts';
import { isStorableTime, setDigits } from '../nanoseconds.ts';
import type { Rejected } from '../rejected.ts';
import { addText } from '../text-builder.ts';
import { lineTooLong, metadataTooLarge, outOfRange } from './decode-protobuf.ts';
import { invalid, limit } from './errors.ts';
import type { LokiPushLimits } from './limits.ts';
import { scanJsonPush } from './scan-json.ts';
import { admittedStream, pushedStream } from './streams.ts';

// {"streams":[{"stream":{"app":"press"},"values":[["1700000000000000000","the line",{"user":"7"}]]}]}

/** A whole request; throws FirnError `invalid` or `limit`. */
export function decodeJsonPush(
  body: Uint8Array,
  streams: LogStreams,
  limits: LokiPushLimits,
  rejected: Rejected,
): LogsBatch {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const scanned = scanJsonPush(bytes, streams, limits, jsonParts(limits));
  return scanned ?? parseJsonPush(bytes, streams, limits, rejected);
}

/** Any request, by way of objects and strings. */
export function parseJsonPush(
  body: Buffer,
  streams: LogStreams,
  limits: LokiPushLimits,
  rejected: Rejected,
): LogsBatch {
  const request = parse(body);
  if (!isObject(request) || !Array.isArray(request.streams))
    throw invalid('the body is not {"streams":[...]}: send a list of streams');
  if (request.streams.length > limits.streamsPerRequestMax)
    throw limit('streamsPerRequestMax', `the request has more than ${limits.streamsPerRequestMax} streams`);
  const builder = createLogsBuilder(body.byteLength);
  for (const [index, stream] of (request.streams as unknown[]).entries()) {
    if (!isObject(stream) || !isObject(stream.stream))
      throw invalid(`streams[${index}].stream is not an object of labels`);
    const values = stream.values ?? [];
    if (!Array.isArray(values)) throw invalid(`streams[${index}].values is not a list`);
    if (values.length === 0) continue;
    const labels = labelsOf(stream.stream, `streams[${index}].stream`);
    const key = Buffer.from(labelsJson(labels));
    const found = admittedStream(() => pushedStream(streams, key, 0, key.length, () => labels), rejected);
    if (found === undefined) {
      rejected.count += values.length;
      continue;
    }
    for (const [row, value] of (values as unknown[]).entries())
      readValue(value, `streams[${index}].values[${row}]`, found, builder, limits);
  }
  return builder.finish();
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw invalid(`the body is not valid JSON: ${messageOf(error)}`);
  }
}

/** What is read of a request as JSON, whichever way the rest is read. Both throw FirnError. */
export interface JsonParts {
  labels(stream: unknown): Label[];
  metadata(metadata: unknown): Label[];
}

export const jsonParts = (limits: LokiPushLimits): JsonParts => ({
  labels: (stream) => labelsOf(stream as JsonObject, 'stream'),
  metadata: (metadata) => pairsOf(metadata, 'a line', limits),
});

type JsonObject = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Loki takes numbers as they are written. */
function labelsOf(stream: JsonObject, place: string): Label[] {
  return Object.entries(stream).map(([name, value]): Label => {
    if (typeof value === 'string') return [name, value];
    if (typeof value === 'number') return [name, String(value)];
    throw invalid(`${place}: the value of label ${JSON.stringify(name)} is not a string`);
  });
}

const time = { low: 0, high: 0 };

function readValue(
  value: unknown,
  place: string,
  stream: LogStream,
  builder: LogsBuilder,
  limits: LokiPushLimits,
): void {
  if (!Array.isArray(value)) throw invalid(`${place} is not ["<nanoseconds>", "<line>"]`);
  const [timestamp, line, metadata] = value as readonly unknown[];
  const digits = typeof timestamp === 'number' ? String(timestamp) : timestamp;
  if (typeof digits !== 'string' || !setDigits(time, digits))
    throw invalid(`${place}[0] is not a string of nanoseconds since 1970`);
  if (!isStorableTime(time.high)) throw outOfRange(digits.slice(0, -9));
  if (typeof line !== 'string') throw invalid(`${place}[1], the line, is not a string`);
  // A character has at most three bytes for each of its units: only long lines have to be counted.
  if (line.length * 3 > limits.lineBytesMax && Buffer.byteLength(line) > limits.lineBytesMax)
    throw lineTooLong(Buffer.byteLength(line), limits);
  const pairs = metadata === undefined ? [] : pairsOf(metadata, place, limits);
  const texts = builder.begin(stream.series, time);
  const start = texts.line.end;
  addText(texts.line, line);
  const { bytes, end } = texts.line;
  addMetadata(texts, lineMetadata(pairs, bytes, start, end, stream.level));
}

function pairsOf(metadata: unknown, place: string, limits: LokiPushLimits): Label[] {
  if (!isObject(metadata)) throw invalid(`${place}[2], the structured metadata, is not an object`);
  let bytes = 0;
  const pairs = Object.entries(metadata).map(([name, value]): Label => {
    if (typeof value !== 'string') throw invalid(`${place}[2].${name.slice(0, 100)} is not a string`);
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
    return [name, value];
  });
  if (bytes > limits.metadataBytesMax) throw metadataTooLarge(bytes, limits);
  return pairs;
}
