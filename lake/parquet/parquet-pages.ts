import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import compression from 'parquetjs-lite/lib/compression.js';
import util from 'parquetjs-lite/lib/util.js';
import type { Column } from '../schema/tables.ts';
import { compareUtf8 } from './series-order.ts';

// The pages of one column chunk: a dictionary page where values repeat, then one data page (version 1), both snappy.

export type ColumnValues =
  | { readonly kind: 'int64'; readonly values: BigInt64Array }
  /** Bytes are copied, so NaN payloads stay as they are. */
  | { readonly kind: 'double'; readonly values: Float64Array }
  /** Texts or 64-bit integers, as the column has. */
  | { readonly kind: 'nullable'; readonly values: readonly (string | bigint | null)[] }
  /** Null in every row. */
  | { readonly kind: 'nulls' }
  /** Text that changes seldom: `runs` counts how often each entry is repeated, in order of rows. */
  | { readonly kind: 'runs'; readonly entries: readonly string[]; readonly runs: readonly Run[] };

export interface Run {
  /** Index into `entries`. */
  readonly entry: number;
  readonly count: number;
}

export interface ColumnPages {
  readonly bytes: Buffer;
  /** Length of the dictionary page at the start of `bytes`, 0 without one. */
  readonly dictionaryBytes: number;
  readonly uncompressedBytes: number;
  /** Fields of Thrift's `Statistics`. */
  readonly statistics: Readonly<Record<string, unknown>>;
}

export const encodings = { plain: 0, dictionary: 2, rle: 3 } as const;
const DATA_PAGE = 0;
const DICTIONARY_PAGE = 2;

export function encodeColumn(column: Column, values: ColumnValues, rows: number): ColumnPages {
  const levels = column.required ? [] : [definitionLevels(values, rows)];
  if (values.kind !== 'runs') {
    const page = dataPage(Buffer.concat([...levels, plain(values)]), rows, encodings.plain);
    return { ...page, dictionaryBytes: 0, statistics: statisticsOf(values, rows) };
  }
  const entries = plain({ kind: 'nullable', values: values.entries });
  const dictionary = pageOf(DICTIONARY_PAGE, entries, {
    dictionary_page_header: new types.DictionaryPageHeader({
      num_values: values.entries.length,
      encoding: encodings.dictionary,
    }),
  });
  const codes = encodeRuns(values.runs, values.entries.length);
  const data = dataPage(Buffer.concat([...levels, codes]), rows, encodings.dictionary);
  return {
    bytes: Buffer.concat([dictionary.bytes, data.bytes]),
    dictionaryBytes: dictionary.bytes.byteLength,
    uncompressedBytes: dictionary.uncompressedBytes + data.uncompressedBytes,
    statistics: statisticsOf(values, rows),
  };
}

type Page = Pick<ColumnPages, 'bytes' | 'uncompressedBytes'>;

function dataPage(body: Buffer, rows: number, encoding: number): Page {
  const levels = { definition_level_encoding: encodings.rle, repetition_level_encoding: encodings.rle };
  return pageOf(DATA_PAGE, body, {
    data_page_header: new types.DataPageHeader({ num_values: rows, encoding, ...levels }),
  });
}

function pageOf(type: number, body: Buffer, header: Readonly<Record<string, unknown>>): Page {
  const compressed = compression.deflate('SNAPPY', body);
  const sizes = { uncompressed_page_size: body.byteLength, compressed_page_size: compressed.byteLength };
  const head = util.serializeThrift(new types.PageHeader({ type, ...sizes, ...header }));
  return {
    bytes: Buffer.concat([head, compressed]),
    uncompressedBytes: head.byteLength + body.byteLength,
  };
}

/** PLAIN: 8 bytes a number; a text is its length in 4 bytes and its UTF-8 bytes. Nulls are left out. */
function plain(column: Exclude<ColumnValues, { kind: 'runs' }>): Buffer {
  if (column.kind === 'nulls') return Buffer.alloc(0);
  if (column.kind !== 'nullable') {
    const { buffer, byteOffset, byteLength } = column.values;
    return Buffer.from(buffer, byteOffset, byteLength);
  }
  const parts: Buffer[] = [];
  for (const value of column.values) {
    if (typeof value === 'bigint') parts.push(Buffer.from(BigInt64Array.of(value).buffer));
    if (typeof value !== 'string') continue;
    const length = Buffer.alloc(4);
    length.writeUInt32LE(Buffer.byteLength(value));
    parts.push(length, Buffer.from(value));
  }
  return Buffer.concat(parts);
}

/** 1 where a row has a value and 0 where it is null, in runs, after their length in 4 bytes. */
function definitionLevels(column: ColumnValues, rows: number): Buffer {
  const runs: { entry: number; count: number }[] = [];
  if (column.kind === 'nullable') {
    for (const value of column.values) {
      const entry = value === null ? 0 : 1;
      const last = runs.at(-1);
      if (last?.entry === entry) last.count++;
      else runs.push({ entry, count: 1 });
    }
  } else {
    runs.push({ entry: column.kind === 'nulls' ? 0 : 1, count: rows });
  }
  const body = Buffer.concat(runs.map((run) => encodeRun(run, 1)));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.byteLength);
  return Buffer.concat([length, body]);
}

/** Dictionary indices: the bit width, then runs of the RLE / bit-packed hybrid (only RLE ones). */
function encodeRuns(runs: readonly Run[], entries: number): Buffer {
  const bitWidth = Math.max(1, 32 - Math.clz32(entries - 1));
  return Buffer.concat([
    Buffer.from([bitWidth]),
    ...runs.map((run) => encodeRun(run, Math.ceil(bitWidth / 8))),
  ]);
}

function encodeRun({ entry, count }: Run, valueBytes: number): Buffer {
  const bytes: number[] = [];
  let header = count * 2;
  for (; header > 127; header = Math.floor(header / 128)) bytes.push((header % 128) + 128);
  bytes.push(header);
  for (let byte = 0; byte < valueBytes; byte++) bytes.push((entry >>> (8 * byte)) & 255);
  return Buffer.from(bytes);
}

/** Bounds where readers prune by them. Not for doubles: a NaN must not become a bound. */
function statisticsOf(column: ColumnValues, rows: number): ColumnPages['statistics'] {
  if (column.kind === 'double') return { null_count: 0 };
  if (column.kind === 'nulls') return { null_count: rows };
  if (column.kind === 'nullable')
    return { null_count: column.values.filter((value) => value === null).length };
  const [min, max] = column.kind === 'int64' ? int64Bounds(column.values) : textBounds(column.entries);
  return { null_count: 0, min_value: min, max_value: max };
}

function int64Bounds(values: BigInt64Array): [Buffer, Buffer] {
  let min = values[0] ?? 0n;
  let max = min;
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [Buffer.from(BigInt64Array.of(min).buffer), Buffer.from(BigInt64Array.of(max).buffer)];
}

function textBounds(entries: readonly string[]): [Buffer, Buffer] {
  const sorted = entries.toSorted(compareUtf8);
  return [Buffer.from(sorted[0] ?? ''), Buffer.from(sorted.at(-1) ?? '')];
}
