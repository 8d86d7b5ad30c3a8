import { type FileMetaData, parquetMetadataAsync } from 'hyparquet';
import { readBloomFilter } from 'hyparquet/src/bloom.js';
import { canSkipRowGroup } from 'hyparquet/src/filter.js';
import { hasCode } from '../../lake/base/errors.ts';
import type { Column } from '../../lake/schema/tables.ts';
import { weightedCache } from '../catalog/weighted-cache.ts';

// What data files say at their end about the values of one column: bounds and Bloom filters of their row groups. One or
// two small reads tell whether a large file has to be fetched.

export interface FileIndex {
  /** False when no row of the file has this value. Whatever can't be told counts as true. */
  mayHold(file: IndexedFile, column: Column, value: bigint | string): Promise<boolean>;
}

export interface IndexedFile {
  readonly key: string;
  readonly bytes: number;
}

export interface FileIndexOptions {
  readonly readRange: (key: string, startByte: number, endByte: number) => Promise<Uint8Array>;
  /** Of filters that are kept in memory. */
  readonly bytesMax?: number;
  /** A file that is smaller is not looked at: reading its end costs as much as reading all of it. */
  readonly fileBytesMin?: number;
}

type RowGroup = FileMetaData['row_groups'][number];
type Bloom = NonNullable<ReturnType<typeof readBloomFilter>>;

/** The row groups of a file, with nothing but this column. */
interface ColumnIndex {
  readonly name: string;
  readonly element: FileMetaData['schema'][number];
  readonly groups: readonly { readonly rowGroup: RowGroup; readonly bloom: Bloom | undefined }[];
}

/** Holds most footers, and the filters of small files. */
const tailBytes = 64 * 1024;
const defaults = { bytesMax: 64 * 1024 * 1024, fileBytesMin: 2 * tailBytes };
/** What a row group takes beside its filter, about. */
const groupBytes = 1024;

export function openFileIndex(options: FileIndexOptions): FileIndex {
  const { readRange, bytesMax, fileBytesMin } = { ...defaults, ...options };
  const held = weightedCache<ColumnIndex | undefined>(bytesMax, (index) =>
    (index?.groups ?? []).reduce((sum, { bloom }) => sum + groupBytes + (bloom?.numBytes ?? 0), groupBytes),
  );
  return {
    mayHold: async (file, column, value) => {
      if (file.bytes < fileBytesMin) return true;
      const index = await held.get(`${column.fieldId} ${file.key}`, () => readIndex(readRange, file, column));
      if (index === undefined) return true;
      const { name, element, groups } = index;
      const filter = { [name]: { $eq: value } };
      const common = { physicalColumns: [name], filter, schemaElements: { [name]: element } };
      return groups.some(
        ({ rowGroup, bloom }) =>
          !canSkipRowGroup({ ...common, rowGroup, ...(bloom && { bloomFilters: { [name]: bloom } }) }),
      );
    },
  };
}

/** Undefined for a file that has no such column, or none that can be understood: who reads its rows will say what is wrong. */
async function readIndex(
  readRange: FileIndexOptions['readRange'],
  file: IndexedFile,
  { fieldId, name: ourName }: Column,
): Promise<ColumnIndex | undefined> {
  const read = tailReader(readRange, file);
  try {
    const slice = async (start: number, end = file.bytes): Promise<ArrayBuffer> =>
      exactBuffer(await read(start, end));
    const metadata = await parquetMetadataAsync(
      { byteLength: file.bytes, slice },
      { initialFetchSize: Math.min(tailBytes, file.bytes) },
    );
    const leaves = metadata.schema.slice(1);
    const element =
      leaves.find((each) => each.field_id === fieldId) ??
      leaves.find((each) => each.field_id === undefined && each.name === ourName);
    if (!element) return undefined;
    const { name } = element;
    const chosen = metadata.row_groups.map((rowGroup): RowGroup => {
      const columns = rowGroup.columns.filter(({ meta_data: meta }) => meta?.path_in_schema[0] === name);
      return { ...rowGroup, columns };
    });
    const blooms = await readBlooms(read, chosen);
    return { name, element, groups: chosen.map((rowGroup, at) => ({ rowGroup, bloom: blooms[at] })) };
  } catch (error) {
    if (hasCode(error, 'unavailable') || hasCode(error, 'denied')) throw error;
    return undefined;
  }
}

/** The filters of one column, which mostly stand side by side, in one read. */
async function readBlooms(
  read: (start: number, end: number) => Promise<Uint8Array>,
  groups: readonly RowGroup[],
): Promise<(Bloom | undefined)[]> {
  const places = groups.map(({ columns: [chunk] }) => {
    const { bloom_filter_offset: offset, bloom_filter_length: length } = chunk?.meta_data ?? {};
    if (offset === undefined || length === undefined) return undefined;
    return { start: Number(offset), end: Number(offset) + length };
  });
  const known = places.filter((place) => place !== undefined);
  const [start, end] = [Math.min(...known.map((p) => p.start)), Math.max(...known.map((p) => p.end))];
  const filterBytes = known.reduce((sum, place) => sum + place.end - place.start, 0);
  // Other writers put each behind its row group.
  const atOnce = filterBytes === end - start ? await read(start, end) : undefined;
  return Promise.all(
    places.map(async (place) => {
      if (!place) return undefined;
      const bytes = atOnce?.subarray(place.start - start, place.end - start);
      const buffer = exactBuffer(bytes ?? (await read(place.start, place.end)));
      return readBloomFilter({ view: new DataView(buffer), offset: 0 });
    }),
  );
}

/** Reads of an object, whose end is read once. */
function tailReader(
  readRange: FileIndexOptions['readRange'],
  { key, bytes }: IndexedFile,
): (start: number, end: number) => Promise<Uint8Array> {
  const tailStart = Math.max(0, bytes - tailBytes);
  let tail: Promise<Uint8Array> | undefined;
  return async (start, end) => {
    if (start < tailStart) return readRange(key, start, end);
    tail ??= readRange(key, tailStart, bytes);
    return (await tail).subarray(start - tailStart, end - tailStart);
  };
}

const exactBuffer = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;
