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
import type { SqlColumn, SqlResult } from '../../sql/sql-session.ts';
import { textOf } from './json.ts';

type Value = DuckDBValue | undefined;
type Encode = (values: readonly Value[], type: string) => Data;

const as =
  (arrow: DataType): Encode =>
  (values) =>
    dataOf(
      values.map((value) => value ?? null),
      arrow,
    );

const text: Encode = (values, type) =>
  dataOf(
    values.map((value) => (value === null || value === undefined ? null : textOf(value, type))),
    new Utf8(),
  );

/** Microseconds as they are: Arrow's builders take milliseconds as numbers, which are not exact. */
const timestamp =
  (arrow: TimestampMicrosecond): Encode =>
  (values) => {
    const data = new BigInt64Array(values.length);
    const nullBitmap = new Uint8Array(Math.ceil(values.length / 8));
    let nullCount = 0;
    values.forEach((value, row) => {
      if (value === null || value === undefined) nullCount++;
      else {
        data[row] = (value as DuckDBTimestampTZValue).micros;
        nullBitmap[row >> 3] = (nullBitmap[row >> 3] ?? 0) | (1 << (row & 7));
      }
    });
    return makeData({ type: arrow, length: values.length, nullCount, nullBitmap, data });
  };

/** DuckDB's types that Arrow has too; every other column is text. */
const encodings: Readonly<Record<string, { readonly type: DataType; readonly encode: Encode }>> = {
  ...Object.fromEntries(
    Object.entries({
      BOOLEAN: new Bool(),
      TINYINT: new Int8(),
      SMALLINT: new Int16(),
      INTEGER: new Int32(),
      BIGINT: new Int64(),
      FLOAT: new Float32(),
      DOUBLE: new Float64(),
    }).map(([name, type]) => [name, { type, encode: as(type) }]),
  ),
  ...Object.fromEntries(
    Object.entries({
      'TIMESTAMP WITH TIME ZONE': new TimestampMicrosecond('UTC'),
      TIMESTAMP: new TimestampMicrosecond(),
    }).map(([name, type]) => [name, { type, encode: timestamp(type) }]),
  ),
};

const encodingOf = ({ type }: SqlColumn) => encodings[type] ?? { type: new Utf8(), encode: text };

/** The end of a stream: a continuation marker and no message. */
const endBytes = 8;

/** A result as an Arrow IPC stream in pieces: the schema, then a record batch for each chunk of rows, then the end. */
export async function* arrowPieces(result: SqlResult): AsyncGenerator<Uint8Array> {
  const columns = (result.columns ?? []).map((column) => ({ ...column, encoding: encodingOf(column) }));
  const schema = new Schema(columns.map(({ name, encoding }) => new Field(name, encoding.type, true)));
  const empty = tableToIPC(new Table(schema), 'stream');
  const schemaBytes = empty.length - endBytes;
  yield empty.subarray(0, schemaBytes);
  for await (const rows of result.chunks()) {
    const children = columns.map(({ type, encoding }, index) =>
      encoding.encode(
        rows.map((row) => row[index]),
        type,
      ),
    );
    const data = makeData({ type: new Struct(schema.fields), length: rows.length, nullCount: 0, children });
    // Each batch is a stream of its own without its ends, so that nothing has to be kept until the last one.
    const stream = tableToIPC(new Table(schema, [new RecordBatch(schema, data)]), 'stream');
    yield stream.subarray(schemaBytes, -endBytes);
  }
  yield empty.subarray(schemaBytes);
}

function dataOf(values: readonly unknown[], type: DataType): Data {
  const [data] = vectorFromArray(values, type).data;
  return data ?? makeData({ type, length: 0, nullCount: 0 } as Parameters<typeof makeData>[0]);
}
