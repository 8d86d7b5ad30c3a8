import type { DuckDBTimestampTZValue, DuckDBValue } from '@duckdb/node-api';
import {
  Bool,
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
  RecordBatchStreamWriter,
  Schema,
  Struct,
  TimestampMicrosecond,
  Utf8,
  vectorFromArray,
} from 'apache-arrow';
import type { SqlColumn, SqlResult } from '../../sql/sql-session.ts';
import { textOf } from './json.ts';

interface Encoding {
  readonly type: DataType;
  readonly value: (value: Exclude<DuckDBValue, null>) => unknown;
}

const same = (value: unknown): unknown => value;
const microseconds = (value: unknown): bigint => (value as DuckDBTimestampTZValue).micros;

/** DuckDB's types that Arrow has too; every other column is text. */
const encodings: Readonly<Record<string, Encoding>> = {
  BOOLEAN: { type: new Bool(), value: same },
  TINYINT: { type: new Int8(), value: same },
  SMALLINT: { type: new Int16(), value: same },
  INTEGER: { type: new Int32(), value: same },
  BIGINT: { type: new Int64(), value: same },
  FLOAT: { type: new Float32(), value: same },
  DOUBLE: { type: new Float64(), value: same },
  'TIMESTAMP WITH TIME ZONE': { type: new TimestampMicrosecond('UTC'), value: microseconds },
  TIMESTAMP: { type: new TimestampMicrosecond(), value: microseconds },
};

const encodingOf = ({ type }: SqlColumn): Encoding =>
  encodings[type] ?? { type: new Utf8(), value: (value) => textOf(value, type) };

/** A result as an Arrow IPC stream in pieces: the schema, then a record batch for each chunk of rows. */
export async function* arrowPieces(result: SqlResult): AsyncGenerator<Uint8Array> {
  const columns = (result.columns ?? []).map((column) => ({ ...column, encoding: encodingOf(column) }));
  const schema = new Schema(columns.map(({ name, encoding }) => new Field(name, encoding.type, true)));
  const writer = new RecordBatchStreamWriter();
  writer.reset(undefined, schema);
  for await (const rows of result.chunks()) {
    const children = columns.map(({ encoding }, index) => {
      const values = rows.map((row) => {
        const value = row[index] ?? null;
        return value === null ? null : encoding.value(value);
      });
      return vectorFromArray(values, encoding.type).data[0];
    });
    const struct = makeData({
      type: new Struct(schema.fields),
      length: rows.length,
      nullCount: 0,
      children: children.filter((child) => child !== undefined),
    });
    writer.write(new RecordBatch(schema, struct));
    yield writer.toUint8Array(true);
  }
  writer.finish();
  yield writer.toUint8Array(true);
}
