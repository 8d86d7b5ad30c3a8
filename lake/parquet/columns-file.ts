import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';
import { FirnError, messageOf } from '../base/errors.ts';
import { footerLength, footerTailBytes } from './parquet-footer.ts';

// A Parquet file as its columns' pages, for readers that want some pages of some columns and their bytes as they are.
// All of it is synchronous: it is made for threads that do nothing else.

export interface ColumnsFile {
  readonly path: string;
  readonly groups: readonly ColumnsGroup[];
}

interface ColumnsGroup {
  readonly rows: number;
  /** By name; a column that the file lacks is absent. */
  readonly chunks: ReadonlyMap<string, ColumnChunk>;
}

export interface ColumnChunk {
  readonly offset: number;
  readonly bytes: number;
  readonly values: number;
  readonly codec: number;
  readonly encodings: readonly number[];
  /** Its pages begin with definition levels. */
  readonly optional: boolean;
  /** Of the statistics, as the column's plain encoding has them. */
  readonly min: Buffer | undefined;
  readonly max: Buffer | undefined;
  /** Rows that are null; undefined where that is not said. */
  readonly nulls: number | undefined;
  /** What the writer has noted beside it. */
  readonly notes: ReadonlyMap<string, string>;
}

export interface PageRef {
  readonly dictionary: boolean;
  readonly offset: number;
  readonly compressedBytes: number;
  readonly uncompressedBytes: number;
  /** Rows, or entries of a dictionary. */
  readonly values: number;
  readonly encoding: number;
  /** Among the rows of the row group. */
  readonly firstRow: number;
}

const OPTIONAL = 1;
const ZSTD = 6;
/** More than the header of a page takes. */
const headerBytesMax = 256;

/** Runs `body` with the file open. */
export function withFile<T>(path: string, body: (fd: number) => T): T {
  const fd = openSync(path, 'r');
  try {
    return decoded(path, () => body(fd));
  } finally {
    closeSync(fd);
  }
}

/** What decoders throw at bytes that are not what they should be is damage of the file. */
export function decoded<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const isOfSystem = error instanceof Error && 'syscall' in error;
    throw error instanceof FirnError || isOfSystem ? error : corrupt(path, messageOf(error));
  }
}

/** Reads the footer. Throws FirnError `corrupt` when there is none. */
export function readColumnsFile(path: string): ColumnsFile {
  return withFile(path, (fd) => {
    const { size } = fstatSync(fd);
    const tail =
      size < footerTailBytes ? Buffer.alloc(0) : readBytes(fd, path, size - footerTailBytes, footerTailBytes);
    const length = footerLength(tail);
    if (length === undefined || length > size - footerTailBytes) throw corrupt(path, 'it has no footer');
    const footer = new types.FileMetaData();
    util.decodeThrift(footer, readBytes(fd, path, size - footerTailBytes - length, length));
    const optional = new Set(
      footer.schema.filter(({ repetition_type: type }) => type === OPTIONAL).map(({ name }) => String(name)),
    );
    return {
      path,
      groups: footer.row_groups.map(({ num_rows: rows, columns }) => ({
        rows: Number(rows),
        chunks: new Map(
          columns.flatMap(({ meta_data: meta }) => {
            if (meta === null) return [];
            const name = String(meta.path_in_schema[0]);
            return [[name, chunkOf(meta, optional.has(name))] as const];
          }),
        ),
      })),
    };
  });
}

type Meta = NonNullable<
  InstanceType<typeof types.FileMetaData>['row_groups'][number]['columns'][number]['meta_data']
>;

function chunkOf(meta: Meta, optional: boolean): ColumnChunk {
  const { statistics } = meta;
  const bytesOf = (value: string | Uint8Array | null | undefined): Buffer | undefined =>
    value == null ? undefined : Buffer.from(value as string);
  return {
    offset: Number(meta.dictionary_page_offset ?? meta.data_page_offset),
    bytes: Number(meta.total_compressed_size),
    values: Number(meta.num_values),
    codec: meta.codec,
    encodings: meta.encodings,
    optional,
    min: bytesOf(statistics?.min_value),
    max: bytesOf(statistics?.max_value),
    nulls: statistics?.null_count == null ? undefined : Number(statistics.null_count),
    notes: new Map((meta.key_value_metadata ?? []).map(({ key, value }) => [String(key), String(value)])),
  };
}

/** The pages of a chunk in their order, by their headers. */
export function listPages(fd: number, path: string, chunk: ColumnChunk): readonly PageRef[] {
  const pages: PageRef[] = [];
  const end = chunk.offset + chunk.bytes;
  let firstRow = 0;
  for (let at = chunk.offset; firstRow < chunk.values; ) {
    const header = new types.PageHeader();
    const taken = util.decodeThrift(header, readBytes(fd, path, at, Math.min(headerBytesMax, end - at)));
    const { data_page_header: data, dictionary_page_header: entries } = header;
    const values = data?.num_values ?? entries?.num_values ?? -1;
    if (values < 0) throw unsupported(path, 'it has pages of another kind');
    const offset = at + taken;
    pages.push({
      ...{ dictionary: data === null, offset, values, firstRow, encoding: data?.encoding ?? 0 },
      ...{ compressedBytes: header.compressed_page_size, uncompressedBytes: header.uncompressed_page_size },
    });
    if (data) firstRow += values;
    at = offset + header.compressed_page_size;
    if (at > end || (data && values === 0)) throw corrupt(path, 'its pages are not as its footer says');
  }
  return pages;
}

export function readPage(fd: number, path: string, codec: number, page: PageRef): Buffer {
  const bytes = readBytes(fd, path, page.offset, page.compressedBytes);
  if (codec === 0) return bytes;
  if (codec !== ZSTD) throw unsupported(path, `it is compressed by codec ${codec}`);
  // One byte more: zlib makes a second chunk behind one that is full.
  const length = Math.max(64, page.uncompressedBytes + 1);
  return zstdDecompressSync(bytes, { maxOutputLength: length, chunkSize: length });
}

function readBytes(fd: number, path: string, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  if (readSync(fd, bytes, 0, length, position) < length) throw corrupt(path, 'it is too short');
  return bytes;
}

export function corrupt(path: string, why: string): FirnError {
  const message = `${path} is damaged: ${why}`;
  return new FirnError({ code: 'corrupt', operation: 'read segment', subject: path, message });
}

export function unsupported(path: string, why: string): FirnError {
  const message = `${path} was written by another program: ${why}`;
  return new FirnError({ code: 'unsupported', operation: 'read segment', subject: path, message });
}
