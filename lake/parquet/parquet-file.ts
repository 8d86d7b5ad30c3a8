import { type FileHandle, open } from 'node:fs/promises';
import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';
import type { Column, TableSchema } from '../schema/tables.ts';
import { type ColumnPages, type ColumnValues, encodeColumn, encodings, quickLevel } from './parquet-pages.ts';
import { trigramsNote } from './trigrams.ts';

// A Parquet file, row group by row group: `PAR1`, column chunks, footer, footer length, `PAR1`
// (parquet.apache.org/docs/file-format). The structures and their encoding are parquetjs-lite's; its own writer is not
// used, because it passes integers through parseInt (64-bit ids lose their low bits), refuses NaN and times before
// 1970, and writes neither field ids nor dictionaries.

export interface ParquetFile extends AsyncDisposable {
  /** One array a column, in the order of the columns. */
  writeRowGroup(rows: number, values: readonly ColumnValues[]): Promise<void>;
  /** Writes the footer; nothing can be written after it. */
  finish(): Promise<void>;
}

type Struct = InstanceType<typeof types.RowGroup>;

const magic = Buffer.from('PAR1');
const physicalTypes = { long: 2, double: 5, timestamptz: 2, string: 6 } as const;
const ZSTD = 6;

type FileSchema = Pick<TableSchema, 'columns' | 'bloomColumns' | 'searchedColumns'>;

/** `level` is zstd's. */
export async function createParquetFile(
  path: string,
  { columns, bloomColumns = [], searchedColumns = [] }: FileSchema,
  level = quickLevel,
): Promise<ParquetFile> {
  const file = await open(path, 'w');
  const rowGroups: PlacedRowGroup[] = [];
  let offset = 0;
  let allRows = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    await writeAll(file, bytes);
    offset += bytes.byteLength;
  };
  await write(magic);

  return {
    writeRowGroup: async (rows, values) => {
      const chunks: PlacedChunk[] = [];
      const start = offset;
      for (const [index, column] of columns.entries()) {
        const value = values[index];
        if (value === undefined) throw new RangeError(`no values for column ${column.name}`);
        const bloomFilter = bloomColumns.includes(column.name);
        // What is written again soon need not be searched fast.
        const trigrams = level > quickLevel && searchedColumns.includes(column.name);
        const { bytes, ...pages } = encodeColumn(column, value, rows, { level, bloomFilter, trigrams });
        chunks.push({ ...pages, column, offset, bytes: bytes.byteLength });
        await write(bytes);
      }
      rowGroups.push({ chunks, bytes: offset - start, rows });
      allRows += rows;
    },
    finish: async () => {
      // Filters stand together before the footer, those of a column side by side: who looks for a value reads them at once.
      for (const index of columns.keys())
        for (const { chunks } of rowGroups) {
          const chunk = chunks[index];
          if (chunk?.bloomFilter) {
            chunk.bloomOffset = offset;
            await write(chunk.bloomFilter);
          }
          if (chunk?.trigrams) {
            chunk.trigramsOffset = offset;
            await write(chunk.trigrams.bytes);
          }
        }
      const footer = util.serializeThrift(footerOf(columns, allRows, rowGroups.map(rowGroupStruct)));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(footer.byteLength);
      await write(Buffer.concat([footer, length, magic]));
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.byteLength; )
    written += (await file.write(bytes, written)).bytesWritten;
}

/** A column chunk that is written; `bytes` is its length. */
interface PlacedChunk extends Omit<ColumnPages, 'bytes'> {
  readonly column: Column;
  readonly offset: number;
  readonly bytes: number;
  /** Where its Bloom filter is. */
  bloomOffset?: number;
  /** Where its trigrams are. */
  trigramsOffset?: number;
}

interface PlacedRowGroup {
  readonly chunks: readonly PlacedChunk[];
  readonly bytes: number;
  readonly rows: number;
}

function rowGroupStruct({ chunks, bytes, rows }: PlacedRowGroup): Struct {
  const columns = chunks.map((chunk) => columnChunk(chunk, rows));
  return new types.RowGroup({ columns, total_byte_size: bytes, num_rows: rows });
}

function columnChunk(chunk: PlacedChunk, rows: number): Struct {
  const { column, offset, bytes, dictionaryBytes, uncompressedBytes, encoding, statistics } = chunk;
  const meta = new types.ColumnMetaData({
    type: physicalTypes[column.type],
    encodings: [encoding, encodings.rle],
    path_in_schema: [column.name],
    codec: ZSTD,
    num_values: rows,
    total_uncompressed_size: uncompressedBytes,
    total_compressed_size: bytes,
    data_page_offset: offset + dictionaryBytes,
    ...(dictionaryBytes > 0 ? { dictionary_page_offset: offset } : {}),
    statistics: new types.Statistics(statistics),
    ...notesOf(chunk),
  });
  return new types.ColumnChunk({ file_offset: offset, meta_data: withBloomFilter(meta, chunk) });
}

/** Where the trigrams are, in words that only Firn reads. */
function notesOf({ trigrams, trigramsOffset }: PlacedChunk): object {
  if (trigrams === undefined || trigramsOffset === undefined) return {};
  const value = `${trigramsOffset} ${trigrams.bytes.byteLength} ${trigrams.uncompressedBytes}`;
  return { key_value_metadata: [new types.KeyValue({ key: trigramsNote, value })] };
}

/** The fields of `ColumnMetaData` that parquetjs-lite's structures are too old for: 14, where it is, and 15, its length. */
function withBloomFilter(meta: Struct, { bloomOffset, bloomFilter }: PlacedChunk): Struct {
  if (bloomOffset === undefined || bloomFilter === undefined) return meta;
  const write = (protocol: ThriftOutput): void => {
    // Before the stop of its own fields; structures within it have stops, too.
    const output = Object.create(protocol) as ThriftOutput;
    let depth = 0;
    output.writeStructBegin = (name) => {
      depth++;
      protocol.writeStructBegin.call(output, name);
    };
    output.writeStructEnd = () => {
      depth--;
      protocol.writeStructEnd.call(output);
    };
    output.writeFieldStop = () => {
      if (depth === 1) {
        output.writeFieldBegin('bloom_filter_offset', thriftI64, 14);
        output.writeI64(bloomOffset);
        output.writeFieldBegin('bloom_filter_length', thriftI32, 15);
        output.writeI32(bloomFilter.byteLength);
      }
      protocol.writeFieldStop.call(output);
    };
    meta.write(output);
  };
  return { write: (protocol) => write(protocol as ThriftOutput) };
}

const thriftI32 = 8;
const thriftI64 = 10;

/** What of Thrift's protocols is used here. */
interface ThriftOutput {
  writeStructBegin(name: string): void;
  writeStructEnd(): void;
  writeFieldBegin(name: string, type: number, id: number): void;
  writeFieldStop(): void;
  writeI32(value: number): void;
  writeI64(value: number): void;
}

function footerOf(columns: readonly Column[], rows: number, rowGroups: readonly Struct[]): Struct {
  const root = new types.SchemaElement({ name: 'firn', num_children: columns.length });
  return new types.FileMetaData({
    version: 1,
    schema: [root, ...columns.map(schemaElement)],
    num_rows: rows,
    row_groups: rowGroups,
    created_by: 'firn',
    column_orders: columns.map(() => new types.ColumnOrder({ TYPE_ORDER: new types.TypeDefinedOrder() })),
  });
}

function schemaElement({ name, type, required, fieldId }: Column): Struct {
  const OPTIONAL = 1;
  const text = { converted_type: 0, logicalType: new types.LogicalType({ STRING: new types.StringType() }) };
  const micros = new types.TimeUnit({ MICROS: new types.MicroSeconds() });
  const timestamp = {
    converted_type: 10,
    logicalType: new types.LogicalType({
      TIMESTAMP: new types.TimestampType({ isAdjustedToUTC: true, unit: micros }),
    }),
  };
  return new types.SchemaElement({
    name,
    type: physicalTypes[type],
    repetition_type: required ? 0 : OPTIONAL,
    field_id: fieldId,
    ...(type === 'string' ? text : type === 'timestamptz' ? timestamp : {}),
  });
}
