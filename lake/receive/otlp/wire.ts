import { createByteTable } from '../../base/byte-table.ts';
import { FirnError } from '../../base/errors.ts';
import type { Int64Halves } from '../nanoseconds.ts';
import {
  type Cursor,
  readEnd,
  readFixed32,
  readTag,
  skipField,
  wireFixed32,
  wireFixed64,
  wireLength,
  wireVarint,
} from '../protobuf.ts';

// Messages of OTLP are walked where they are. Tags are written as in the .proto files: number and wire type.

export interface BufferCursor extends Cursor {
  readonly bytes: Buffer;
}

export const messageTag = (field: number): number => (field << 3) | wireLength;
export const varintTag = (field: number): number => (field << 3) | wireVarint;
export const fixed64Tag = (field: number): number => (field << 3) | wireFixed64;
export const fixed32Tag = (field: number): number => (field << 3) | wireFixed32;

export function cursorOf(bytes: Uint8Array): BufferCursor {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { bytes: buffer, pos: 0, end: buffer.length };
}

/** Calls `visit` at each field; fields that it does not read (false) are skipped. The cursor ends at its end. */
export function eachField(cursor: BufferCursor, visit: (tag: number) => boolean): void {
  while (cursor.pos < cursor.end) {
    const tag = readTag(cursor);
    if (!visit(tag)) skipField(cursor, tag);
  }
}

/** Reads the message that begins here; afterwards the cursor stands behind it. */
export function within(cursor: BufferCursor, read: (cursor: BufferCursor) => void): true {
  const outer = cursor.end;
  const end = readEnd(cursor);
  cursor.end = end;
  read(cursor);
  cursor.pos = end;
  cursor.end = outer;
  return true;
}

/** Goes into the message that begins here; returns what `leave` needs. As `within`, for the innermost loops. */
export function enter(cursor: BufferCursor): number {
  const outer = cursor.end;
  cursor.end = readEnd(cursor);
  return outer;
}

export function leave(cursor: BufferCursor, outer: number): void {
  cursor.pos = cursor.end;
  cursor.end = outer;
}

/** Reads the messages of one field, wherever they stand among others; the cursor stays where it is. */
export function eachMessage(cursor: BufferCursor, field: number, read: (cursor: BufferCursor) => void): void {
  const { pos } = cursor;
  const wanted = messageTag(field);
  eachField(cursor, (tag) => tag === wanted && within(cursor, read));
  cursor.pos = pos;
}

export function readText(cursor: BufferCursor): string {
  const end = readEnd(cursor);
  const text = cursor.bytes.toString('utf8', cursor.pos, end);
  cursor.pos = end;
  return text;
}

const namesMax = 10_000;
let names = createByteTable();
let nameTexts: string[] = [];

/** A text that comes again and again, such as a key: found by its bytes. */
export function readName(cursor: BufferCursor): string {
  const end = readEnd(cursor);
  const { bytes, pos } = cursor;
  cursor.pos = end;
  const known = nameTexts[names.find(bytes, pos, end)];
  if (known !== undefined) return known;
  const text = bytes.toString('utf8', pos, end);
  if (text.length > nameCharactersMax) return text;
  if (names.size >= namesMax) {
    names = createByteTable();
    nameTexts = [];
  }
  nameTexts[names.insert(bytes, pos, end)] = text;
  return text;
}

const nameCharactersMax = 256;

/** Bytes as hex; '' where all of them are zero, which is how OTLP says that there is no id. */
export function readId(cursor: BufferCursor): string {
  const end = readEnd(cursor);
  const hex = cursor.bytes.toString('hex', cursor.pos, end);
  cursor.pos = end;
  return /^0*$/.test(hex) ? '' : hex;
}

export function readFixed64(cursor: BufferCursor, to: Int64Halves): true {
  to.low = readFixed32(cursor);
  to.high = readFixed32(cursor);
  return true;
}

export function invalid(message: string): FirnError {
  return new FirnError({ code: 'invalid', operation: 'decode OTLP', subject: 'body', message });
}

export const isZero = ({ low, high }: Int64Halves): boolean => low === 0 && high === 0;
export const bigintOf = ({ low, high }: Int64Halves): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0);
