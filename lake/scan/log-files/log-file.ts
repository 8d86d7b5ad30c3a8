import { type ByteCache, createByteCache } from '../../base/byte-cache.ts';
import {
  type ColumnChunk,
  type ColumnsFile,
  corrupt,
  decoded,
  listPages,
  type PageRef,
  readColumnsFile,
  readPage,
  unsupported,
  withFile,
} from '../../parquet/columns-file.ts';
import { decodeDelta } from '../../parquet/delta-packed.ts';
import { halvesOf } from '../../parquet/dictionary.ts';
import { decodeHybrid } from '../../parquet/hybrid-runs.ts';
import { encodings } from '../../parquet/parquet-pages.ts';
import { labelsOf } from '../stream-labels.ts';
import {
  definitionLevels,
  type Entries,
  entryText,
  plainEntries,
  type TextPage,
  textPage,
  textPageBytes,
} from './text-page.ts';

// A file of the logs table as searches see it: row groups, in each the runs of rows of one stream (files are sorted by
// stream and time), and pages that are read and unpacked when they are asked for and kept while there is room.

export interface LogFile {
  readonly path: string;
  readonly groups: readonly LogGroup[];
}

export interface LogGroup {
  readonly rows: number;
  /** Times of the first and the last of its rows; undefined where the file does not say. */
  readonly bounds: { readonly firstNs: bigint; readonly lastNs: bigint } | undefined;
  /** Rows of one stream each, in their order. */
  runs(): readonly Run[];
  times(): Times;
  /** Data pages of a column of texts; none when every row is null. */
  pages(column: TextColumnName): readonly PageRef[];
  textPage(column: TextColumnName, page: PageRef): TextPage;
  /** Bytes of the texts of a page, where its header says them. */
  bytesOf(column: TextColumnName, page: PageRef): number | undefined;
  /** What the writer has noted beside the column, unpacked. */
  note(column: TextColumnName, name: string): Buffer | undefined;
}

type TextColumnName = 'line' | 'attributes' | 'labels';

export interface Run {
  /** Canonical JSON. */
  readonly labels: string;
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** Times of the rows of a row group, in order within a run: nanoseconds from `baseNs`, exact. */
export interface Times {
  readonly baseNs: bigint;
  readonly offsetsNs: Float64Array;
}

/** Reads files and remembers what it can. One for each thread. */
export interface LogFiles {
  /** Throws FirnError `unsupported` where the file is none of ours, `corrupt` where it is damaged. */
  open(path: string): LogFile;
}

const readColumns = ['stream_id', 'timestamp_ns', 'line', 'labels', 'attributes'];

/** What a row group's place in the footer and its runs take in memory, about. */
const groupBytes = 4000;

/**
 * Of `bytesMax` a quarter is for which rows there are: 24 MB are then enough for ten gigabytes of lines, which are opened by
 * every query over all times. A sixth is for times of rows, the rest for pages.
 */
export function createLogFiles({ bytesMax }: { readonly bytesMax: number }): LogFiles {
  const files = createByteCache<LogFile>(bytesMax / 4, ({ groups }) => groups.length * groupBytes);
  const pages = createByteCache<TextPage>((bytesMax * 7) / 12, textPageBytes);
  const times = createByteCache<Times>(bytesMax / 6, ({ offsetsNs }) => offsetsNs.byteLength);
  return { open: (path) => files.get(path, () => logFile(readColumnsFile(path, readColumns), pages, times)) };
}

function logFile(file: ColumnsFile, pages: ByteCache<TextPage>, times: ByteCache<Times>): LogFile {
  for (const { chunks } of file.groups)
    for (const [name, chunk] of chunks) checkChunk(file.path, name, chunk);
  const groups = file.groups.map((_, index) => logGroup(file, index, pages, times));
  // As the first is, so are the others; better now than when lines have been handed out already.
  const [first] = groups;
  first?.times();
  first?.pages('line');
  first?.pages('attributes');
  return { path: file.path, groups };
}

const ZSTD = 6;
/** Bit-packed levels, which our writers do not have but which cost nothing, and dictionaries by their newer name. */
const readable: readonly number[] = [...Object.values(encodings), 4, 8];

function checkChunk(path: string, name: string, { codec, encodings: used }: ColumnChunk): void {
  if (codec !== ZSTD && codec !== 0) throw unsupported(path, `${name} is compressed by codec ${codec}`);
  if (!used.every((encoding) => readable.includes(encoding)))
    throw unsupported(path, `${name} has encodings ${used.join()}`);
}

function logGroup(
  { path, groups }: ColumnsFile,
  index: number,
  textPages: ByteCache<TextPage>,
  timesCache: ByteCache<Times>,
): LogGroup {
  const { rows = 0, chunks = new Map<string, ColumnChunk>() } = groups[index] ?? {};
  const listed = new Map<string, readonly PageRef[]>();
  const chunkOf = (column: string): ColumnChunk => {
    const chunk = chunks.get(column);
    if (chunk === undefined) throw unsupported(path, `it has no column ${column}`);
    return chunk;
  };
  const allPages = (column: string): readonly PageRef[] => {
    const known = listed.get(column);
    if (known !== undefined) return known;
    const found = withFile(path, (fd) => listPages(fd, path, chunkOf(column)));
    listed.set(column, found);
    return found;
  };
  const read = (column: string, page: PageRef): Buffer =>
    withFile(path, (fd) => readPage(fd, path, chunkOf(column).codec, page));
  const dictionaries = new Map<string, Entries>();
  const dictionaryOf = (column: string): Entries | undefined => {
    const page = allPages(column).find(({ dictionary }) => dictionary);
    if (page === undefined) return undefined;
    const known = dictionaries.get(column);
    if (known !== undefined) return known;
    const entries = plainEntries(path, read(column, page), page.values);
    // A dictionary of lines may be large; those of labels and attributes are not.
    if (column !== 'line') dictionaries.set(column, entries);
    return entries;
  };
  const textPageOf = (column: TextColumnName, page: PageRef): TextPage =>
    textPages.get(`${path}#${page.offset}`, () =>
      decoded(path, () => textPage(path, chunkOf(column), page, read(column, page), dictionaryOf(column))),
    );
  const pagesOf = (column: TextColumnName): readonly PageRef[] =>
    chunks.has(column) ? allPages(column).filter(({ dictionary }) => !dictionary) : [];
  const longs = (column: string): BigInt64Array =>
    decoded(path, () =>
      longColumn(path, chunkOf(column), rows, allPages(column), (page) => read(column, page)),
    );
  let runs: readonly Run[] | undefined;
  const runsOnce = (): readonly Run[] => {
    runs ??= runsOf(
      path,
      rows,
      longs('stream_id'),
      pagesOf('labels').map((page) => textPageOf('labels', page)),
    );
    return runs;
  };
  return {
    rows,
    bounds: boundsOf(chunks.get('timestamp_ns')),
    runs: runsOnce,
    times: () => timesCache.get(`${path}#${index}`, () => timesOf(path, longs('timestamp_ns'), runsOnce())),
    pages: pagesOf,
    textPage: textPageOf,
    bytesOf: (column, { encoding, uncompressedBytes, values }) =>
      encoding === encodings.plain && !chunkOf(column).optional ? uncompressedBytes - 4 * values : undefined,
    note: (column, name) => noteOf(path, chunks.get(column), name),
  };
}

function noteOf(path: string, chunk: ColumnChunk | undefined, name: string): Buffer | undefined {
  const text = chunk?.notes.get(name);
  const [offset, compressedBytes, uncompressedBytes] = (text ?? '').split(' ').map(Number);
  if (chunk === undefined || !offset || !compressedBytes || !uncompressedBytes) return undefined;
  const page = {
    dictionary: false,
    offset,
    compressedBytes,
    uncompressedBytes,
    values: 0,
    encoding: 0,
    firstRow: 0,
  };
  return withFile(path, (fd) => readPage(fd, path, chunk.codec, page));
}

function boundsOf(chunk: ColumnChunk | undefined): LogGroup['bounds'] {
  const { min, max } = chunk ?? {};
  if (min?.byteLength !== 8 || max?.byteLength !== 8) return undefined;
  return { firstNs: min.readBigInt64LE(), lastNs: max.readBigInt64LE() };
}

/** A column of 64-bit integers without nulls. */
function longColumn(
  path: string,
  chunk: ColumnChunk,
  rows: number,
  pages: readonly PageRef[],
  read: (page: PageRef) => Buffer,
): BigInt64Array {
  const values = new BigInt64Array(rows);
  let dictionary: BigInt64Array | undefined;
  for (const page of pages) {
    const body = read(page);
    if (page.dictionary) {
      dictionary = plainLongs(path, body, page.values);
      continue;
    }
    const { rest, present } = definitionLevels(chunk, page.values, body);
    if (present !== page.values) throw unsupported(path, 'a column has nulls');
    values.set(longPage(path, page, rest, dictionary), page.firstRow);
  }
  return values;
}

function longPage(
  path: string,
  { encoding, values: count }: PageRef,
  bytes: Buffer,
  dictionary: BigInt64Array | undefined,
): BigInt64Array {
  if (encoding === encodings.plain) return plainLongs(path, bytes, count);
  if (encoding === encodings.delta) {
    const values = decodeDelta(bytes, count);
    if (values === undefined) throw unsupported(path, 'it has differences of another kind');
    return values;
  }
  if (dictionary === undefined) throw unsupported(path, `it has numbers with encoding ${encoding}`);
  const codes = decodeHybrid(bytes.subarray(1), bytes[0] ?? 0, count);
  const values = new BigInt64Array(count);
  const [from, to] = [halvesOf(dictionary), halvesOf(values)];
  for (let row = 0; row < count; row++) {
    const code = codes[row] ?? 0;
    if (code >= dictionary.length) throw corrupt(path, 'a code has no entry');
    to[2 * row] = from[2 * code] ?? 0;
    to[2 * row + 1] = from[2 * code + 1] ?? 0;
  }
  return values;
}

function plainLongs(path: string, bytes: Buffer, count: number): BigInt64Array {
  if (bytes.byteLength < count * 8) throw corrupt(path, 'a page of numbers is too short');
  return new BigInt64Array(Uint8Array.from(bytes.subarray(0, count * 8)).buffer);
}

function timesOf(path: string, ns: BigInt64Array, runs: readonly Run[]): Times {
  const halves = halvesOf(ns);
  const offsetsNs = new Float64Array(ns.length);
  const [low = 0, high = 0] = halves;
  for (let row = 0; row < ns.length; row++) {
    const offset =
      (((halves[2 * row + 1] ?? 0) | 0) - (high | 0)) * 0x1_0000_0000 + ((halves[2 * row] ?? 0) - low);
    if (!Number.isSafeInteger(offset)) throw unsupported(path, 'its times are years apart');
    offsetsNs[row] = offset;
  }
  for (const { from, to } of runs)
    for (let row = from + 1; row < to; row++)
      if ((offsetsNs[row] ?? 0) < (offsetsNs[row - 1] ?? 0))
        throw unsupported(path, 'its rows are not sorted');
  return { baseNs: ns[0] ?? 0n, offsetsNs };
}

/** Rows are sorted by stream; `labels` are those of each row. */
function runsOf(path: string, rows: number, ids: BigInt64Array, labels: readonly TextPage[]): readonly Run[] {
  const halves = halvesOf(ids);
  const runs: Run[] = [];
  let page = 0;
  for (let from = 0; from < rows; ) {
    let to = from + 1;
    while (to < rows && halves[2 * to] === halves[2 * from] && halves[2 * to + 1] === halves[2 * from + 1])
      to++;
    while ((labels[page]?.firstRow ?? rows) + (labels[page]?.rows ?? 1) <= from) page++;
    const of = labels[page];
    if (of === undefined) throw corrupt(path, 'it has rows without labels');
    const entry = of.codes === undefined ? from - of.firstRow : (of.codes[from - of.firstRow] ?? 0);
    const text = entryText(of.entries, entry);
    decoded(path, () => labelsOf(text));
    runs.push({ labels: text, from, to });
    from = to;
  }
  return runs;
}
