import type { Bytes } from '../duckdb/bytes.ts';
import type { ByteWriter } from './byte-writer.ts';
import { beginBlock, blockRowsMax, type Field } from './fields.ts';

/** What a format has around the values of a row. Its methods write at `places`, one for each row, and move them. */
export interface RowFrame {
  /** Bytes of a row besides its values. */
  readonly bytes: number;
  /** Stands in the place of a NULL. */
  readonly absent: Uint8Array;
  /** What comes before a row; `sizes` are the bytes of each row with its frame. */
  begin(target: Bytes, places: Int32Array, sizes: Int32Array, rows: number): void;
  /** What comes before a value; `lengths` are those of the values, -1 of a NULL. */
  before(index: number, target: Bytes, places: Int32Array, lengths: Int32Array, rows: number): void;
  /** What comes behind a row. */
  end(target: Bytes, places: Int32Array, rows: number): void;
}

/** What is to be written of a chunk: rows from `start` to `end`, exclusive, until `bytesMax` are written, and a block more at most. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
  readonly bytesMax: number;
}

/** A block of fewer rows is written where these would take more than this, in bytes. */
const blockBytesMax = 262_144;

/**
 * Writes rows of a chunk until there are enough bytes; returns the row after them. When a value can't be written in its
 * format, nothing of its row is, and what was thrown is thrown.
 */
export function createRowsWriter(
  out: ByteWriter,
  fields: readonly Field[],
  frame: RowFrame,
): (range: RowRange) => number {
  const writeBlock = createBlockWriter(out, fields, frame);
  return ({ start, end, bytesMax }) => {
    let row = start;
    while (row < end && out.length < bytesMax) {
      const blockEnd = Math.min(end, row + blockRowsMax);
      try {
        row = writeBlock(row, blockEnd);
      } catch {
        // The rows before the one that fails are written.
        for (; row < blockEnd && out.length < bytesMax; row++) writeBlock(row, row + 1);
      }
    }
    return row;
  };
}

// A block is written without a pause, so that all results of a process can share these.
const blockLengths: Int32Array[] = [];
const places = new Int32Array(blockRowsMax);
const sizes = new Int32Array(blockRowsMax);

function createBlockWriter(
  out: ByteWriter,
  fields: readonly Field[],
  frame: RowFrame,
): (start: number, end: number) => number {
  while (blockLengths.length < fields.length) blockLengths.push(new Int32Array(blockRowsMax));
  return (start, measuredEnd) => {
    const measured = measuredEnd - start;
    beginBlock();
    sizes.fill(frame.bytes, 0, measured);
    fields.forEach((field, index) => {
      const ofField = blockLengths[index] as Int32Array;
      field.measure(start, measuredEnd, ofField);
      addLengths(sizes, ofField, frame.absent.length, measured);
    });
    const rows = placeRows(places, sizes, out.length, measured);
    const end = start + rows;
    const bytes = (places[rows - 1] as number) + (sizes[rows - 1] as number) - out.length;
    const target = out.reserve(bytes);
    frame.begin(target, places, sizes, rows);
    fields.forEach((field, index) => {
      const ofField = blockLengths[index] as Int32Array;
      frame.before(index, target, places, ofField, rows);
      field.write(start, end, target, places);
      if (frame.absent.length > 0) putAbsent(target, places, ofField, frame.absent, rows);
    });
    frame.end(target, places, rows);
    out.setLength(out.length + bytes);
    return end;
  };
}

function addLengths(sizes: Int32Array, lengths: Int32Array, absentBytes: number, rows: number): void {
  for (let row = 0; row < rows; row++) {
    const length = lengths[row] as number;
    sizes[row] = (sizes[row] as number) + (length < 0 ? absentBytes : length);
  }
}

/** Where each row begins; returns how many of them are not too many bytes, one at least. */
function placeRows(places: Int32Array, sizes: Int32Array, from: number, rows: number): number {
  let at = from;
  for (let row = 0; row < rows; row++) {
    if (row > 0 && at - from > blockBytesMax) return row;
    places[row] = at;
    at += sizes[row] as number;
  }
  return rows;
}

function putAbsent(
  { bytes }: Bytes,
  places: Int32Array,
  lengths: Int32Array,
  absent: Uint8Array,
  rows: number,
): void {
  for (let row = 0; row < rows; row++) {
    if ((lengths[row] as number) >= 0) continue;
    const at = places[row] as number;
    bytes.set(absent, at);
    places[row] = at + absent.length;
  }
}

/** Rows of text: the same bytes before every row, between two values and behind every row. */
export function separatedRows(
  columns: number,
  separator: number,
  around: { readonly begin: string; readonly end: string; readonly absent: string },
): RowFrame {
  const begin = Buffer.from(around.begin);
  const end = Buffer.from(around.end);
  return {
    bytes: begin.length + Math.max(columns - 1, 0) + end.length,
    absent: Buffer.from(around.absent),
    begin: (target, places, _, rows) => putEach(target, places, begin, rows),
    before: (index, target, places, _, rows) => {
      if (index > 0) putByte(target, places, separator, rows);
    },
    end: (target, places, rows) => putEach(target, places, end, rows),
  };
}

function putByte({ bytes }: Bytes, places: Int32Array, byte: number, rows: number): void {
  for (let row = 0; row < rows; row++) {
    const at = places[row] as number;
    bytes[at] = byte;
    places[row] = at + 1;
  }
}

/** The same few bytes at each place. */
function putEach({ bytes }: Bytes, places: Int32Array, what: Uint8Array, rows: number): void {
  for (let row = 0; row < rows; row++) {
    let at = places[row] as number;
    for (let index = 0; index < what.length; index++) bytes[at++] = what[index] as number;
    places[row] = at;
  }
}
