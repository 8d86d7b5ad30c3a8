import { type ByteWriter, putInt32 } from '../sql/cells/byte-writer.ts';
import {
  binaryDoubles,
  type Field,
  plainTexts,
  type TextStyle,
  textField,
  valuesField,
} from '../sql/cells/fields.ts';
import { createRowsWriter, type RowFrame, type RowRange } from '../sql/cells/rows.ts';
import type { Bytes } from '../sql/duckdb/bytes.ts';
import type { RowChunk } from '../sql/row-chunk.ts';
import type { ResultColumn } from './messages.ts';

// The values of a result as PostgreSQL writes them.

/** As PostgreSQL prints values, with texts as they are. */
export const pgTextStyle: TextStyle = {
  booleans: ['f', 't'],
  timestamp: { between: ' ', zone: '' },
  timestamptz: { between: ' ', zone: '+00' },
  timeQuote: '',
  texts: plainTexts,
};

/** The column in the format that the client asked for. */
export function fieldOf(chunk: RowChunk, index: number, { type, format }: ResultColumn): Field {
  if (format === 0) return textField(chunk, index, pgTextStyle, type.text);
  // The binary format of text is the text, and of doubles what they are; the rest is rarely asked for.
  const column = chunk.column(index);
  if (column.kind === 'text') return plainTexts(column.text, column.valid);
  if (column.kind === 'float64') return binaryDoubles(column.items, column.valid);
  return valuesField(chunk, index, type.binary);
}

/** A row as DataRow and binary COPY have it: how many values there are, and before each its length. */
export function tupleFrame(type: 'D' | 'd', columns: number): RowFrame {
  const code = type.charCodeAt(0);
  return {
    bytes: messageHeadBytes + 2 + 4 * columns,
    absent: new Uint8Array(0),
    begin: ({ bytes }, places, sizes, rows) => {
      for (let row = 0; row < rows; row++) {
        const at = beginMessage(bytes, places[row] as number, code, sizes[row] as number);
        bytes[at] = columns >> 8;
        bytes[at + 1] = columns;
        places[row] = at + 2;
      }
    },
    before: (_, { bytes }, places, lengths, rows) => putLengths(bytes, places, lengths, rows),
    end: () => undefined,
  };
}

export const messageHeadBytes = 5;

/** The type of a message and its length, which counts itself but not the type. */
export function beginMessage(bytes: Uint8Array, at: number, code: number, size: number): number {
  bytes[at] = code;
  putInt32(bytes, at + 1, size - 1);
  return at + messageHeadBytes;
}

function putLengths(bytes: Bytes['bytes'], places: Int32Array, lengths: Int32Array, rows: number): void {
  for (let row = 0; row < rows; row++) {
    const at = places[row] as number;
    putInt32(bytes, at, lengths[row] as number);
    places[row] = at + 4;
  }
}

/**
 * Writes rows of a chunk as DataRow messages until there are enough bytes; returns the row after them. When a value
 * can't be written in its format, nothing of its row is.
 */
export function writeDataRows(
  out: ByteWriter,
  columns: readonly ResultColumn[],
  chunk: RowChunk,
  range: RowRange,
): number {
  const fields = columns.map((column, index) => fieldOf(chunk, index, column));
  return createRowsWriter(out, fields, tupleFrame('D', columns.length))(range);
}
