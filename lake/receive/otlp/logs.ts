import { FirnError } from '../../base/errors.ts';
import type { EventsBatch, LogsBatch } from '../../model/batch.ts';
import type { Labels } from '../../model/labels.ts';
import { type EventRow, eventsBatch } from '../events-builder.ts';
import { labelName } from '../label-name.ts';
import { levelOfSeverity } from '../logs/level.ts';
import { levelOfString } from '../logs/line-level.ts';
import type { LogStream, LogStreams } from '../logs/streams.ts';
import { addTextOrNull, createLogsBuilder, type LogsBuilder } from '../logs-builder.ts';
import { type Int64Halves, isUnsignedTime, nanosecondsText } from '../nanoseconds.ts';
import { readFixed32, readTag, readVarint32, skipField } from '../protobuf.ts';
import { noteRejected, type Rejected } from '../rejected.ts';
import {
  addBytes,
  addKnown,
  addNull,
  addText,
  close,
  knownBytes,
  type TextBuilder,
} from '../text-builder.ts';
import { type AnyValue, labelPairs, objectJson, type Pair, readAnyValue, readKeyValue } from './any-value.ts';
import type { OtlpLimits } from './limits.ts';
import { addPart, metadataJson, metadataParts, type Parts, pushPart } from './log-metadata.ts';
import {
  attributesTag,
  bodyTag,
  droppedTag,
  eventNameTag,
  flagsTag,
  observedTag,
  severityNumberTag,
  severityTextTag,
  spanTag,
  timeTag,
  traceTag,
} from './log-record-tags.ts';
import { type PlainMetadata, plainMetadata, putHex } from './plain-metadata.ts';
import { makeRoomForKeys, plain, readPlainRecord, type Slice } from './plain-record.ts';
import { type Resource, readResource, readScope, type Scope, serviceOf } from './resource.ts';
import {
  type BufferCursor,
  bigintOf,
  cursorOf,
  eachMessage,
  enter,
  isZero,
  leave,
  readFixed64,
  readId,
  readName,
} from './wire.ts';

// opentelemetry.proto.logs.v1 as Loki takes it: some attributes of the resource are the labels of the stream, everything
// else is structured metadata of the line. A record with an event name is a row of `events` as well.

/** Attributes of the resource that become labels: Loki's default_resource_attributes_as_index_labels. */
const indexAttributes = new Set([
  ...['service.name', 'service.namespace', 'service.instance.id', 'deployment.environment'],
  ...['deployment.environment.name', 'cloud.region', 'cloud.availability_zone', 'k8s.cluster.name'],
  ...['k8s.namespace.name', 'k8s.pod.name', 'k8s.container.name', 'container.name'],
  ...['k8s.replicaset.name', 'k8s.deployment.name', 'k8s.statefulset.name', 'k8s.daemonset.name'],
  ...['k8s.cronjob.name', 'k8s.job.name'],
]);

export interface LogsContext {
  readonly streams: LogStreams;
  readonly limits: OtlpLimits;
  readonly rejected: Rejected;
  /** For records without a time. */
  readonly nowNs: Int64Halves;
}

/** An ExportLogsServiceRequest. Throws FirnError `invalid` when it is not one; wrong records are rejected alone. */
export function decodeLogs(
  body: Uint8Array,
  context: LogsContext,
): { readonly logs: LogsBatch; readonly events: EventsBatch } {
  const cursor = cursorOf(body);
  makeRoomForKeys();
  const builder = createLogsBuilder(body.byteLength);
  const events: EventRow[] = [];
  eachMessage(cursor, 1, () => {
    const resource = readResource(cursor);
    const stream = streamOf(resource, cursor, context);
    if (stream === undefined) return;
    const others = resource.attributes.filter(({ key }) => !indexAttributes.has(key));
    eachMessage(cursor, 2, () => {
      const base = metadataParts([...others, ...scopePairs(readScope(cursor))]);
      const place: Place = {
        resource,
        stream,
        base,
        plainMetadata: plainMetadata(base),
        builder,
        events,
        context,
      };
      eachMessage(cursor, 2, () => {
        const { pos } = cursor;
        if (readPlainRecord(cursor) && appendPlain(cursor.bytes, place)) return;
        cursor.pos = pos;
        readRecord(cursor, place);
      });
    });
  });
  return { logs: builder.finish(), events: eventsBatch(events) };
}

interface Place {
  readonly resource: Resource;
  readonly stream: LogStream;
  /** What all lines have from their resource and scope. */
  readonly base: Parts;
  readonly plainMetadata: PlainMetadata;
  readonly builder: LogsBuilder;
  readonly events: EventRow[];
  readonly context: LogsContext;
}

const keyPrefix = Buffer.from('L');

function streamOf(resource: Resource, cursor: BufferCursor, context: LogsContext): LogStream | undefined {
  const { streams, rejected } = context;
  const key = Buffer.concat([keyPrefix, resource.bytes]);
  try {
    return streams.of(key, 0, key.length, () => streamLabels(resource));
  } catch (error) {
    // One stream too many, or with too many labels: the others go on.
    if (!(error instanceof FirnError) || error.code !== 'limit') throw error;
    let records = 0;
    eachMessage(cursor, 2, () => eachMessage(cursor, 2, () => void records++));
    noteRejected(rejected, error.message, records);
    return undefined;
  }
}

function streamLabels(resource: Resource): Labels {
  const labels = new Map<string, string>();
  for (const pair of resource.attributes)
    if (indexAttributes.has(pair.key)) for (const [name, value] of labelPairs(pair)) labels.set(name, value);
  return [...labels];
}

const textPair = (key: string, text: string): Pair => ({ key, value: { kind: 'string', text, json: '' } });

function scopePairs({ name, version, attributes, droppedAttributes }: Scope): Pair[] {
  return [
    ...attributes,
    ...(name === '' ? [] : [textPair('scope_name', name)]),
    ...(version === '' ? [] : [textPair('scope_version', version)]),
    ...(droppedAttributes === 0
      ? []
      : [textPair('scope_dropped_attributes_count', String(droppedAttributes))]),
  ];
}

/** One record at a time: what was read last. */
const record = {
  time: { low: 0, high: 0 },
  observed: { low: 0, high: 0 },
  ...{ severityNumber: 0, severityText: '', dropped: 0, flags: 0, traceId: '', spanId: '', eventName: '' },
  body: undefined as AnyValue | undefined,
  attributes: [] as Pair[],
  attributesBytes: 0,
};

function clearRecord(): void {
  record.time.low = record.time.high = record.observed.low = record.observed.high = 0;
  record.severityNumber = record.dropped = record.flags = record.attributesBytes = 0;
  record.severityText = record.traceId = record.spanId = record.eventName = '';
  record.body = undefined;
  record.attributes = [];
}

function visitRecord(cursor: BufferCursor, tag: number): boolean {
  if (tag === timeTag) return readFixed64(cursor, record.time);
  if (tag === observedTag) return readFixed64(cursor, record.observed);
  if (tag === severityNumberTag) record.severityNumber = readVarint32(cursor);
  else if (tag === severityTextTag) record.severityText = readName(cursor);
  else if (tag === bodyTag) {
    const outer = enter(cursor);
    record.body = readAnyValue(cursor);
    leave(cursor, outer);
  } else if (tag === attributesTag) {
    const outer = enter(cursor);
    record.attributesBytes += cursor.end - cursor.pos;
    record.attributes.push(readKeyValue(cursor));
    leave(cursor, outer);
  } else if (tag === droppedTag) record.dropped = readVarint32(cursor);
  else if (tag === flagsTag) record.flags = readFixed32(cursor) >>> 0;
  else if (tag === traceTag) record.traceId = readId(cursor);
  else if (tag === spanTag) record.spanId = readId(cursor);
  else if (tag === eventNameTag) record.eventName = readName(cursor);
  else return false;
  return true;
}

function readRecord(cursor: BufferCursor, place: Place): void {
  const { context, builder, stream } = place;
  clearRecord();
  while (cursor.pos < cursor.end) {
    const tag = readTag(cursor);
    if (!visitRecord(cursor, tag)) skipField(cursor, tag);
  }
  const line = record.body?.text ?? '';
  const time = timeOf(record, context);
  const wrong = whyNotRecord(Buffer.byteLength(line), record.attributesBytes, time, context.limits);
  if (wrong !== undefined) {
    noteRejected(context.rejected, wrong);
    return;
  }
  const { severityText, severityNumber } = record;
  const severity = severityOf(severityText, severityNumber);
  const traceId = record.traceId || null;
  const spanId = record.spanId || null;
  const texts = builder.begin(stream.series, time);
  addText(texts.line, line);
  addText(texts.attributes, metadataOf(line, place.base));
  addTextOrNull(texts.severity, severity);
  addTextOrNull(texts.traceId, traceId);
  addTextOrNull(texts.spanId, spanId);
  if (record.eventName !== '') place.events.push(eventOf(place.resource, time, severity));
}

function whyNotRecord(
  lineBytes: number,
  attributesBytes: number,
  time: Int64Halves,
  { lineBytesMax, attributesBytesMax }: OtlpLimits,
): string | undefined {
  if (!isUnsignedTime(time.high)) return 'a log record whose time is out of range';
  if (attributesBytes > attributesBytesMax)
    return `a log record with more than ${attributesBytesMax} bytes of attributes (attributesBytesMax)`;
  const tooLong = lineBytes > lineBytesMax;
  return tooLong ? `a log record with more than ${lineBytesMax} bytes of text (lineBytesMax)` : undefined;
}

const timeOf = (
  { time, observed }: { readonly time: Int64Halves; readonly observed: Int64Halves },
  { nowNs }: LogsContext,
): Int64Halves => (isZero(time) ? (isZero(observed) ? nowNs : observed) : time);

const severityOf = (text: string, number: number): string | null =>
  text || (number === 0 ? '' : levelOfSeverity(number)) || null;

/** Appends the record in `plain`; false: it has to be read in another way. */
function appendPlain(bytes: Buffer, { context, builder, stream, plainMetadata }: Place): boolean {
  const { body, trace, span, severityText, severityNumber } = plain;
  const time = timeOf(plain, context);
  const lineBytes = body.text === undefined ? body.end - body.start : Buffer.byteLength(body.text);
  const wrong = whyNotRecord(lineBytes, plain.attributesBytes, time, context.limits);
  if (wrong !== undefined) {
    noteRejected(context.rejected, wrong);
    return true;
  }
  if (!plainMetadata.prepare()) return false;
  const texts = builder.begin(stream.series, time);
  if (body.text === undefined) addBytes(texts.line, bytes, body.start, body.end);
  else addText(texts.line, body.text);
  plainMetadata.write(texts.attributes, bytes);
  const severity = severityOf(severityText, severityNumber);
  if (severity === null) addNull(texts.severity);
  else addKnown(texts.severity, knownBytes(severity));
  addId(texts.traceId, bytes, trace);
  addId(texts.spanId, bytes, span);
  return true;
}

function addId(to: TextBuilder, bytes: Buffer, id: Slice): void {
  if (id.start === id.end) addNull(to);
  else {
    putHex(to, bytes, id);
    close(to);
  }
}

/** Structured metadata of the record as canonical JSON. The record's own stands before that of its scope and resource. */
function metadataOf(line: string, base: Parts): string {
  const parts: Parts = { names: [], values: [], level: base.level, levelRank: base.levelRank };
  for (const pair of record.attributes)
    if (pair.value.kind === 'map') for (const [name, value] of labelPairs(pair)) addPart(parts, name, value);
    else addPart(parts, labelName(pair.key), pair.value.text);
  const { severityNumber, severityText, dropped, flags, traceId, spanId, eventName } = record;
  if (!isZero(record.time) && !isZero(record.observed))
    pushPart(parts, 'observed_timestamp', nanosecondsText(record.observed));
  if (severityNumber !== 0) pushPart(parts, 'severity_number', String(severityNumber));
  if (severityText !== '') addPart(parts, 'severity_text', severityText);
  if (dropped !== 0) pushPart(parts, 'dropped_attributes_count', String(dropped));
  if (flags !== 0) pushPart(parts, 'flags', String(flags));
  if (traceId !== '') pushPart(parts, 'trace_id', traceId);
  if (spanId !== '') pushPart(parts, 'span_id', spanId);
  if (eventName !== '') addPart(parts, 'event_name', eventName);
  const level = parts.level ?? (severityNumber === 0 ? levelOfString(line) : levelOfSeverity(severityNumber));
  return metadataJson(parts, base, level);
}

function eventOf(resource: Resource, time: Int64Halves, severity: string | null): EventRow {
  const { body, attributes, eventName, traceId, spanId } = record;
  return {
    timestampNs: bigintOf(time),
    name: eventName,
    body: body === undefined || body.kind === 'none' ? null : body.text,
    attributesJson: objectJson(attributes),
    resourceJson: objectJson(resource.attributes),
    severity,
    source: serviceOf(resource),
    traceId: traceId || null,
    spanId: spanId || null,
  };
}
