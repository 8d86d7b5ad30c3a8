import type { FirnError } from '../../base/errors.ts';
import {
  type Cursor,
  readInt64,
  readTag,
  skipBytes,
  skipField,
  wireFixed64,
  wireVarint,
} from '../protobuf.ts';
import type { CachedSeries } from '../series-cache.ts';
import { invalidSeries, type WriteDraft } from './draft.ts';

// The message Sample, which is the same in both versions but for the start timestamp.

const valueField = (1 << 3) | wireFixed64;
const timestampField = (2 << 3) | wireVarint;
const startField = (3 << 3) | wireVarint;

/** 1684 until 2255: a little less than what tables hold, microseconds that are safe integers. */
const timestampMsMax = 9_000_000_000_000;

/** Reads one Sample from the cursor to `end` into the draft. `startMs` is its series', 0 where there is none. */
export function readSample(
  cursor: Cursor,
  end: number,
  series: CachedSeries,
  draft: WriteDraft,
  startMs: number,
): void {
  const { bytes } = cursor;
  const outer = cursor.end;
  cursor.end = end;
  let low = 0;
  let high = 0;
  let timestampMs = 0;
  let since = startMs;
  // As senders write it: the value, then the time.
  if (bytes[cursor.pos] === valueField && bytes[cursor.pos + 9] === timestampField && cursor.pos + 10 < end) {
    low = readUint32(bytes, cursor.pos + 1);
    high = readUint32(bytes, cursor.pos + 5);
    cursor.pos += 10;
    timestampMs = readInt64(cursor);
  }
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag === valueField) {
      const at = cursor.pos;
      skipBytes(cursor, 8);
      low = readUint32(bytes, at);
      high = readUint32(bytes, at + 4);
    } else if (tag === timestampField) timestampMs = readInt64(cursor);
    else if (tag === startField) since = readInt64(cursor);
    else skipField(cursor, tag);
  }
  cursor.end = outer;
  draft.countRow();
  const wrong = wrongTime(timestampMs, since);
  if (wrong !== undefined) {
    draft.refuse(wrong);
    return;
  }
  draft.metrics.appendBits(series, timestampMs * 1000, low, high);
  if (since !== 0) draft.metrics.countsSince(since * 1000);
}

export const isOutOfRange = (ms: number): boolean => ms > timestampMsMax || ms < -timestampMsMax;

/** Why a sample with these times can't be stored. */
export function wrongTime(timestampMs: number, startMs: number): FirnError | undefined {
  if (isOutOfRange(timestampMs)) return invalidSeries(`timestamp ${timestampMs} ms is out of range`);
  return isOutOfRange(startMs) ? invalidSeries(`start timestamp ${startMs} ms is out of range`) : undefined;
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}
