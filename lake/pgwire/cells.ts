import { type Column, isValid, type TextColumn, type Validity } from '../sql/duckdb/vectors.ts';
import type { RowChunk } from '../sql/row-chunk.ts';
import { type ByteWriter, createByteWriter, putInt32 } from './byte-writer.ts';
import { createDatePut, createTimestampPut, digitsMax, putAscii, putDouble, putWhole } from './digits.ts';
import type { ResultColumn } from './messages.ts';
import { floatText4, timestampText } from './value-text.ts';

// How the values of a column become bytes: straight from DuckDB's memory, for the types that large results are made of.

export interface Cell {
  /** Bytes that the value of a row may need, or -1 when it is NULL. */
  roomOf(row: number): number;
  /** Writes the value for which `roomOf` was asked last; returns where it ends. */
  put(bytes: Uint8Array, at: number, row: number): number;
}

/** The column in the format that the client asked for. */
export function cellOf(chunk: RowChunk, index: number, column: ResultColumn): Cell {
  const there = chunk.column(index);
  return (column.format === 0 ? textCell(there) : binaryCell(there)) ?? valueCell(chunk, index, column);
}

/** A value that JavaScript has, of any type. */
function valueCell(chunk: RowChunk, index: number, { type, format }: ResultColumn): Cell {
  const scratch = createByteWriter();
  return {
    roomOf: (row) => {
      const value = chunk.value(index, row);
      if (value === null || value === undefined) return -1;
      scratch.setLength(0);
      if (format === 1) type.binary(value, scratch);
      else scratch.text(type.text(value));
      return scratch.length;
    },
    put: (bytes, at) => {
      bytes.set(scratch.reserve(0).subarray(0, scratch.length), at);
      return at + scratch.length;
    },
  };
}

type Put = Cell['put'];

const fixed = (valid: Validity, room: number, put: Put): Cell => ({
  roomOf: valid === undefined ? () => room : (row) => (isValid(valid, row) ? room : -1),
  put,
});

/** A column as text; undefined where that takes values of JavaScript. */
export function textCell(column: Column): Cell | undefined {
  switch (column.kind) {
    case 'other':
      return undefined;
    case 'text':
      return textsCell(column.text, column.valid);
    default:
      return fixed(column.valid, digitsMax, putOf(column));
  }
}

const textsCell = (text: TextColumn, valid: Validity): Cell => ({
  roomOf: valid === undefined ? text.lengthOf : (row) => (isValid(valid, row) ? text.lengthOf(row) : -1),
  put: (bytes, at, row) => text.copy(row, bytes, at),
});

function putOf(column: Exclude<Column, { readonly kind: 'other' | 'text' }>): Put {
  switch (column.kind) {
    case 'boolean': {
      const { items } = column;
      return (bytes, at, row) => {
        bytes[at] = items[row] === 0 ? 0x66 : 0x74;
        return at + 1;
      };
    }
    case 'uint8':
    case 'int8':
    case 'int16':
    case 'uint16':
    case 'int32':
    case 'uint32': {
      const { items } = column;
      return (bytes, at, row) => putWhole(bytes, at, items[row] as number);
    }
    case 'int64': {
      const { items, words } = column;
      return (bytes, at, row) => {
        const near = wholeOf(words, row);
        return Number.isSafeInteger(near)
          ? putWhole(bytes, at, near)
          : putAscii(bytes, at, String(items[row]));
      };
    }
    case 'float32': {
      const { items } = column;
      return (bytes, at, row) => putAscii(bytes, at, floatText4(items[row] as number));
    }
    case 'float64': {
      const { items } = column;
      return (bytes, at, row) => putDouble(bytes, at, items[row] as number);
    }
    case 'date': {
      const { items } = column;
      const put = createDatePut();
      return (bytes, at, row) => put(bytes, at, items[row] as number);
    }
    case 'timestamp':
    case 'timestamptz': {
      const { items, words, kind } = column;
      const zone = kind === 'timestamptz' ? '+00' : '';
      const put = createTimestampPut(zone);
      return (bytes, at, row) => {
        const near = wholeOf(words, row);
        return Number.isSafeInteger(near)
          ? put(bytes, at, near)
          : putAscii(bytes, at, timestampText(items[row] as bigint, zone));
      };
    }
  }
}

/** A 64-bit integer as a number: exact if it is safe. */
const wholeOf = (words: Int32Array, row: number): number =>
  (words[row * 2 + 1] as number) * 2 ** 32 + ((words[row * 2] as number) >>> 0);

/** The binary format of text is the text, and of doubles what they are; the rest is rarely asked for. */
function binaryCell(column: Column): Cell | undefined {
  if (column.kind === 'text') return textsCell(column.text, column.valid);
  if (column.kind !== 'float64') return undefined;
  const { items, valid } = column;
  const view = new DataView(new ArrayBuffer(8));
  return fixed(valid, 8, (bytes, at, row) => {
    view.setFloat64(0, items[row] as number);
    for (let index = 0; index < 8; index++) bytes[at + index] = view.getUint8(index);
    return at + 8;
  });
}

/** What is to be written of a chunk: rows from `start` to `end`, exclusive, and no more once `bytesMax` are written. */
export interface RowRange {
  readonly start: number;
  readonly end: number;
  readonly bytesMax: number;
}

/**
 * Writes rows of a chunk, from `start` on, as DataRow messages until `bytesMax` are written; returns the row after them.
 * When a value can't be written in its format, nothing of its row is.
 */
export function writeDataRows(
  out: ByteWriter,
  columns: readonly ResultColumn[],
  chunk: RowChunk,
  { start, end, bytesMax }: RowRange,
): number {
  const fields = fieldWriter(columns.map((column, index) => cellOf(chunk, index, column)));
  let row = start;
  for (; row < end && out.length < bytesMax; row++) {
    const room = fields.roomOf(row);
    out.begin('D');
    const at = out.length;
    out.setLength(fields.put(out.reserve(room), at, row));
    out.end();
  }
  return row;
}

/** A row as DataRow messages and binary COPY have it: how many values, and each with its length. */
export function fieldWriter(cells: readonly Cell[]): Cell {
  const count = cells.length;
  const rooms = new Int32Array(count);
  return {
    roomOf: (row) => {
      let sum = 2 + 4 * count;
      for (let index = 0; index < count; index++) {
        const room = (cells[index] as Cell).roomOf(row);
        rooms[index] = room;
        if (room > 0) sum += room;
      }
      return sum;
    },
    put: (bytes, start, row) => {
      bytes[start] = count >> 8;
      bytes[start + 1] = count;
      let at = start + 2;
      for (let index = 0; index < count; index++) {
        const value = at + 4;
        const absent = (rooms[index] as number) < 0;
        const end = absent ? value : (cells[index] as Cell).put(bytes, value, row);
        putInt32(bytes, at, absent ? -1 : end - value);
        at = end;
      }
      return at;
    },
  };
}
