import { type FileHandle, open } from 'node:fs/promises';
import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';
import type { Column } from '../schema/tables.ts';
import { type ColumnPages, type ColumnValues, encodeColumn, encodings, quickLevel } from './parquet-pages.ts';

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

/** `level` is zstd's. */
export async function createParquetFile(
  path: string,
  columns: readonly Column[],
  level = quickLevel,
): Promise<ParquetFile> {
  const file = await open(path, 'w');
  const rowGroups: Struct[] = [];
  let offset = 0;
  let allRows = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    await writeAll(file, bytes);
    offset += bytes.byteLength;
  };
  await write(magic);

  return {
    writeRowGroup: async (rows, values) => {
      const chunks: Struct[] = [];
      const start = offset;
      for (const [index, column] of columns.entries()) {
        const value = values[index];
        if (value === undefined) throw new RangeError(`no values for column ${column.name}`);
        const pages = encodeColumn(column, value, rows, level);
        chunks.push(columnChunk(column, pages, rows, offset));
        await write(pages.bytes);
      }
      rowGroups.push(
        new types.RowGroup({ columns: chunks, total_byte_size: offset - start, num_rows: rows }),
      );
      allRows += rows;
    },
    finish: async () => {
      const footer = util.serializeThrift(footerOf(columns, allRows, rowGroups));
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

function columnChunk(column: Column, pages: ColumnPages, rows: number, offset: number): Struct {
  const { bytes, dictionaryBytes, uncompressedBytes, encoding, statistics } = pages;
  const meta = new types.ColumnMetaData({
    type: physicalTypes[column.type],
    encodings: [encoding, encodings.rle],
    path_in_schema: [column.name],
    codec: ZSTD,
    num_values: rows,
    total_uncompressed_size: uncompressedBytes,
    total_compressed_size: bytes.byteLength,
    data_page_offset: offset + dictionaryBytes,
    ...(dictionaryBytes > 0 ? { dictionary_page_offset: offset } : {}),
    statistics: new types.Statistics(statistics),
  });
  return new types.ColumnChunk({ file_offset: offset, meta_data: meta });
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
