import { createRequire } from 'node:module';
import type { DuckDBDataChunk } from '@duckdb/node-api';
import type * as Bindings from '@duckdb/node-bindings';
import { type Bytes, bytesOf } from './bytes.ts';

// The columns of a chunk as DuckDB has them in memory, without an object for each value. The library's own vectors keep
// their arrays to themselves, so this reads what they are made from.
// https://duckdb.org/docs/stable/clients/c/vector

/** Values side by side; a row that is not `valid` is NULL, and what stands in its place means nothing. */
export type Column =
  | { readonly kind: 'boolean' | 'uint8'; readonly items: Uint8Array; readonly valid: Validity }
  | { readonly kind: 'int8'; readonly items: Int8Array; readonly valid: Validity }
  | { readonly kind: 'int16'; readonly items: Int16Array; readonly valid: Validity }
  | { readonly kind: 'uint16'; readonly items: Uint16Array; readonly valid: Validity }
  | { readonly kind: 'int32' | 'date'; readonly items: Int32Array; readonly valid: Validity }
  | { readonly kind: 'uint32'; readonly items: Uint32Array; readonly valid: Validity }
  /** `words` are the same bytes in halves, the low one first: reading a BigInt makes an object. */
  | {
      readonly kind: 'int64' | 'timestamp' | 'timestamptz';
      readonly items: BigInt64Array;
      readonly words: Int32Array;
      readonly valid: Validity;
    }
  | { readonly kind: 'float32'; readonly items: Float32Array; readonly valid: Validity }
  | { readonly kind: 'float64'; readonly items: Float64Array; readonly valid: Validity }
  | { readonly kind: 'text'; readonly text: TextColumn; readonly valid: Validity }
  /** Types that are rare in large results are read by the library. */
  | { readonly kind: 'other' };

/** One bit a row, the lowest first; undefined: no row is NULL. */
export type Validity = Uint8Array | undefined;

export const isValid = (valid: Validity, row: number): boolean =>
  valid === undefined || ((valid[row >> 3] ?? 0) & (1 << (row & 7))) !== 0;

/** UTF-8 texts. Up to `inlineBytesMax` bytes stand in the column itself, longer ones elsewhere. */
export interface TextColumn {
  /** Bytes of a row's text; of a row that is NULL nothing is known. */
  lengthOf(row: number): number;
  /** Makes `source` the memory that has the text of a row that is not NULL; returns where in it that begins. */
  find(row: number): number;
  readonly source: Bytes;
}

const textStride = 16;
const inlineBytesMax = 12;

let loaded: typeof Bindings | undefined;

/** Loaded late, because not every platform has it; whoever has a chunk has it. */
function bindings(): typeof Bindings {
  loaded ??= createRequire(import.meta.url)('@duckdb/node-bindings') as typeof Bindings;
  return loaded;
}

/** Columns are valid as long as the chunk is referenced. */
export function columnOf(chunk: DuckDBDataChunk, index: number, typeName: string): Column {
  const layout = layouts[typeName];
  if (layout === undefined) return { kind: 'other' };
  const duckdb = bindings();
  const { chunk: handle } = chunk as unknown as { readonly chunk: Bindings.DataChunk };
  const vector = duckdb.data_chunk_get_vector(handle, index);
  const rows = chunk.rowCount;
  const { buffer, byteOffset } = duckdb.vector_get_data(vector, rows * layout.bytes);
  const valid = duckdb.vector_get_validity(vector, Math.ceil(rows / 64) * 8) ?? undefined;
  return layout.make(buffer as ArrayBuffer, byteOffset, rows, valid);
}

interface Layout {
  readonly bytes: number;
  readonly make: (buffer: ArrayBuffer, at: number, rows: number, valid: Validity) => Column;
}

const words64 =
  (kind: 'int64' | 'timestamp' | 'timestamptz'): Layout['make'] =>
  (buffer, at, rows, valid) => ({
    kind,
    items: new BigInt64Array(buffer, at, rows),
    words: new Int32Array(buffer, at, rows * 2),
    valid,
  });

const text: Layout = {
  bytes: textStride,
  make: (buffer, at, rows, valid) => ({ kind: 'text', text: textColumn(buffer, at, rows, valid), valid }),
};

/** By DuckDB's name of the type. */
const layouts: Readonly<Record<string, Layout>> = {
  BOOLEAN: { bytes: 1, make: (buffer, at, rows, valid) => bytes('boolean', buffer, at, rows, valid) },
  UTINYINT: { bytes: 1, make: (buffer, at, rows, valid) => bytes('uint8', buffer, at, rows, valid) },
  TINYINT: {
    bytes: 1,
    make: (buffer, at, rows, valid) => ({ kind: 'int8', items: new Int8Array(buffer, at, rows), valid }),
  },
  SMALLINT: {
    bytes: 2,
    make: (buffer, at, rows, valid) => ({ kind: 'int16', items: new Int16Array(buffer, at, rows), valid }),
  },
  USMALLINT: {
    bytes: 2,
    make: (buffer, at, rows, valid) => ({ kind: 'uint16', items: new Uint16Array(buffer, at, rows), valid }),
  },
  INTEGER: { bytes: 4, make: (buffer, at, rows, valid) => int32('int32', buffer, at, rows, valid) },
  DATE: { bytes: 4, make: (buffer, at, rows, valid) => int32('date', buffer, at, rows, valid) },
  UINTEGER: {
    bytes: 4,
    make: (buffer, at, rows, valid) => ({ kind: 'uint32', items: new Uint32Array(buffer, at, rows), valid }),
  },
  BIGINT: { bytes: 8, make: words64('int64') },
  TIMESTAMP: { bytes: 8, make: words64('timestamp') },
  'TIMESTAMP WITH TIME ZONE': { bytes: 8, make: words64('timestamptz') },
  FLOAT: {
    bytes: 4,
    make: (buffer, at, rows, valid) => ({
      kind: 'float32',
      items: new Float32Array(buffer, at, rows),
      valid,
    }),
  },
  DOUBLE: {
    bytes: 8,
    make: (buffer, at, rows, valid) => ({
      kind: 'float64',
      items: new Float64Array(buffer, at, rows),
      valid,
    }),
  },
  VARCHAR: text,
  JSON: text,
};

const bytes = (
  kind: 'boolean' | 'uint8',
  buffer: ArrayBuffer,
  at: number,
  rows: number,
  valid: Validity,
): Column => ({ kind, items: new Uint8Array(buffer, at, rows), valid });

const int32 = (
  kind: 'int32' | 'date',
  buffer: ArrayBuffer,
  at: number,
  rows: number,
  valid: Validity,
): Column => ({ kind, items: new Int32Array(buffer, at, rows), valid });

/**
 * A row is a length and the text, or a length, four bytes of the text, and where the whole text is. Fetching a text is
 * dear, and DuckDB mostly lays those of a result one behind the other: they are fetched together then.
 */
function textColumn(buffer: ArrayBuffer, at: number, rows: number, valid: Validity): TextColumn {
  const inline = bytesOf(new Uint8Array(buffer, at, rows * textStride));
  const words = new Uint32Array(buffer, at, rows * 4);
  const lengthOf = (row: number): number => words[row * 4] as number;
  const pointerOf = (row: number): number =>
    (words[row * 4 + 2] as number) + (words[row * 4 + 3] as number) * 2 ** 32;
  let fetched = inline;
  let from = 0;
  let end = 0;
  /** Fetches the text of the row and those of later rows that follow it without a gap. */
  const fetch = (row: number): void => {
    from = pointerOf(row);
    end = from + lengthOf(row);
    for (let next = row + 1; next < rows; next++) {
      if (!isValid(valid, next) || lengthOf(next) <= inlineBytesMax) continue;
      if (pointerOf(next) !== end) break;
      end += lengthOf(next);
    }
    fetched = bytesOf(bindings().get_data_from_pointer(buffer, at + row * textStride + 8, end - from));
  };
  const column = {
    lengthOf,
    source: inline,
    find: (row: number): number => {
      const length = lengthOf(row);
      if (length <= inlineBytesMax) {
        column.source = inline;
        return row * textStride + 4;
      }
      const pointer = pointerOf(row);
      if (pointer < from || pointer + length > end) fetch(row);
      column.source = fetched;
      return pointer - from;
    },
  };
  return column;
}
