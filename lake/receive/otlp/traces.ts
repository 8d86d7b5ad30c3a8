import type { SpansBatch } from '../../model/batch.ts';
import { isUnsignedTime } from '../nanoseconds.ts';
import { readVarint32 } from '../protobuf.ts';
import { noteRejected, type Rejected } from '../rejected.ts';
import { type SpanRow, spansBatch } from '../spans-builder.ts';
import { objectJson, type Pair, readKeyValue } from './any-value.ts';
import { readResource, readScope, scopeJson, serviceOf } from './resource.ts';
import {
  type BufferCursor,
  bigintOf,
  cursorOf,
  eachField,
  eachMessage,
  fixed64Tag,
  messageTag,
  readFixed64,
  readId,
  readText,
  varintTag,
  within,
} from './wire.ts';

// opentelemetry.proto.trace.v1, one row a span.

const kinds = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const statuses = ['unset', 'ok', 'error'];

/** An ExportTraceServiceRequest. Throws FirnError `invalid` when it is not one; spans that are wrong are rejected alone. */
export function decodeTraces(body: Uint8Array, rejected: Rejected): SpansBatch {
  const cursor = cursorOf(body);
  const rows: SpanRow[] = [];
  eachMessage(cursor, 1, () => {
    const resource = readResource(cursor);
    const ofResource = { service: serviceOf(resource), resourceJson: objectJson(resource.attributes) };
    eachMessage(cursor, 2, () => {
      const scope = scopeJson(readScope(cursor));
      eachMessage(cursor, 2, () => {
        const span = readSpan(cursor);
        const wrong = whyNotSpan(span);
        if (wrong !== undefined) noteRejected(rejected, wrong);
        else rows.push(rowOf(span, { ...ofResource, scopeJson: scope }));
      });
    });
  });
  return spansBatch(rows);
}

type Span = ReturnType<typeof newSpan>;

const newSpan = () => ({
  ...{ traceId: '', spanId: '', parentSpanId: '', traceState: '', name: '', kind: 0 },
  start: { low: 0, high: 0 },
  end: { low: 0, high: 0 },
  ...{ attributes: [] as Pair[], events: [] as string[], links: [] as string[] },
  ...{ status: 0, statusMessage: '' },
});

function readSpan(cursor: BufferCursor): Span {
  const span = newSpan();
  eachField(cursor, (tag) => {
    const read = spanFields.get(tag);
    read?.(span, cursor);
    return read !== undefined;
  });
  return span;
}

const spanFields = new Map<number, (span: Span, cursor: BufferCursor) => unknown>([
  [messageTag(1), (span, cursor) => (span.traceId = readId(cursor))],
  [messageTag(2), (span, cursor) => (span.spanId = readId(cursor))],
  [messageTag(3), (span, cursor) => (span.traceState = readText(cursor))],
  [messageTag(4), (span, cursor) => (span.parentSpanId = readId(cursor))],
  [messageTag(5), (span, cursor) => (span.name = readText(cursor))],
  [varintTag(6), (span, cursor) => (span.kind = readVarint32(cursor))],
  [fixed64Tag(7), (span, cursor) => readFixed64(cursor, span.start)],
  [fixed64Tag(8), (span, cursor) => readFixed64(cursor, span.end)],
  [messageTag(9), (span, cursor) => within(cursor, () => span.attributes.push(readKeyValue(cursor)))],
  [messageTag(11), (span, cursor) => within(cursor, () => span.events.push(readEvent(cursor)))],
  [messageTag(13), (span, cursor) => within(cursor, () => span.links.push(readLink(cursor)))],
  [messageTag(15), (span, cursor) => within(cursor, () => readStatus(cursor, span))],
]);

const statusMessage = messageTag(2);
const statusCode = varintTag(3);

function readStatus(cursor: BufferCursor, span: Span): void {
  eachField(cursor, (tag) => {
    if (tag === statusMessage) span.statusMessage = readText(cursor);
    else if (tag === statusCode) span.status = readVarint32(cursor);
    else return false;
    return true;
  });
}

const eventTime = fixed64Tag(1);
const eventName = messageTag(2);
const eventAttributes = messageTag(3);

/** Span.Event as JSON. Its time is a text: numbers of JSON do not hold nanoseconds. */
function readEvent(cursor: BufferCursor): string {
  const time = { low: 0, high: 0 };
  const attributes: Pair[] = [];
  let name = '';
  eachField(cursor, (tag) => {
    if (tag === eventTime) return readFixed64(cursor, time);
    if (tag === eventAttributes) return within(cursor, () => attributes.push(readKeyValue(cursor)));
    if (tag !== eventName) return false;
    name = readText(cursor);
    return true;
  });
  const time_ns = String(BigInt.asUintN(64, bigintOf(time)));
  return `{"name":${JSON.stringify(name)},"timestamp_ns":"${time_ns}","attributes":${objectJson(attributes)}}`;
}

const linkTrace = messageTag(1);
const linkSpan = messageTag(2);
const linkState = messageTag(3);
const linkAttributes = messageTag(4);

function readLink(cursor: BufferCursor): string {
  const link = { trace_id: '', span_id: '', trace_state: '' };
  const attributes: Pair[] = [];
  eachField(cursor, (tag) => {
    if (tag === linkTrace) link.trace_id = readId(cursor);
    else if (tag === linkSpan) link.span_id = readId(cursor);
    else if (tag === linkState) link.trace_state = readText(cursor);
    else if (tag === linkAttributes) return within(cursor, () => attributes.push(readKeyValue(cursor)));
    else return false;
    return true;
  });
  return `${JSON.stringify(link).slice(0, -1)},"attributes":${objectJson(attributes)}}`;
}

function whyNotSpan({ traceId, spanId, start, end }: Span): string | undefined {
  if (traceId.length !== 32) return 'a span without a trace id of 16 bytes that are not all zero';
  if (spanId.length !== 16) return 'a span without a span id of 8 bytes that are not all zero';
  if (!isUnsignedTime(start.high) || !isUnsignedTime(end.high)) return 'a span whose time is out of range';
  return undefined;
}

type OfParents = Pick<SpanRow, 'service' | 'resourceJson' | 'scopeJson'>;

function rowOf(span: Span, parents: OfParents): SpanRow {
  const startNs = bigintOf(span.start);
  const endNs = bigintOf(span.end);
  const orNull = (text: string): string | null => (text === '' ? null : text);
  const array = (items: readonly string[]): string | null =>
    items.length === 0 ? null : `[${items.join(',')}]`;
  return {
    ...parents,
    startNs,
    // Clocks that are set back within a span make an end before its start.
    durationNs: endNs > startNs ? endNs - startNs : 0n,
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: orNull(span.parentSpanId),
    name: span.name,
    kind: kinds[span.kind] ?? 'unspecified',
    status: statuses[span.status] ?? 'unset',
    statusMessage: orNull(span.statusMessage),
    traceState: orNull(span.traceState),
    attributesJson: objectJson(span.attributes),
    eventsJson: array(span.events),
    linksJson: array(span.links),
  };
}
