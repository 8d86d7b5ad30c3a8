import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { FirnError, messageOf } from '../base/errors.ts';
import { footerLength, footerTailBytes } from './parquet-footer.ts';
import { bytesOf, numberOf, partsOf, readThrift, type ThriftStruct, type ThriftValue } from './thrift.ts';

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

/**
 * Reads the footer; only these columns of it, where they are given: what is kept of a gigabyte of lines is a megabyte then.
 * Throws FirnError `corrupt` when there is none.
 */
export function readColumnsFile(path: string, names?: readonly string[]): ColumnsFile {
  return withFile(path, (fd) => {
    const { size } = fstatSync(fd);
    const tail =
      size < footerTailBytes ? Buffer.alloc(0) : readBytes(fd, path, size - footerTailBytes, footerTailBytes);
    const length = footerLength(tail);
    if (length === undefined || length > size - footerTailBytes) throw corrupt(path, 'it has no footer');
    const footer = readThrift(readBytes(fd, path, size - footerTailBytes - length, length)).fields;
    const optional = new Set(
      elementsOf(footer[fileFields.schema])
        .filter((element) => element[schemaFields.repetition] === OPTIONAL)
        .map((element) => textOf(element[schemaFields.name])),
    );
    return {
      path,
      groups: elementsOf(footer[fileFields.rowGroups]).map((group) => ({
        rows: numberOf(group[groupFields.rows]) ?? 0,
        chunks: new Map(
          elementsOf(group[groupFields.columns]).flatMap((column) => {
            const meta = partsOf(column[columnFields.metadata]);
            if (meta === undefined) return [];
            const name = textOf(partsOf(meta[chunkFields.path])?.[0]);
            if (names?.includes(name) === false) return [];
            return [[name, chunkOf(meta, optional.has(name))] as const];
          }),
        ),
      })),
    };
  });
}

// Of the structs in parquet.thrift, the ids of the fields that are read.
const fileFields = { schema: 2, rowGroups: 4 } as const;
const schemaFields = { repetition: 3, name: 4 } as const;
const groupFields = { columns: 1, rows: 3 } as const;
const columnFields = { metadata: 3 } as const;
const chunkFields = {
  ...{ encodings: 2, path: 3, codec: 4, values: 5, compressedBytes: 7, notes: 8, dataOffset: 9 },
  ...{ dictionaryOffset: 11, statistics: 12 },
} as const;
const noteFields = { key: 1, value: 2 } as const;
const statisticsFields = { nulls: 3, max: 5, min: 6 } as const;
const pageFields = { uncompressedBytes: 2, compressedBytes: 3, data: 5, dictionary: 7 } as const;
const pageKindFields = { values: 1, encoding: 2 } as const;

const elementsOf = (list: ThriftValue | undefined): ThriftStruct[] =>
  (partsOf(list) ?? []).map((element) => partsOf(element) ?? []);
const textOf = (value: ThriftValue | undefined): string => bytesOf(value)?.toString() ?? '';

/** Bytes that do not keep the footer that they are from. */
function copyOf(value: ThriftValue | undefined): Buffer | undefined {
  const bytes = bytesOf(value);
  return bytes && Buffer.from(bytes);
}

/** A number that every chunk and page has. */
function required(value: ThriftValue | undefined): number {
  const number = numberOf(value);
  if (number === undefined) throw new RangeError('a footer lacks a number');
  return number;
}

function chunkOf(meta: ThriftStruct, optional: boolean): ColumnChunk {
  const statistics = partsOf(meta[chunkFields.statistics]) ?? [];
  return {
    offset: numberOf(meta[chunkFields.dictionaryOffset]) ?? required(meta[chunkFields.dataOffset]),
    bytes: required(meta[chunkFields.compressedBytes]),
    values: required(meta[chunkFields.values]),
    codec: required(meta[chunkFields.codec]),
    encodings: (partsOf(meta[chunkFields.encodings]) ?? []).map(required),
    optional,
    min: copyOf(statistics[statisticsFields.min]),
    max: copyOf(statistics[statisticsFields.max]),
    nulls: numberOf(statistics[statisticsFields.nulls]),
    notes: notesOf(meta),
  };
}

function notesOf(meta: ThriftStruct): ColumnChunk['notes'] {
  const notes = elementsOf(meta[chunkFields.notes]);
  if (notes.length === 0) return noNotes;
  return new Map(notes.map((note) => [textOf(note[noteFields.key]), textOf(note[noteFields.value])]));
}

const noNotes: ColumnChunk['notes'] = new Map();

/** The pages of a chunk in their order, by their headers. */
export function listPages(fd: number, path: string, chunk: ColumnChunk): readonly PageRef[] {
  const pages: PageRef[] = [];
  const end = chunk.offset + chunk.bytes;
  let firstRow = 0;
  for (let at = chunk.offset; firstRow < chunk.values; ) {
    const { fields, bytesRead } = readThrift(readBytes(fd, path, at, Math.min(headerBytesMax, end - at)));
    const data = partsOf(fields[pageFields.data]);
    const kind = data ?? partsOf(fields[pageFields.dictionary]);
    if (kind === undefined) throw unsupported(path, 'it has pages of another kind');
    const values = required(kind[pageKindFields.values]);
    const offset = at + bytesRead;
    const compressedBytes = required(fields[pageFields.compressedBytes]);
    const uncompressedBytes = required(fields[pageFields.uncompressedBytes]);
    const encoding = data ? required(data[pageKindFields.encoding]) : 0;
    pages.push({
      ...{ dictionary: data === undefined, offset, values, firstRow, encoding },
      ...{ compressedBytes, uncompressedBytes },
    });
    if (data) firstRow += values;
    at = offset + compressedBytes;
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
