import type { DuckDBTimestampTZValue, DuckDBValue } from '@duckdb/node-api';
import {
  Bool,
  type Data,
  type DataType,
  Field,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  TimestampMicrosecond,
  tableToIPC,
  Utf8,
  vectorFromArray,
} from 'apache-arrow';
import { isValid, type TextColumn, type Validity } from '../../sql/duckdb/vectors.ts';
import type { RowChunk } from '../../sql/row-chunk.ts';
import type { SqlColumn, SqlResult } from '../../sql/sql-session.ts';
import { textOf } from './json.ts';

/** DuckDB's types that Arrow has too; every other column is text. */
const types: Readonly<Record<string, DataType>> = {
  BOOLEAN: new Bool(),
  TINYINT: new Int8(),
  SMALLINT: new Int16(),
  INTEGER: new Int32(),
  BIGINT: new Int64(),
  FLOAT: new Float32(),
  DOUBLE: new Float64(),
  'TIMESTAMP WITH TIME ZONE': new TimestampMicrosecond('UTC'),
  TIMESTAMP: new TimestampMicrosecond(),
};

const utf8 = new Utf8();

/** The end of a stream: a continuation marker and no message. */
const endBytes = 8;

/** A result as an Arrow IPC stream in pieces: the schema, then a record batch for each chunk of rows, then the end. */
export async function* arrowPieces(result: SqlResult): AsyncGenerator<Uint8Array> {
  const columns = result.columns ?? [];
  const schema = new Schema(columns.map(({ name, type }) => new Field(name, types[type] ?? utf8, true)));
  const empty = tableToIPC(new Table(schema), 'stream');
  const schemaBytes = empty.length - endBytes;
  yield empty.subarray(0, schemaBytes);
  for await (const chunk of result.chunks()) {
    const children = columns.map((column, index) => dataOf(chunk, index, column));
    const data = makeData({
      type: new Struct(schema.fields),
      length: chunk.end - chunk.start,
      nullCount: 0,
      children,
    });
    // Each batch is a stream of its own without its ends, so that nothing has to be kept until the last one.
    const stream = tableToIPC(new Table(schema, [new RecordBatch(schema, data)]), 'stream');
    yield stream.subarray(schemaBytes, -endBytes);
  }
  yield empty.subarray(schemaBytes);
}

/** Results are read in whole chunks, whose columns begin with their first row: nothing is copied where layouts agree. */
function dataOf(chunk: RowChunk, index: number, { type }: SqlColumn): Data {
  const column = chunk.column(index);
  const arrow = types[type];
  const length = chunk.end;
  switch (column.kind) {
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'float32':
    case 'float64':
    case 'timestamp':
    case 'timestamptz':
      if (arrow) return fixedData(arrow, length, column);
      break;
    case 'text':
      return textData(column.text, column.valid, length);
  }
  return valuesData(
    Array.from({ length }, (_, row) => chunk.value(index, row)),
    type,
    arrow,
  );
}

/** An array of the values as Arrow has it, too. */
function fixedData(
  type: DataType,
  length: number,
  { items, valid }: { readonly items: ArrayBufferView; readonly valid: Validity },
): Data {
  const properties = { type, length, ...nulls(valid, length), data: items };
  return makeData(properties as Parameters<typeof makeData>[0]);
}

function nulls(valid: Validity, length: number): { nullCount: number; nullBitmap?: Uint8Array } {
  if (valid === undefined) return { nullCount: 0 };
  let nullCount = 0;
  for (let row = 0; row < length; row++) if (!isValid(valid, row)) nullCount++;
  return { nullCount, nullBitmap: valid.subarray(0, Math.ceil(length / 8)) };
}

/** Where each text begins, and the texts one after another. */
function textData(text: TextColumn, valid: Validity, length: number): Data {
  const valueOffsets = new Int32Array(length + 1);
  for (let row = 0; row < length; row++) {
    const bytes = isValid(valid, row) ? text.lengthOf(row) : 0;
    valueOffsets[row + 1] = (valueOffsets[row] ?? 0) + bytes;
  }
  const data = Buffer.allocUnsafe(valueOffsets[length] ?? 0);
  for (let row = 0; row < length; row++)
    if (isValid(valid, row)) text.copy(row, data, valueOffsets[row] ?? 0);
  return makeData({ type: utf8, length, ...nulls(valid, length), valueOffsets, data });
}

function valuesData(values: readonly DuckDBValue[], type: string, arrow: DataType | undefined): Data {
  if (arrow instanceof TimestampMicrosecond) return timestampData(values, arrow);
  if (arrow) return arrayData(values, arrow);
  return arrayData(
    values.map((value) => (value === null ? null : textOf(value, type))),
    utf8,
  );
}

/** Microseconds as they are: Arrow's builders take milliseconds as numbers, which are not exact. */
function timestampData(values: readonly DuckDBValue[], type: TimestampMicrosecond): Data {
  const data = BigInt64Array.from(values, (value) => (value as DuckDBTimestampTZValue | null)?.micros ?? 0n);
  const valid = new Uint8Array(Math.ceil(values.length / 8));
  values.forEach((value, row) => {
    if (value !== null) valid[row >> 3] = (valid[row >> 3] ?? 0) | (1 << (row & 7));
  });
  return makeData({ type, length: values.length, ...nulls(valid, values.length), data });
}

function arrayData(values: readonly unknown[], type: DataType): Data {
  const [data] = vectorFromArray(values, type).data;
  return data ?? makeData({ type, length: 0, nullCount: 0 } as Parameters<typeof makeData>[0]);
}
