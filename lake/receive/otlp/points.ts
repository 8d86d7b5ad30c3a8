import type { Label } from '../../model/labels.ts';
import type { HistogramCount } from '../../model/native-histogram.ts';
import { isUnsignedTime, microsecondsOf } from '../nanoseconds.ts';
import { readDouble, readUint64, readVarint32 } from '../protobuf.ts';
import { type Pair, readKeyValue } from './any-value.ts';
import { createPointKey } from './metric-series.ts';
import {
  type BufferCursor,
  bigintOf,
  eachField,
  fixed64Tag,
  isZero,
  messageTag,
  readFixed64,
  readId,
  varintTag,
  within,
} from './wire.ts';

// The data points of all kinds of metrics, read one after another into one place.

export interface PointExemplar {
  readonly timeUs: number | undefined;
  readonly value: number;
  readonly labels: readonly Label[];
}

export interface Buckets {
  offset: number;
  counts: HistogramCount[];
}

/** The point that was read last. What a kind of points does not have is as it is here. */
export const point = {
  start: { low: 0, high: 0 },
  time: { low: 0, high: 0 },
  ...{ value: 0, hasValue: false, count: 0 as HistogramCount, sum: 0, hasSum: false, flags: 0 },
  ...{ scale: 0, zeroCount: 0 as HistogramCount, zeroThreshold: 0 },
  bucketCounts: [] as number[],
  bounds: [] as number[],
  quantiles: [] as (readonly [quantile: number, value: number])[],
  exemplars: [] as PointExemplar[],
  positive: { offset: 0, counts: [] } as Buckets,
  negative: { offset: 0, counts: [] } as Buckets,
  key: createPointKey(),
};

export type PointFields = ReadonlyMap<number, (cursor: BufferCursor) => unknown>;

export function readPoint(cursor: BufferCursor, fields: PointFields): void {
  const { start, time } = point;
  start.low = start.high = time.low = time.high = 0;
  point.value = point.count = point.sum = point.flags = point.scale = point.zeroCount = 0;
  point.zeroThreshold = 0;
  point.hasValue = point.hasSum = false;
  for (const list of [point.bucketCounts, point.bounds, point.quantiles, point.exemplars]) list.length = 0;
  point.positive = { offset: 0, counts: [] };
  point.negative = { offset: 0, counts: [] };
  point.key.clear();
  eachField(cursor, (tag) => {
    const read = fields.get(tag);
    read?.(cursor);
    return read !== undefined;
  });
}

/** The sender says that there is no value: in Prometheus, the series ends here. */
export const hasNoValue = (): boolean => (point.flags & 1) === 1;
export const startUs = (): number => (isZero(point.start) ? 0 : microsecondsOf(point.start));
export const timeUs = (): number => microsecondsOf(point.time);

const times = [
  [fixed64Tag(2), (cursor: BufferCursor) => readFixed64(cursor, point.start)],
  [fixed64Tag(3), (cursor: BufferCursor) => readFixed64(cursor, point.time)],
] as const;
const counted = [
  [fixed64Tag(4), (cursor: BufferCursor) => (point.count = readCount(cursor))],
  [
    fixed64Tag(5),
    (cursor: BufferCursor) => {
      point.sum = readDouble(cursor);
      point.hasSum = true;
    },
  ],
] as const;
const attributes = (cursor: BufferCursor) => point.key.take(cursor);
const flags = (cursor: BufferCursor) => (point.flags = readVarint32(cursor));
const exemplars = (cursor: BufferCursor) => within(cursor, () => point.exemplars.push(readExemplar(cursor)));

export const numberFields: PointFields = new Map<number, (cursor: BufferCursor) => unknown>([
  ...times,
  [fixed64Tag(4), (cursor) => setValue(readDouble(cursor))],
  [messageTag(5), exemplars],
  [fixed64Tag(6), (cursor) => setValue(readSignedFixed64(cursor))],
  [messageTag(7), attributes],
  [varintTag(8), flags],
]);

export const histogramFields: PointFields = new Map<number, (cursor: BufferCursor) => unknown>([
  ...times,
  ...counted,
  [messageTag(6), (cursor) => readPacked(cursor, () => point.bucketCounts.push(Number(readCount(cursor))))],
  [fixed64Tag(6), (cursor) => point.bucketCounts.push(Number(readCount(cursor)))],
  [messageTag(7), (cursor) => readPacked(cursor, () => point.bounds.push(readDouble(cursor)))],
  [fixed64Tag(7), (cursor) => point.bounds.push(readDouble(cursor))],
  [messageTag(8), exemplars],
  [messageTag(9), attributes],
  [varintTag(10), flags],
]);

export const exponentialFields: PointFields = new Map<number, (cursor: BufferCursor) => unknown>([
  [messageTag(1), attributes],
  ...times,
  ...counted,
  [varintTag(6), (cursor) => (point.scale = readSint32(cursor))],
  [fixed64Tag(7), (cursor) => (point.zeroCount = readCount(cursor))],
  [messageTag(8), (cursor) => within(cursor, () => readBuckets(cursor, point.positive))],
  [messageTag(9), (cursor) => within(cursor, () => readBuckets(cursor, point.negative))],
  [varintTag(10), flags],
  [messageTag(11), exemplars],
  [fixed64Tag(14), (cursor) => (point.zeroThreshold = readDouble(cursor))],
]);

export const summaryFields: PointFields = new Map<number, (cursor: BufferCursor) => unknown>([
  ...times,
  ...counted,
  [messageTag(6), (cursor) => within(cursor, () => point.quantiles.push(readQuantile(cursor)))],
  [messageTag(7), attributes],
  [varintTag(8), flags],
]);

function setValue(value: number): void {
  point.value = value;
  point.hasValue = true;
}

const halves = { low: 0, high: 0 };

function readSignedFixed64(cursor: BufferCursor): number {
  readFixed64(cursor, halves);
  return halves.high * 4294967296 + (halves.low >>> 0);
}

/** fixed64 as an unsigned count. */
function readCount(cursor: BufferCursor): HistogramCount {
  readFixed64(cursor, halves);
  const high = halves.high >>> 0;
  return high < 0x200000 ? high * 4294967296 + (halves.low >>> 0) : BigInt.asUintN(64, bigintOf(halves));
}

function readSint32(cursor: BufferCursor): number {
  const value = readVarint32(cursor);
  return (value >>> 1) ^ -(value & 1);
}

function readPacked(cursor: BufferCursor, read: () => void): void {
  within(cursor, () => {
    while (cursor.pos < cursor.end) read();
  });
}

const bucketsOffset = varintTag(1);
const bucketsPacked = messageTag(2);
const bucketsCount = varintTag(2);

function readBuckets(cursor: BufferCursor, buckets: Buckets): void {
  eachField(cursor, (tag) => {
    if (tag === bucketsOffset) buckets.offset = readSint32(cursor);
    else if (tag === bucketsCount) buckets.counts.push(readUint64(cursor));
    else if (tag === bucketsPacked) readPacked(cursor, () => buckets.counts.push(readUint64(cursor)));
    else return false;
    return true;
  });
}

function readQuantile(cursor: BufferCursor): readonly [number, number] {
  const pair: [number, number] = [0, 0];
  eachField(cursor, (tag) => {
    if (tag === fixed64Tag(1)) pair[0] = readDouble(cursor);
    else if (tag === fixed64Tag(2)) pair[1] = readDouble(cursor);
    else return false;
    return true;
  });
  return pair;
}

const exemplarTime = fixed64Tag(2);
const exemplarDouble = fixed64Tag(3);
const exemplarSpan = messageTag(4);
const exemplarTrace = messageTag(5);
const exemplarInt = fixed64Tag(6);
const exemplarAttributes = messageTag(7);
/** OpenMetrics' limit on the labels of one exemplar: the attributes are left out where they make it too long. */
const exemplarCharactersMax = 128;

function readExemplar(cursor: BufferCursor): PointExemplar {
  const time = { low: 0, high: 0 };
  const filtered: Pair[] = [];
  let [value, traceId, spanId] = [0, '', ''];
  eachField(cursor, (tag) => {
    if (tag === exemplarTime) readFixed64(cursor, time);
    else if (tag === exemplarDouble) value = readDouble(cursor);
    else if (tag === exemplarInt) value = readSignedFixed64(cursor);
    else if (tag === exemplarTrace) traceId = readId(cursor);
    else if (tag === exemplarSpan) spanId = readId(cursor);
    else if (tag === exemplarAttributes) return within(cursor, () => filtered.push(readKeyValue(cursor)));
    else return false;
    return true;
  });
  const labels: Label[] = [];
  if (traceId !== '') labels.push(['trace_id', traceId]);
  if (spanId !== '') labels.push(['span_id', spanId]);
  const all = [...labels, ...filtered.map(({ key, value: { text } }): Label => [key, text])];
  const characters = all.reduce((sum, [name, text]) => sum + [...name].length + [...text].length, 0);
  // One without a time that can be is of the time of its point.
  const own = !isZero(time) && isUnsignedTime(time.high);
  return {
    timeUs: own ? microsecondsOf(time) : undefined,
    value,
    labels: characters <= exemplarCharactersMax ? all : labels,
  };
}
