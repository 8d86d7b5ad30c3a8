import { isUtf8 } from 'node:buffer';
import type { TextColumn } from '../model/text-column.ts';

/**
 * A text column that grows row by row in one array of bytes. Writers may put bytes behind `end` themselves, after
 * `reserve`; `close` ends the row's text.
 */
export interface TextBuilder {
  bytes: Buffer;
  /** Where the next byte goes. */
  end: number;
  /** Appended rows. */
  rows: number;
  lengths: Int32Array;
  /** Where the text of the row that is being written begins. */
  start: number;
  /** A row has a text. */
  present: boolean;
  /** There are bytes of a sender, which may be no UTF-8. */
  unchecked: boolean;
}

const rowsFirst = 64;

/** `bytesFirst`: for how many bytes it has room before it grows. */
export const createTextBuilder = (bytesFirst: number): TextBuilder => ({
  bytes: Buffer.allocUnsafeSlow(bytesFirst),
  lengths: new Int32Array(rowsFirst),
  ...{ end: 0, rows: 0, start: 0, present: false, unchecked: false },
});

/** For a new column in the same memory. */
export function emptyTexts(text: TextBuilder): void {
  text.end = text.rows = text.start = 0;
  text.present = text.unchecked = false;
}

/** Makes room for so many bytes behind `end`. */
export function reserve(text: TextBuilder, count: number): void {
  if (text.end + count <= text.bytes.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(text.end + count, 2 * text.bytes.length));
  larger.set(text.bytes.subarray(0, text.end));
  text.bytes = larger;
}

/** Ends the text of the row. */
export function close(text: TextBuilder): void {
  setLength(text, text.end - text.start);
  text.start = text.end;
  text.present = true;
}

export const addNull = (text: TextBuilder): void => setLength(text, -1);

function setLength(text: TextBuilder, length: number): void {
  if (text.rows === text.lengths.length) {
    const larger = new Int32Array(2 * text.rows);
    larger.set(text.lengths);
    text.lengths = larger;
  }
  text.lengths[text.rows++] = length;
}

/** A UTF-16 unit takes three bytes at most. */
export function addText(text: TextBuilder, value: string): void {
  putText(text, value);
  close(text);
}

/** A part of a text. */
export function putText(text: TextBuilder, value: string): void {
  reserve(text, 3 * value.length);
  text.end += text.bytes.write(value, text.end);
}

/** A part of a text that comes again and again, and is short. */
export function putKnown(text: TextBuilder, value: Uint8Array): void {
  reserve(text, value.length);
  const { bytes } = text;
  let { end } = text;
  for (let at = 0; at < value.length; at++) bytes[end++] = value[at] ?? 0;
  text.end = end;
}

export function addKnown(text: TextBuilder, value: Uint8Array): void {
  putKnown(text, value);
  close(text);
}

/** The bytes [start, end) of a sender; what is no UTF-8 in them becomes U+FFFD in the end. */
export function addBytes(text: TextBuilder, from: Buffer, start: number, end: number): void {
  reserve(text, end - start);
  from.copy(text.bytes, text.end, start, end);
  text.end += end - start;
  text.unchecked = true;
  close(text);
}

/** The column, in the builder's memory; undefined when every row is null. */
export function finishTexts(text: TextBuilder): TextColumn | undefined {
  if (!text.present) return undefined;
  const { rows } = text;
  const lengths = text.lengths.subarray(0, rows);
  const bytes = text.bytes.subarray(0, text.end);
  const column: TextColumn = { kind: 'utf8', length: rows, lengths, bytes };
  return text.unchecked && !isEachUtf8(column) ? mended(column) : column;
}

/** All of it is UTF-8, and no text begins within a character. */
function isEachUtf8({ bytes, lengths }: TextColumn): boolean {
  if (!isUtf8(bytes)) return false;
  let start = 0;
  for (let row = 0; row < lengths.length; row++) {
    const length = lengths[row] ?? 0;
    if (length <= 0) continue;
    if (((bytes[start] ?? 0) & 0xc0) === 0x80) return false;
    start += length;
  }
  return true;
}

/** Each text as it is read and written again, which puts U+FFFD where it is wrong. */
function mended({ bytes, lengths }: TextColumn): TextColumn {
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const to = createTextBuilder(bytes.byteLength + 64);
  let start = 0;
  for (const length of lengths) {
    if (length < 0) addNull(to);
    else addText(to, from.toString('utf8', start, start + length));
    start += Math.max(0, length);
  }
  const column = finishTexts(to);
  if (column === undefined) throw new TypeError('a text is gone');
  return column;
}

/** Texts that come again and again, such as levels. */
const known = new Map<string, Buffer>();
const knownMax = 1000;

/** The UTF-8 of such a text. */
export function knownBytes(value: string): Buffer {
  const found = known.get(value);
  if (found !== undefined) return found;
  const bytes = Buffer.from(value);
  if (known.size >= knownMax) known.clear();
  known.set(value, bytes);
  return bytes;
}
