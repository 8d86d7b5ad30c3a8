import { FirnError } from '../base/errors.ts';

// The protobuf wire format, walked in place: nothing is copied and no object is made per field.

/** A place in a message. `end` is exclusive; nested messages are read by narrowing it. */
export interface Cursor {
  readonly bytes: Uint8Array;
  pos: number;
  end: number;
}

export const wireVarint = 0;
export const wireFixed64 = 1;
export const wireLength = 2;
export const wireFixed32 = 5;

/** Field number and wire type: `tag >>> 3` and `tag & 7`. */
export function readTag(cursor: Cursor): number {
  const tag = readVarint32(cursor);
  if (tag >>> 3 === 0) throw malformed('a field has the number 0');
  return tag;
}

/** An unsigned varint of at most 32 bits; larger ones (and negative int32) keep their low 32 bits, as protobuf says. */
export function readVarint32(cursor: Cursor): number {
  const { bytes, end } = cursor;
  let value = 0;
  for (let index = 0; index < 10; index++) {
    if (cursor.pos >= end) throw malformed('a number is cut off');
    const byte = bytes[cursor.pos++] ?? 0;
    if (index < 5) value |= (byte & 0x7f) << (7 * index);
    if (byte < 0x80) return value >>> 0;
  }
  throw malformed('a number has more than 10 bytes');
}

/** A signed 64-bit varint (int64, not zigzag) as a number; inexact beyond 2^53, so check the range. */
export function readInt64(cursor: Cursor): number {
  const { bytes, end } = cursor;
  let low = 0;
  let high = 0;
  for (let index = 0; index < 10; index++) {
    if (cursor.pos >= end) throw malformed('a number is cut off');
    const byte = bytes[cursor.pos++] ?? 0;
    const bits = byte & 0x7f;
    if (index < 4) low |= bits << (7 * index);
    else if (index > 4) high |= bits << (7 * index - 32);
    else {
      low |= bits << 28;
      high |= bits >>> 4;
    }
    if (byte < 0x80) return high * 4294967296 + (low >>> 0);
  }
  throw malformed('a number has more than 10 bytes');
}

/** An unsigned 64-bit varint, exactly: a bigint only from 2^53. */
export function readUint64(cursor: Cursor): number | bigint {
  const start = cursor.pos;
  const value = readInt64(cursor);
  if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value;
  let exact = 0n;
  for (let at = start; at < cursor.pos; at++)
    exact |= BigInt((cursor.bytes[at] ?? 0) & 0x7f) << BigInt(7 * (at - start));
  return BigInt.asUintN(64, exact);
}

const scratch = new Float64Array(1);
const scratchBytes = new Uint8Array(scratch.buffer);

/** A fixed64 as a double; of a NaN only that it is one is sure to stay. */
export function readDouble(cursor: Cursor): number {
  const at = cursor.pos;
  skipBytes(cursor, 8);
  scratchBytes.set(cursor.bytes.subarray(at, at + 8));
  return scratch[0] ?? 0;
}

/** Reads the length of a nested message or string and returns where it ends; the cursor stands at its start. */
export function readEnd(cursor: Cursor): number {
  const first = cursor.pos < cursor.end ? (cursor.bytes[cursor.pos] ?? 0) : 0x80;
  if (first < 0x80) cursor.pos++;
  const length = first < 0x80 ? first : readInt64(cursor);
  if (length < 0 || length > cursor.end - cursor.pos) throw malformed('a field is longer than its message');
  return cursor.pos + length;
}

/** Little-endian, as a number of 32 bits with a sign. */
export function readFixed32(cursor: Cursor): number {
  const { bytes, pos } = cursor;
  skipBytes(cursor, 4);
  return (
    (bytes[pos] ?? 0) |
    ((bytes[pos + 1] ?? 0) << 8) |
    ((bytes[pos + 2] ?? 0) << 16) |
    ((bytes[pos + 3] ?? 0) << 24)
  );
}

/** Steps over a field that is not of interest. */
export function skipField(cursor: Cursor, tag: number): void {
  switch (tag & 7) {
    case wireVarint:
      readInt64(cursor);
      return;
    case wireFixed64:
      skipBytes(cursor, 8);
      return;
    case wireLength:
      cursor.pos = readEnd(cursor);
      return;
    case wireFixed32:
      skipBytes(cursor, 4);
      return;
    default:
      throw malformed(`wire type ${tag & 7} is not known`);
  }
}

export function skipBytes(cursor: Cursor, count: number): void {
  if (cursor.end - cursor.pos < count) throw malformed('a fixed-size value is cut off');
  cursor.pos += count;
}

function malformed(why: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'decode protobuf',
    subject: 'body',
    message: `the body is not a valid protobuf message: ${why}`,
  });
}
