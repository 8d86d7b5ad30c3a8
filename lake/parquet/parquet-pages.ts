import { constants, zstdCompressSync } from 'node:zlib';
import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';
import { type Column, tableSchemas } from '../schema/tables.ts';
import { printBloomFilter } from './bloom-filter.ts';
import { encodeDelta } from './delta-packed.ts';
import { dictionaryOf64, dictionaryOfAny, dictionaryOfTexts, halvesOf } from './dictionary.ts';
import { bitWidthOf, encodeHybrid } from './hybrid-runs.ts';
import { compareUtf8 } from './series-order.ts';
import type { PlacedTexts } from './sorted-rows.ts';
import { trigramsOf } from './trigrams.ts';

// The pages of one column chunk: a dictionary page where values repeat, then a data page (version 1; several where they
// are much text), all zstd.

export type ColumnValues =
  /** 64-bit integers, or doubles by their bits: NaN payloads stay as they are. */
  | { readonly kind: 'bits'; readonly values: BigInt64Array }
  /** Texts or 64-bit integers, as the column has. */
  | { readonly kind: 'nullable'; readonly values: readonly (string | bigint | null)[] }
  /** Of texts that are bytes, those of these rows. */
  | { readonly kind: 'texts'; readonly texts: PlacedTexts; readonly rows: Uint32Array }
  /** Null in every row. */
  | { readonly kind: 'nulls' }
  /** Texts that rows have by number. */
  | { readonly kind: 'codes'; readonly entries: readonly string[]; readonly codes: Uint32Array };

export interface ColumnPages {
  readonly bytes: Buffer;
  /** Length of the dictionary page at the start of `bytes`, 0 without one. */
  readonly dictionaryBytes: number;
  readonly uncompressedBytes: number;
  /** Of the data page. */
  readonly encoding: number;
  /** Fields of Thrift's `Statistics`. */
  readonly statistics: Readonly<Record<string, unknown>>;
  readonly bloomFilter?: Buffer | undefined;
  /** Of the data pages: compressed, and the length that they have unpacked (trigrams.ts). */
  readonly trigrams?: { readonly bytes: Buffer; readonly uncompressedBytes: number } | undefined;
}

export interface PageOptions {
  /** zstd's. */
  readonly level: number;
  /** Whether it has a Bloom filter. */
  readonly bloomFilter: boolean;
  /** Whether it says which three bytes its texts have. */
  readonly trigrams: boolean;
}

export const encodings = { plain: 0, dictionary: 2, rle: 3, delta: 5 } as const;
const DATA_PAGE = 0;
const DICTIONARY_PAGE = 2;
/** Of zstd, for what is written again soon: a second level costs half as much again and saves a few percent. */
export const quickLevel = 1;
/** Of the rows may have a value of their own in a column with a dictionary. */
const entriesShareMax = 0.5;
/** A longer text is no bound: readers gain nothing by it. */
const boundBytesMax = 128;

/** Values that are not null: all of them, or what they may be and which of it each one is. */
interface Present {
  readonly entries: BigInt64Array | readonly (string | bigint)[] | PickedTexts;
  readonly codes?: Uint32Array;
}

export function encodeColumn(
  column: Column,
  values: ColumnValues,
  rows: number,
  { level, bloomFilter: filtered, trigrams: searched }: PageOptions,
): ColumnPages {
  const times = isTime(column) && values.kind === 'bits' ? encodeDelta(values.values) : undefined;
  if (times !== undefined && values.kind === 'bits') {
    const levels = column.required ? [] : [definitionLevels(values, rows)];
    const page = dataPage(Buffer.concat([...levels, times]), rows, encodings.delta, level);
    const statistics = { null_count: 0, ...boundsOf(column, { entries: values.values }) };
    return { ...page, dictionaryBytes: 0, encoding: encodings.delta, statistics };
  }
  const present = column.type === 'double' ? inOrder(presentOf(values)) : presentOf(values);
  const levels = column.required ? [] : [definitionLevels(values, rows)];
  const entries = plain(present.entries);
  const nulls = rows - (present.codes ?? present.entries).length;
  const statistics = { null_count: nulls, ...boundsOf(column, present) };
  const bloomFilter = filtered ? bloomFilterOf(present.entries) : undefined;
  if (present.codes === undefined) {
    const pages = plainPages(column, entries, levels, rows, level);
    const trigrams = searched
      ? packedTrigrams(
          pages.map((page) => page.values),
          level,
        )
      : undefined;
    const bytes = Buffer.concat(pages.map((page) => page.bytes));
    const uncompressedBytes = pages.reduce((sum, page) => sum + page.uncompressedBytes, 0);
    const data = { bytes, uncompressedBytes, dictionaryBytes: 0, encoding: encodings.plain };
    return { ...data, statistics, bloomFilter, trigrams };
  }
  const header = new types.DictionaryPageHeader({
    num_values: present.entries.length,
    encoding: encodings.dictionary,
  });
  const dictionary = pageOf(DICTIONARY_PAGE, entries, { dictionary_page_header: header }, level);
  const bitWidth = codeWidth(column, present.entries.length);
  const codes = [Buffer.of(bitWidth), encodeHybrid(present.codes, bitWidth)];
  const data = dataPage(Buffer.concat([...levels, ...codes]), rows, encodings.dictionary, level);
  return {
    bytes: Buffer.concat([dictionary.bytes, data.bytes]),
    dictionaryBytes: dictionary.bytes.byteLength,
    uncompressedBytes: dictionary.uncompressedBytes + data.uncompressedBytes,
    encoding: encodings.dictionary,
    statistics,
    bloomFilter,
    trigrams: searched ? packedTrigrams([entries], level) : undefined,
  };
}

/** Of data pages, by the texts that they have. */
function packedTrigrams(pages: readonly Buffer[], level: number): ColumnPages['trigrams'] {
  const sets = Buffer.concat(pages.map(trigramsOf));
  return { bytes: compressed(sets, level), uncompressedBytes: sets.byteLength };
}

/** Undefined where every row is null: readers see that by the number of nulls. */
function bloomFilterOf(entries: Present['entries']): Buffer | undefined {
  if (entries.length === 0) return undefined;
  if (!(entries instanceof BigInt64Array)) {
    if (typeof (entries as readonly unknown[])[0] === 'bigint')
      return bloomFilterOf(BigInt64Array.from(entries as bigint[]));
    return printBloomFilter(bytesOfTexts(entries as readonly string[] | PickedTexts), entries.length);
  }
  const bytes = plain(entries);
  const values = Array.from(entries, (_, index) => bytes.subarray(8 * index, 8 * index + 8));
  return printBloomFilter(values, entries.length);
}

/** Columns of nanoseconds that a time is made of. */
const nanosecondColumns = new Set(
  Object.values(tableSchemas).flatMap(({ columns }) =>
    columns.flatMap(({ source }) => (typeof source === 'object' ? source.nanoseconds : [])),
  ),
);

const isTime = ({ type, name }: Column): boolean => type === 'timestamptz' || nanosecondColumns.has(name);

/**
 * Codes of doubles take whole bytes: neighbours of a series are mostly near each other, their codes in the order of the
 * values too, and zstd, which sees bytes, makes a third less of them than of packed bits.
 */
const codeWidth = ({ type }: Column, entries: number): number =>
  type === 'double' ? 8 * Math.ceil(bitWidthOf(entries) / 8) : bitWidthOf(entries);

/** The dictionary in the order of the numbers; NaNs and both zeros stay apart, by their bits. */
function inOrder(present: Present): Present {
  const { entries, codes } = present;
  if (codes === undefined || !(entries instanceof BigInt64Array)) return present;
  const numbers = new Float64Array(entries.buffer, entries.byteOffset, entries.length);
  const order = Uint32Array.from(entries.keys()).sort((a, b) => {
    const [one, other] = [numbers[a] ?? 0, numbers[b] ?? 0];
    return one < other ? -1 : one > other ? 1 : a - b;
  });
  const rankOf = new Uint32Array(order.length);
  for (let rank = 0; rank < order.length; rank++) rankOf[order[rank] ?? 0] = rank;
  return {
    entries: BigInt64Array.from(order, (code) => entries[code] ?? 0n),
    codes: codes.map((code) => rankOf[code] ?? 0),
  };
}

function presentOf(values: ColumnValues): Present {
  if (values.kind === 'codes') return values;
  if (values.kind === 'nulls') return { entries: [] };
  if (values.kind === 'texts') return presentTexts(values.texts, values.rows);
  if (values.kind === 'bits')
    return (
      dictionaryOf64(values.values, values.values.length * entriesShareMax) ?? { entries: values.values }
    );
  const present = values.values.filter((value) => value !== null);
  if (present.length === 0) return { entries: [] };
  return dictionaryOfAny(present, present.length * entriesShareMax) ?? { entries: present };
}

/** Some rows of a column of texts. */
interface PickedTexts {
  readonly kind: 'texts';
  readonly texts: PlacedTexts;
  readonly rows: Uint32Array;
  readonly length: number;
}

const pickedTexts = (texts: PlacedTexts, rows: Uint32Array): PickedTexts => ({
  ...{ kind: 'texts', texts, rows, length: rows.length },
});

function presentTexts(texts: PlacedTexts, rows: Uint32Array): Present {
  const present = rows.filter((row) => (texts.lengths[row] ?? -1) >= 0);
  if (present.length === 0) return { entries: [] };
  const found = dictionaryOfTexts(texts, present, present.length * entriesShareMax);
  if (found === undefined) return { entries: pickedTexts(texts, present) };
  return { entries: pickedTexts(texts, found.entries), codes: found.codes };
}

const isPicked = (entries: Present['entries']): entries is PickedTexts =>
  (entries as Partial<PickedTexts>).kind === 'texts';

type Page = Pick<ColumnPages, 'bytes' | 'uncompressedBytes'>;

/** Of texts in a page: whoever wants some rows unpacks no more than that, and larger pages are hardly smaller. */
const textPageBytes = 1024 * 1024;

interface PlainPage extends Page {
  readonly values: Buffer;
}

/** Plain values as one page, or where they are much text as several. */
function plainPages(
  { type, required }: Column,
  entries: Buffer,
  levels: readonly Buffer[],
  rows: number,
  level: number,
): PlainPage[] {
  const pages: PlainPage[] = [];
  let [start, startRow] = [0, 0];
  // Where rows may be null their number does not follow from the bytes.
  if (type === 'string' && required)
    for (let [at, row] = [0, 0]; row < rows; row++) {
      if (at - start >= textPageBytes) {
        const values = entries.subarray(start, at);
        pages.push({ ...dataPage(values, row - startRow, encodings.plain, level), values });
        [start, startRow] = [at, row];
      }
      at += 4 + entries.readUInt32LE(at);
    }
  const values = entries.subarray(start);
  const last = dataPage(Buffer.concat([...levels, values]), rows - startRow, encodings.plain, level);
  return [...pages, { ...last, values }];
}

function dataPage(body: Buffer, rows: number, encoding: number, level: number): Page {
  const levels = { definition_level_encoding: encodings.rle, repetition_level_encoding: encodings.rle };
  const header = new types.DataPageHeader({ num_values: rows, encoding, ...levels });
  return pageOf(DATA_PAGE, body, { data_page_header: header }, level);
}

const compressed = (body: Buffer, level: number): Buffer =>
  zstdCompressSync(body, { params: { [constants.ZSTD_c_compressionLevel]: level } });

function pageOf(type: number, body: Buffer, header: Readonly<Record<string, unknown>>, level: number): Page {
  const packed = compressed(body, level);
  const sizes = { uncompressed_page_size: body.byteLength, compressed_page_size: packed.byteLength };
  const head = util.serializeThrift(new types.PageHeader({ type, ...sizes, ...header }));
  return {
    bytes: Buffer.concat([head, packed]),
    uncompressedBytes: head.byteLength + body.byteLength,
  };
}

/** PLAIN: 8 bytes a number; a text is its length in 4 bytes and its UTF-8 bytes. */
function plain(values: Present['entries']): Buffer {
  if (values instanceof BigInt64Array)
    return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  if (isPicked(values)) return plainTexts(values);
  if (typeof values[0] === 'bigint') return Buffer.from(BigInt64Array.from(values as bigint[]).buffer);
  const texts = values as readonly string[];
  // A UTF-16 unit takes three bytes at most.
  const bytes = Buffer.allocUnsafe(texts.reduce((sum, text) => sum + 4 + 3 * text.length, 0));
  let end = 0;
  for (const text of texts) {
    const length = bytes.write(text, end + 4);
    bytes.writeUInt32LE(length, end);
    end += 4 + length;
  }
  return bytes.subarray(0, end);
}

function plainTexts({ texts: { lengths, offsets, bytes: from }, rows }: PickedTexts): Buffer {
  let total = 4 * rows.length;
  for (let at = 0; at < rows.length; at++) total += lengths[rows[at] ?? 0] ?? 0;
  const source = Buffer.from(from.buffer, from.byteOffset, from.byteLength);
  const bytes = Buffer.allocUnsafe(total);
  let end = 0;
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at] ?? 0;
    const start = offsets[row] ?? 0;
    const length = lengths[row] ?? 0;
    bytes[end] = length & 255;
    bytes[end + 1] = (length >>> 8) & 255;
    bytes[end + 2] = (length >>> 16) & 255;
    bytes[end + 3] = length >>> 24;
    source.copy(bytes, end + 4, start, start + length);
    end += 4 + length;
  }
  return bytes;
}

/** 1 where a row has a value and 0 where it is null, after their length in 4 bytes. */
function definitionLevels(column: ColumnValues, rows: number): Buffer {
  const levels = new Uint32Array(rows).fill(column.kind === 'nulls' ? 0 : 1);
  if (column.kind === 'texts')
    for (let at = 0; at < rows; at++)
      levels[at] = Number((column.texts.lengths[column.rows[at] ?? 0] ?? -1) >= 0);
  if (column.kind === 'nullable')
    for (const [row, value] of column.values.entries()) if (value === null) levels[row] = 0;
  const body = encodeHybrid(levels, 1);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.byteLength);
  return Buffer.concat([length, body]);
}

/** Bounds where readers prune by them. Not for doubles: a NaN must not become a bound. */
function boundsOf({ type }: Column, { entries, codes }: Present): Readonly<Record<string, Buffer>> {
  if (type === 'double' || entries.length === 0) return {};
  if (entries instanceof BigInt64Array) {
    const [min, max] = extremes64(entries);
    return { min_value: plain(BigInt64Array.of(min)), max_value: plain(BigInt64Array.of(max)) };
  }
  if (type !== 'string' || codes === undefined) return {};
  const [min, max] = isPicked(entries)
    ? extremes(Array.from(entries.rows), byTexts(entries.texts)).map((row) => textBytes(entries.texts, row))
    : extremes(entries as readonly string[], compareUtf8).map((text) => Buffer.from(text));
  if (min === undefined || max === undefined || Math.max(min.length, max.length) > boundBytesMax) return {};
  return { min_value: min, max_value: max };
}

const bytesOfTexts = (entries: readonly string[] | PickedTexts): readonly Buffer[] =>
  isPicked(entries)
    ? Array.from(entries.rows, (row) => textBytes(entries.texts, row))
    : entries.map((text) => Buffer.from(text));

/** Rows by their texts, of which no copy is made. */
function byTexts({ bytes, offsets }: PlacedTexts): (a: number, b: number) => number {
  const texts = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = (index: number): number => offsets[index] ?? 0;
  return (a, b) => texts.compare(texts, at(b), at(b + 1), at(a), at(a + 1));
}

function textBytes({ bytes, offsets }: PlacedTexts, row: number): Buffer {
  const [start = 0, end = 0] = offsets.subarray(row, row + 2);
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
}

/** Of one value or more. */
export function extremes64(values: BigInt64Array): [min: bigint, max: bigint] {
  const halves = halvesOf(values);
  let [min, max] = [0, 0];
  for (let row = 1; row < values.length; row++) {
    if (isLess(halves, row, min)) min = row;
    else if (isLess(halves, max, row)) max = row;
  }
  return [values[min] ?? 0n, values[max] ?? 0n];
}

/** Of these rows of a column, one or more. */
export function extremesOfRows(values: BigInt64Array, rows: Uint32Array): [min: bigint, max: bigint] {
  const halves = halvesOf(values);
  let min = rows[0] ?? 0;
  let max = min;
  for (let at = 1; at < rows.length; at++) {
    const row = rows[at] ?? 0;
    if (isLess(halves, row, min)) min = row;
    else if (isLess(halves, max, row)) max = row;
  }
  return [values[min] ?? 0n, values[max] ?? 0n];
}

/** Whether one signed value is less than another, by the halves of both. */
export function isLess(halves: Uint32Array, a: number, b: number): boolean {
  const highA = (halves[2 * a + 1] ?? 0) | 0;
  const highB = (halves[2 * b + 1] ?? 0) | 0;
  return highA < highB || (highA === highB && (halves[2 * a] ?? 0) < (halves[2 * b] ?? 0));
}

/** Of one value or more. */
export function extremes<T>(values: readonly T[], compare: (a: T, b: T) => number): T[] {
  let [min, max] = [values[0], values[0]];
  for (const value of values) {
    if (min === undefined || compare(value, min) < 0) min = value;
    if (max === undefined || compare(value, max) > 0) max = value;
  }
  return [min, max].filter((value) => value !== undefined);
}
