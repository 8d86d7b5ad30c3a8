import type { FirnError } from '../../base/errors.ts';
import {
  exactCount,
  type HistogramBuckets,
  type HistogramCount,
  type NativeHistogram,
  resetHintOf,
  whyNotHistogram,
} from '../../model/native-histogram.ts';
import {
  type Cursor,
  readDouble,
  readEnd,
  readInt64,
  readTag,
  readUint64,
  readVarint32,
  skipField,
  wireFixed64,
  wireLength,
  wireVarint,
} from '../protobuf.ts';
import type { CachedSeries } from '../series-cache.ts';
import { invalidSeries, type WriteDraft } from './draft.ts';
import { wrongTime } from './sample.ts';

// The message Histogram, which is the same in both versions. Its buckets come as differences where counts are whole
// numbers; they are stored as counts.

interface Side {
  readonly spans: (readonly [number, number])[];
  readonly deltas: HistogramCount[];
  readonly counts: number[];
}

const newSide = (): Side => ({ spans: [], deltas: [], counts: [] });

/** Reads one Histogram from the cursor to `end` into the draft, or refuses it. `startMs`: of its series. */
export function readHistogram(
  cursor: Cursor,
  end: number,
  series: CachedSeries,
  draft: WriteDraft,
  startMs: number,
): void {
  const outer = cursor.end;
  cursor.end = end;
  const message = readMessage(cursor);
  cursor.end = outer;
  draft.countRow();
  const { timestampMs } = message;
  const since = message.startMs === 0 ? startMs : message.startMs;
  const histogram = histogramOf(message);
  const wrong = wrongTime(timestampMs, since) ?? wrongHistogram(histogram, message.mixed);
  if (wrong !== undefined) {
    draft.refuse(wrong);
    return;
  }
  draft.metrics.appendHistogram(series, timestampMs * 1000, histogram);
  if (since !== 0) draft.metrics.countsSince(since * 1000);
  draft.histograms++;
}

function wrongHistogram(histogram: NativeHistogram, mixed: boolean): FirnError | undefined {
  // Of one that only says that the series ended there is nothing to check.
  if (histogram.stale) return undefined;
  const why = mixed ? 'it has whole numbers and others' : whyNotHistogram(histogram);
  return why === undefined ? undefined : invalidSeries(`a histogram is not valid: ${why}`);
}

type Message = ReturnType<typeof readMessage>;

function readMessage(cursor: Cursor) {
  const message = {
    ...{ count: 0 as HistogramCount, sum: 0, stale: false, schema: 0, zeroThreshold: 0 },
    ...{ zeroCount: 0 as HistogramCount, negative: newSide(), positive: newSide(), resetHint: 0 },
    ...{ timestampMs: 0, startMs: 0, customValues: [] as number[], integers: false, floats: false },
    mixed: false,
  };
  while (cursor.pos < cursor.end) readField(cursor, readTag(cursor), message);
  message.mixed = message.integers && message.floats;
  return message;
}

function readField(cursor: Cursor, tag: number, message: Omit<Message, 'mixed'>): void {
  switch (tag) {
    case (1 << 3) | wireVarint:
      message.count = readUint64(cursor);
      message.integers = true;
      return;
    case (2 << 3) | wireFixed64:
      message.count = readDouble(cursor);
      message.floats = true;
      return;
    case (3 << 3) | wireFixed64:
      message.stale = isStale(cursor);
      message.sum = readDouble(cursor);
      return;
    case (4 << 3) | wireVarint:
      message.schema = zigzag32(readVarint32(cursor));
      return;
    case (5 << 3) | wireFixed64:
      message.zeroThreshold = readDouble(cursor);
      return;
    case (6 << 3) | wireVarint:
      message.zeroCount = readUint64(cursor);
      message.integers = true;
      return;
    case (7 << 3) | wireFixed64:
      message.zeroCount = readDouble(cursor);
      message.floats = true;
      return;
    case (14 << 3) | wireVarint:
      message.resetHint = readVarint32(cursor);
      return;
    case (15 << 3) | wireVarint:
      message.timestampMs = readInt64(cursor);
      return;
    case (17 << 3) | wireVarint:
      message.startMs = readInt64(cursor);
      return;
    default:
      readRepeated(cursor, tag, message);
  }
}

function readRepeated(cursor: Cursor, tag: number, message: Omit<Message, 'mixed'>): void {
  const field = tag >>> 3;
  const side = field >= 8 && field <= 10 ? message.negative : message.positive;
  switch (field) {
    case 8:
    case 11:
      if ((tag & 7) === wireLength) side.spans.push(readSpan(cursor));
      else skipField(cursor, tag);
      return;
    case 9:
    case 12:
      readPacked(cursor, tag, wireVarint, () => void side.deltas.push(zigzag64(readUint64(cursor))));
      message.integers ||= side.deltas.length > 0;
      return;
    case 10:
    case 13:
      readPacked(cursor, tag, wireFixed64, () => void side.counts.push(readDouble(cursor)));
      message.floats ||= side.counts.length > 0;
      return;
    case 16:
      readPacked(cursor, tag, wireFixed64, () => void message.customValues.push(readDouble(cursor)));
      return;
    default:
      skipField(cursor, tag);
  }
}

/** A repeated number, which senders may pack or not. */
function readPacked(cursor: Cursor, tag: number, wire: number, readOne: () => void): void {
  if ((tag & 7) === wire) {
    readOne();
    return;
  }
  if ((tag & 7) !== wireLength) {
    skipField(cursor, tag);
    return;
  }
  const outer = cursor.end;
  cursor.end = readEnd(cursor);
  while (cursor.pos < cursor.end) readOne();
  cursor.end = outer;
}

function readSpan(cursor: Cursor): readonly [number, number] {
  const outer = cursor.end;
  cursor.end = readEnd(cursor);
  let offset = 0;
  let length = 0;
  while (cursor.pos < cursor.end) {
    const tag = readTag(cursor);
    if (tag === ((1 << 3) | wireVarint)) offset = zigzag32(readVarint32(cursor));
    else if (tag === ((2 << 3) | wireVarint)) length = readVarint32(cursor);
    else skipField(cursor, tag);
  }
  cursor.end = outer;
  return [offset, length];
}

function histogramOf(message: Message): NativeHistogram {
  const { count, sum, stale, schema, zeroThreshold, zeroCount, customValues, floats } = message;
  return {
    ...{ schema, integer: !floats, count, sum, stale, zeroThreshold, zeroCount },
    ...{ positive: bucketsOf(message.positive), negative: bucketsOf(message.negative) },
    ...{ customValues, resetHint: resetHintOf(message.resetHint) },
  };
}

function bucketsOf({ spans, deltas, counts }: Side): HistogramBuckets {
  if (deltas.length === 0) return { spans, counts };
  let running: HistogramCount = 0;
  const absolute: HistogramCount[] = [];
  for (const delta of deltas) {
    running = sumOf(running, delta);
    absolute.push(running);
  }
  return { spans, counts: absolute };
}

function sumOf(a: HistogramCount, b: HistogramCount): HistogramCount {
  const sum = typeof a === 'number' && typeof b === 'number' ? a + b : Number.NaN;
  if (Number.isSafeInteger(sum)) return sum;
  const exact = BigInt(a) + BigInt(b);
  return exact < 0n ? Number(exact) : exactCount(exact);
}

const zigzag32 = (value: number): number => (value >>> 1) ^ -(value & 1);

function zigzag64(value: HistogramCount): HistogramCount {
  if (typeof value === 'number') return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  return (value & 1n) === 0n ? exactCount(value >> 1n) : -((value + 1n) >> 1n);
}

const staleBytes = Uint8Array.of(2, 0, 0, 0, 0, 0, 0xf0, 0x7f);

/** Whether the double at the cursor is Prometheus' staleness marker. */
function isStale({ bytes, pos, end }: Cursor): boolean {
  if (end - pos < 8) return false;
  for (let index = 0; index < 8; index++) if (bytes[pos + index] !== staleBytes[index]) return false;
  return true;
}
