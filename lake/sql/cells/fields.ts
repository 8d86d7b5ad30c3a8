import type { DuckDBValue } from '@duckdb/node-api';
import { type Bytes, copyBytes } from '../duckdb/bytes.ts';
import { type Column, isValid, type TextColumn, type Validity } from '../duckdb/vectors.ts';
import type { RowChunk } from '../row-chunk.ts';
import { type ByteWriter, createByteWriter } from './byte-writer.ts';
import {
  createDatePut,
  createTimestampPut,
  digitsMax,
  putAscii,
  putDouble,
  putWhole,
  type TimestampStyle,
} from './digits.ts';

// How the values of a column become bytes: a block of rows at a time, straight from DuckDB's memory for the types that
// large results are made of. Loops are over rows of one column, so that each is compiled for what it does.

/** Rows that are written together, at most. */
export const blockRowsMax = 256;

/** A column of a chunk. A block of its rows is first measured, then written. */
export interface Field {
  /** How many bytes each row's value takes, the first row's in `lengths[0]`; -1: it is NULL. */
  measure(start: number, end: number, lengths: Int32Array): void;
  /**
   * Writes the first rows of the block that was measured last, up to `end`, each to its place in `places`, which is moved
   * behind it. Nothing is written of a NULL.
   */
  write(start: number, end: number, target: Bytes, places: Int32Array): void;
}

/** How a protocol writes what has a quick way, as text. */
export interface TextStyle {
  /** Of false and of true. */
  readonly booleans: readonly [string, string];
  readonly timestamp: TimestampStyle;
  readonly timestamptz: TimestampStyle;
  /** Stands before and behind dates and times. */
  readonly timeQuote: '' | '"';
  readonly texts: (text: TextColumn, valid: Validity) => Field;
}

/** One value, never null, as the protocol writes it. */
type Print = (value: Exclude<DuckDBValue, null>) => string;

/** A column as text, in a style; `print` has the values for which there is no quick way. */
export function textField(chunk: RowChunk, index: number, style: TextStyle, print: Print): Field {
  const column = chunk.column(index);
  if (column.kind === 'text') return style.texts(column.text, column.valid);
  if (column.kind === 'other') return valuesField(chunk, index, (value, out) => out.text(print(value)));
  const put = putOf(column, style, print);
  const rare = (row: number): string => print(chunk.value(index, row) as Exclude<DuckDBValue, null>);
  return numbersField(column.valid, (bytes, at, row) => {
    const end = put(bytes, at, row);
    return end < 0 ? putAscii(bytes, at, rare(row)) : end;
  });
}

/** Values that JavaScript has, of whatever type. When one can't be written, `measure` throws what `write` does. */
export function valuesField(
  chunk: RowChunk,
  index: number,
  write: (value: Exclude<DuckDBValue, null>, out: ByteWriter) => void,
): Field {
  return madeField((row, out) => {
    const value = chunk.value(index, row);
    if (value === null || value === undefined) return -1;
    const start = out.length;
    write(value, out);
    return start;
  });
}

/**
 * Values that are made when they are measured, and copied then. `make` writes the value of a row and returns where it
 * begins; or where the same one begins that it made for the row before; or -1 for NULL.
 */
export function madeField(make: (row: number, out: ByteWriter) => number): Field {
  let made: Made;
  return {
    measure: (start, end, lengths) => {
      made = nextMade();
      const { out, starts, ends } = made;
      for (let row = start, at = 0; row < end; row++, at++) {
        const before = out.length;
        const from = make(row, out);
        starts[at] = from;
        ends[at] = from >= 0 && from < before ? (ends[at - 1] as number) : out.length;
        lengths[at] = from < 0 ? -1 : (ends[at] as number) - from;
      }
    },
    write: (start, end, target, places) => {
      const { out, starts, ends } = made;
      const source = out.reserve(0);
      for (let index = 0; index < end - start; index++) {
        const from = starts[index] as number;
        if (from < 0) continue;
        const length = (ends[index] as number) - from;
        const at = places[index] as number;
        copyBytes(source, from, target, at, length);
        places[index] = at + length;
      }
    },
  };
}

/** What a field makes of a block. */
interface Made {
  readonly out: ByteWriter;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

// A block is measured and written without a pause, so that all results of a process can share this.
const shared: Made[] = [];
let sharedUsed = 0;
const sharedBytesMax = 1_048_576;

/** Fields that are measured from now on may use the memory of those before. */
export function beginBlock(): void {
  sharedUsed = 0;
}

function nextMade(): Made {
  let made = shared[sharedUsed];
  if (made === undefined || made.out.length > sharedBytesMax) {
    made = {
      out: createByteWriter(),
      starts: new Int32Array(blockRowsMax),
      ends: new Int32Array(blockRowsMax),
    };
    shared[sharedUsed] = made;
  }
  sharedUsed++;
  made.out.setLength(0);
  return made;
}

type Put = (bytes: Uint8Array, at: number, row: number) => number;

/** Values of at most `digitsMax` bytes, made like those of `madeField`, each at a place of its own. */
function numbersField(valid: Validity, put: Put): Field {
  let made: Made;
  return {
    measure: (start, end, lengths) => {
      made = nextMade();
      const { bytes } = made.out.reserve(blockRowsMax * digitsMax);
      for (let row = start, at = 0; row < end; row++, at += digitsMax) {
        const length = isValid(valid, row) ? put(bytes, at, row) - at : -1;
        made.ends[row - start] = length;
        lengths[row - start] = length;
      }
    },
    write: (start, end, target, places) => {
      const { out, ends: known } = made;
      const source = out.reserve(0);
      for (let index = 0; index < end - start; index++) {
        const length = known[index] as number;
        if (length < 0) continue;
        const at = places[index] as number;
        copyBytes(source, index * digitsMax, target, at, length);
        places[index] = at + length;
      }
    },
  };
}

/** Doubles, eight bytes each, in network order. */
export function binaryDoubles(items: Float64Array, valid: Validity): Field {
  return {
    measure: (start, end, lengths) => {
      for (let row = start; row < end; row++) lengths[row - start] = isValid(valid, row) ? 8 : -1;
    },
    write: (start, end, { view }, places) => {
      for (let row = start; row < end; row++) {
        if (!isValid(valid, row)) continue;
        const at = places[row - start] as number;
        view.setFloat64(at, items[row] as number);
        places[row - start] = at + 8;
      }
    },
  };
}

/** Texts as they are. */
export function plainTexts(text: TextColumn, valid: Validity): Field {
  return {
    measure: (start, end, lengths) => {
      for (let row = start; row < end; row++)
        lengths[row - start] = isValid(valid, row) ? text.lengthOf(row) : -1;
    },
    write: (start, end, target, places) => {
      for (let row = start; row < end; row++) {
        if (!isValid(valid, row)) continue;
        const from = text.find(row);
        const length = text.lengthOf(row);
        const at = places[row - start] as number;
        copyBytes(text.source, from, target, at, length);
        places[row - start] = at + length;
      }
    },
  };
}

type NumbersColumn = Exclude<Column, { readonly kind: 'other' | 'text' }>;

/** Writes a value, or returns -1 where that is left to who prints values one by one. */
function putOf(column: NumbersColumn, style: TextStyle, print: Print): Put {
  switch (column.kind) {
    case 'boolean': {
      const { items } = column;
      return (bytes, at, row) => putAscii(bytes, at, style.booleans[items[row] === 0 ? 0 : 1]);
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
          : putAscii(bytes, at, print(items[row] as bigint));
      };
    }
    case 'float32': {
      const { items } = column;
      return (bytes, at, row) => putAscii(bytes, at, print(items[row] as number));
    }
    case 'float64': {
      const { items } = column;
      return (bytes, at, row) => {
        const value = items[row] as number;
        const end = putDouble(bytes, at, value);
        return end < 0 ? putAscii(bytes, at, print(value)) : end;
      };
    }
    case 'date': {
      const { items } = column;
      const put = createDatePut();
      return quotedBy(style.timeQuote, (bytes, at, row) => put(bytes, at, items[row] as number));
    }
    case 'timestamp':
    case 'timestamptz': {
      const { words, kind } = column;
      const put = createTimestampPut(style[kind]);
      return quotedBy(style.timeQuote, (bytes, at, row) => {
        const near = wholeOf(words, row);
        return Number.isSafeInteger(near) ? put(bytes, at, near) : -1;
      });
    }
  }
}

function quotedBy(quote: '' | '"', put: Put): Put {
  if (quote === '') return put;
  const code = quote.charCodeAt(0);
  return (bytes, at, row) => {
    const end = put(bytes, at + 1, row);
    if (end < 0) return -1;
    bytes[at] = code;
    bytes[end] = code;
    return end + 1;
  };
}

/** A 64-bit integer as a number: exact if it is safe. */
const wholeOf = (words: Int32Array, row: number): number =>
  (words[row * 2 + 1] as number) * 2 ** 32 + ((words[row * 2] as number) >>> 0);
