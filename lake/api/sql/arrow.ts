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
  Schema,
  Table,
  TimestampMicrosecond,
  tableToIPC,
  Utf8,
} from 'apache-arrow';
import type { RowChunk } from '../../sql/row-chunk.ts';
import type { SqlResult } from '../../sql/sql-session.ts';
import { type ArrowLayout, recordBatch, textBytesOf } from './arrow-batch.ts';

interface ArrowType {
  readonly type: DataType;
  readonly layout: ArrowLayout;
}

/** DuckDB's types that Arrow has too; every other column is text. */
const types: Readonly<Record<string, ArrowType>> = {
  BOOLEAN: { type: new Bool(), layout: { kind: 'bits' } },
  TINYINT: { type: new Int8(), layout: { kind: 'fixed', items: Int8Array } },
  SMALLINT: { type: new Int16(), layout: { kind: 'fixed', items: Int16Array } },
  INTEGER: { type: new Int32(), layout: { kind: 'fixed', items: Int32Array } },
  BIGINT: { type: new Int64(), layout: { kind: 'fixed', items: BigInt64Array } },
  FLOAT: { type: new Float32(), layout: { kind: 'fixed', items: Float32Array } },
  DOUBLE: { type: new Float64(), layout: { kind: 'fixed', items: Float64Array } },
  'TIMESTAMP WITH TIME ZONE': {
    type: new TimestampMicrosecond('UTC'),
    layout: { kind: 'fixed', items: BigInt64Array },
  },
  TIMESTAMP: { type: new TimestampMicrosecond(), layout: { kind: 'fixed', items: BigInt64Array } },
};
const text: ArrowType = { type: new Utf8(), layout: { kind: 'texts' } };
const typeOf = (duckdb: string): ArrowType => types[duckdb] ?? text;

/** The end of a stream: a continuation marker and no message. */
const endBytes = 8;

/** So many chunks of DuckDB's, of 2048 rows each, are a batch, or fewer whose texts are so many bytes. */
const batchChunks = 8;
const batchTextBytes = 2_097_152;

/** A result as an Arrow IPC stream in pieces: the schema, then record batches, then the end. */
export async function* arrowPieces(result: SqlResult): AsyncGenerator<Uint8Array> {
  const columns = result.columns ?? [];
  const schema = new Schema(columns.map(({ name, type }) => new Field(name, typeOf(type).type, true)));
  const empty = tableToIPC(new Table(schema), 'stream');
  const schemaBytes = empty.length - endBytes;
  yield empty.subarray(0, schemaBytes);
  const batchOf = (chunks: readonly RowChunk[]): Uint8Array =>
    recordBatch(chunks, columns, (type) => typeOf(type).layout);
  let chunks: RowChunk[] = [];
  let textBytes = 0;
  for await (const chunk of result.chunks()) {
    chunks.push(chunk);
    textBytes += textBytesOf(chunk, columns.length);
    if (chunks.length < batchChunks && textBytes < batchTextBytes) continue;
    yield batchOf(chunks);
    chunks = [];
    textBytes = 0;
  }
  if (chunks.length > 0) yield batchOf(chunks);
  yield empty.subarray(schemaBytes);
}
