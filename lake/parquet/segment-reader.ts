import { type FileHandle, open } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';
import { FirnError, messageOf } from '../base/errors.ts';
import type { Batch, RowColumn } from '../model/batch.ts';
import { isRollupTable, type TableName } from '../model/table-name.ts';
import { batchColumnsOf, batchOf, isDense, seriesIdsOf } from '../schema/batch-columns.ts';
import { type Column, tableSchemas } from '../schema/tables.ts';
import { corrupt, unsupported } from './columns-file.ts';
import { decodeDelta } from './delta-packed.ts';
import { halvesOf } from './dictionary.ts';
import { decodeHybrid } from './hybrid-runs.ts';
import { footerLength, footerTailBytes } from './parquet-footer.ts';
import { encodings } from './parquet-pages.ts';

// Segments as the batches that they were made of. It knows what our writers write: zstd, data pages of version 1, values
// that are plain or in a dictionary. NaN payloads stay as they are, which no library gives.

export interface SegmentReader extends AsyncDisposable {
  readonly rows: number;
  /** How much memory its pages need. */
  readonly uncompressedBytes: number;
  /** All rows, in their order; `series` has their labels. */
  read(): Promise<Batch>;
  readonly groups: readonly RowGroup[];
}

/** Rows that are read without those of the others. */
interface RowGroup {
  readonly rows: number;
  readonly uncompressedBytes: number;
  /** By column name; one that is absent is null in every row. */
  read(columns: readonly Column[]): Promise<ReadonlyMap<string, RowColumn>>;
}

/** Thrift's repetition type of columns with definition levels; DuckDB writes all columns so. */
const OPTIONAL = 1;

type Chunk = InstanceType<typeof types.FileMetaData>['row_groups'][number]['columns'][number];
type Meta = NonNullable<Chunk['meta_data']>;

/**
 * Throws FirnError `corrupt` when it is damaged or has more rows than `rowsMax`, `unsupported` when it is written as no
 * writer of ours does.
 */
export async function openSegment(path: string, signal: TableName, rowsMax: number): Promise<SegmentReader> {
  const file = await open(path, 'r');
  try {
    const source = await readSource(file, path, rowsMax);
    const { rows, metas } = source;
    return {
      rows,
      uncompressedBytes: sizeOf(metas),
      read: () => readAll(source, signal).catch((error) => Promise.reject(damage(path, error))),
      groups: source.metas.map((meta, index) => ({
        rows: source.groupRows[index] ?? 0,
        uncompressedBytes: sizeOf([meta]),
        read: (columns) =>
          readColumns({ ...source, metas: [meta], rows: source.groupRows[index] ?? 0 }, columns).catch(
            (error) => Promise.reject(damage(path, error)),
          ),
      })),
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw damage(path, error);
  }
}

const sizeOf = (metas: Source['metas']): number =>
  metas.flat().reduce((sum, meta) => sum + Number(meta.total_uncompressed_size), 0);

async function readSource(file: FileHandle, path: string, rowsMax: number): Promise<Source> {
  const { size } = await file.stat();
  const { row_groups: groups, schema } = await readFooter({ file, path, size });
  const rows = groups.reduce((sum, { num_rows: count }) => sum + Number(count), 0);
  if (!(rows <= rowsMax)) throw corrupt(path, `it has ${rows} rows, not ${rowsMax} at most`);
  const optional = schema.filter(({ repetition_type: type }) => type === OPTIONAL);
  return {
    ...{ file, path, size, rows, groupRows: groups.map(({ num_rows: count }) => Number(count)) },
    optional: new Set(optional.map(({ name }) => String(name))),
    metas: groups.map(({ columns }) => columns.flatMap(({ meta_data: meta }) => meta ?? [])),
  };
}

async function readColumns(source: Source, columns: readonly Column[]): Promise<Map<string, RowColumn>> {
  const found = new Map<string, RowColumn>();
  for (const column of columns) {
    const values = await readColumn(source, column);
    if (values) found.set(column.name, values);
  }
  return found;
}

async function readAll(source: Source, signal: TableName): Promise<Batch> {
  if (isRollupTable(signal)) throw new TypeError(`rows of ${signal} are no batch`);
  const columns = await readColumns(source, batchColumnsOf(signal));
  const batch = batchOf(signal, source.rows, columns);
  return { ...batch, series: await readLabels(source, batch) } as Batch;
}

type Footer = InstanceType<typeof types.FileMetaData>;

async function readFooter(source: Pick<Source, 'file' | 'path' | 'size'>): Promise<Footer> {
  const { path, size } = source;
  const length = footerLength(await readAt(source, size - footerTailBytes, footerTailBytes));
  if (length === undefined) throw corrupt(path, 'it has no footer');
  const metadata = new types.FileMetaData();
  util.decodeThrift(metadata, await readAt(source, size - footerTailBytes - length, length));
  return metadata;
}

async function readAt(
  { file, path, size }: Pick<Source, 'file' | 'path' | 'size'>,
  position: number,
  length: number,
): Promise<Buffer> {
  if (!(position >= 0 && length >= 0 && position + length <= size)) throw corrupt(path, 'it is too short');
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await file.read(bytes, 0, length, position);
  if (bytesRead < length) throw corrupt(path, 'it is too short');
  return bytes;
}

interface Source {
  readonly file: FileHandle;
  readonly path: string;
  /** Of the file, bytes. */
  readonly size: number;
  readonly rows: number;
  readonly groupRows: readonly number[];
  /** Names of columns with definition levels. */
  readonly optional: ReadonlySet<string>;
  /** Of the columns of each row group. */
  readonly metas: readonly (readonly Meta[])[];
}

/** Undefined when no row group has the column, or it is null in every row. */
async function readColumn(source: Source, column: Column): Promise<RowColumn | undefined> {
  const { path, rows, metas } = source;
  const dense = isDense(column) ? new BigInt64Array(rows) : undefined;
  const values: (bigint | string | null)[] = [];
  let present = dense !== undefined;
  let row = 0;
  for (const group of metas) {
    const meta = group.find(({ path_in_schema: [name] }) => String(name) === column.name);
    if (meta === undefined) {
      if (column.required) throw corrupt(path, `it has no column ${column.name}`);
      const [some] = group;
      for (let count = Number(some?.num_values ?? 0); count > 0; count--) values.push(null);
      continue;
    }
    for await (const page of pagesOf(source, column, meta)) {
      if (dense) {
        if (!(page instanceof BigInt64Array)) throw corrupt(path, `${column.name} has nulls`);
        dense.set(page, row);
        row += page.length;
      } else
        for (const value of page) {
          present ||= value !== null;
          values.push(value);
        }
    }
  }
  if (!present) return undefined;
  if ((dense ? row : values.length) !== rows) throw corrupt(path, `${column.name} has not one value a row`);
  if (dense) return column.type === 'double' ? new Float64Array(dense.buffer) : dense;
  return values as RowColumn;
}

type PageValues = BigInt64Array | readonly (bigint | string | null)[];
type Entries = BigInt64Array | readonly string[];

async function* pagesOf(
  source: Source,
  column: Column,
  meta: Meta,
): AsyncGenerator<PageValues, void, undefined> {
  const first = Number(meta.dictionary_page_offset ?? meta.data_page_offset);
  const { path, optional } = source;
  const bytes = await readAt(source, first, Number(meta.total_compressed_size));
  let dictionary: Entries | undefined;
  let left = Number(meta.num_values);
  for (let at = 0; left > 0; ) {
    const header = new types.PageHeader();
    at += util.decodeThrift(header, bytes, at);
    const compressed = bytes.subarray(at, at + header.compressed_page_size);
    at += header.compressed_page_size;
    const body = uncompressed(path, meta.codec, compressed, header.uncompressed_page_size);
    const { dictionary_page_header: entries, data_page_header: data } = header;
    if (entries) dictionary = plainValues(path, column, body, entries.num_values);
    else if (!data) throw unsupported(path, `${column.name} has pages of another kind`);
    else {
      left -= data.num_values;
      if (left < 0 || data.num_values <= 0) throw corrupt(path, `${column.name} has other rows`);
      yield pageValues(path, column, body, { ...data, optional: optional.has(column.name) }, dictionary);
    }
  }
}

const ZSTD = 6;

function uncompressed(path: string, codec: number, bytes: Buffer, length: number): Buffer {
  if (codec === 0) return bytes;
  if (codec !== ZSTD) throw unsupported(path, `it is compressed by codec ${codec}`);
  return zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, length) });
}

interface DataPage {
  readonly optional: boolean;
  readonly num_values: number;
  readonly encoding: number;
}

function pageValues(
  path: string,
  column: Column,
  body: Buffer,
  { num_values: rows, encoding, optional }: DataPage,
  dictionary: Entries | undefined,
): PageValues {
  let levels: Uint32Array | undefined;
  let values = body;
  if (optional) {
    const length = body.readUInt32LE(0);
    levels = decodeHybrid(body.subarray(4, 4 + length), 1, rows);
    values = body.subarray(4 + length);
  }
  const count = levels?.reduce((sum, level) => sum + level, 0) ?? rows;
  const present = presentValues(path, column, values, encoding, count, dictionary);
  if (count === rows) return present;
  let next = 0;
  return Array.from(levels ?? [], (level) => (level === 1 ? (present[next++] ?? null) : null));
}

/** Parquet's name for a dictionary in newer files; older ones, and ours, have `encodings.dictionary`. */
const RLE_DICTIONARY = 8;

function presentValues(
  path: string,
  column: Column,
  bytes: Buffer,
  encoding: number,
  count: number,
  dictionary: Entries | undefined,
): Entries {
  if (encoding === encodings.plain) return plainValues(path, column, bytes, count);
  if (encoding === encodings.delta && column.type !== 'string') {
    const values = decodeDelta(bytes, count);
    if (values === undefined) throw unsupported(path, `${column.name} has differences of another kind`);
    return values;
  }
  if (encoding !== encodings.dictionary && encoding !== RLE_DICTIONARY)
    throw unsupported(path, `${column.name} has encoding ${encoding}`);
  if (count === 0) return [];
  if (dictionary === undefined) throw corrupt(path, `${column.name} has no dictionary`);
  const codes = decodeHybrid(bytes.subarray(1), bytes[0] ?? 0, count);
  if (codes.some((code) => code >= dictionary.length)) throw corrupt(path, `a code of ${column.name}`);
  if (!(dictionary instanceof BigInt64Array)) return Array.from(codes, (code) => dictionary[code] ?? '');
  const from = halvesOf(dictionary);
  const values = new BigInt64Array(count);
  const to = halvesOf(values);
  for (let row = 0; row < count; row++) {
    const code = codes[row] ?? 0;
    to[2 * row] = from[2 * code] ?? 0;
    to[2 * row + 1] = from[2 * code + 1] ?? 0;
  }
  return values;
}

function plainValues(path: string, { name, type }: Column, bytes: Buffer, count: number): Entries {
  if (type !== 'string') {
    if (bytes.byteLength < count * 8) throw corrupt(path, `${name} is too short`);
    return new BigInt64Array(Uint8Array.from(bytes.subarray(0, count * 8)).buffer);
  }
  const texts: string[] = [];
  let at = 0;
  while (texts.length < count) {
    const end = at + 4 > bytes.byteLength ? Number.POSITIVE_INFINITY : at + 4 + bytes.readUInt32LE(at);
    if (end > bytes.byteLength) throw corrupt(path, `${name} is too short`);
    texts.push(bytes.toString('utf8', at + 4, end));
    at = end;
  }
  return texts;
}

/** The labels of the rows' series, each once. */
async function readLabels(source: Source, batch: Batch): Promise<Batch['series']> {
  const ids = seriesIdsOf(batch);
  const column = tableSchemas[batch.signal].columns.find(({ name }) => name === 'labels');
  if (ids === undefined || column === undefined) return [];
  const labels = (await readColumn(source, column)) as readonly string[];
  const found = new Map<bigint, string>();
  let last: string | undefined;
  for (let row = 0; row < batch.rows; row++) {
    // Rows are sorted by series, and the texts of one series are one text.
    if (labels[row] === last) continue;
    last = labels[row];
    found.set(ids[row] ?? 0n, last ?? '');
  }
  return [...found].map(([id, text]) => ({ id, labels: text }));
}

/** What decoders throw at bytes that are not what they should be. */
const damage = (path: string, error: unknown): unknown =>
  error instanceof FirnError ? error : corrupt(path, messageOf(error));
