import { closeSync, fstatSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { openIfThere, readAt } from './read-at.ts';
import { cellsOf } from './sqlite-page.ts';
import { isPageSize } from './wal-frames.ts';
import { noFrames, pageBytesOfWal, readFrames, type WalFrames } from './wal-generations.ts';

/**
 * Every image of a page that the files of a database hold: the pages of the database itself, and those that wait in the
 * `-wal` file, whether or not SQLite would take them. What a page says must prove itself.
 */
export interface PageImages extends Disposable {
  readonly pageBytes: number;
  /**
   * All images, each source in order: the database, then the generation of the `-wal` file that was being written, then
   * what stands behind it of older ones. `image` is only valid during the step.
   */
  each(): Generator<PageImage, void, undefined>;
  /**
   * Different images of one page, the likeliest first for a row that stands in `at`; at most eight. Valid until the next
   * step.
   */
  of(page: number, at: PageImage): Generator<Uint8Array, void, undefined>;
}

export interface PageImage {
  /** Counts them, the same at every call. */
  readonly ordinal: number;
  readonly page: number;
  readonly image: Uint8Array;
  /**
   * committed: a state that was the newest once and that nothing newer follows in `each`; older: one before those;
   * uncommitted: maybe of a transaction that was never committed.
   */
  readonly standing: 'committed' | 'older' | 'uncommitted';
}

/** What this build of SQLite makes, where the files don't say. */
const pageBytesUsual = 4096;
const chunkPages = 256;
const sampleBytes = 1024 * 1024;
const windowPages = 16;
const imagesOfPageMax = 8;
/** Frames of one page that are looked at for them. */
const placesMax = 1024;

export function openPageImages(databasePath: string, walPath: string): PageImages {
  const database = openIfThere(databasePath);
  const wal = openIfThere(walPath);
  const pageBytes =
    (database && pageBytesOf(database)) ??
    (wal && pageBytesOfWal(wal)) ??
    (database && pageBytesOfRows(database)) ??
    pageBytesUsual;
  const frames = wal === undefined ? noFrames : readFrames(wal, pageBytes);
  const placesOf = createPlaces(frames);
  const databasePages = database === undefined ? 0 : Math.ceil(fstatSync(database).size / pageBytes);
  const window = createWindow(database, pageBytes);
  const frame = new Uint8Array(pageBytes);
  const imageAt = (place: number): Uint8Array | undefined => {
    const bytes = wal === undefined ? 0 : readAt(wal, frame, frames.positionOf(place));
    return bytes === pageBytes ? frame : undefined;
  };
  return {
    pageBytes,
    *each() {
      if (database !== undefined) yield* eachOfDatabase(database, databasePages, pageBytes);
      const image = new Uint8Array(pageBytes);
      for (const [index, page] of frames.page.entries()) {
        if (wal === undefined || readAt(wal, image, frames.positionOf(index)) < pageBytes) return;
        yield { ordinal: databasePages + index, page, image, standing: standingOf(frames, index) };
      }
    },
    *of(page, { ordinal }) {
      const own = ordinal - databasePages;
      const [likely, others] = byLikelihood(frames, placesOf(page), own);
      const inDatabase = page >= 1 && page <= databasePages;
      const seen = new Set<number>();
      for (const place of [...likely, ...(inDatabase ? ['database' as const] : []), ...others]) {
        const image = place === 'database' ? window(page) : imageAt(place);
        const sum = image && crc32(image);
        if (image === undefined || sum === undefined || seen.has(sum)) continue;
        yield image;
        if (seen.add(sum).size === imagesOfPageMax) return;
      }
    },
    [Symbol.dispose]: () => {
      for (const file of [database, wal]) if (file !== undefined) closeSync(file);
    },
  };
}

function standingOf({ count, commitEnd, generation }: WalFrames, index: number): PageImage['standing'] {
  if (commitEnd[index] === count) return 'uncommitted';
  return generation[index] === 0 ? 'committed' : 'older';
}

/** The frames of a page, the newest in the file first; of the last ones only. */
function createPlaces({ count, page }: WalFrames): (page: number) => number[] {
  const last = new Map<number, number>();
  const before = new Int32Array(count);
  for (const [index, number] of page.entries()) {
    before[index] = last.get(number) ?? -1;
    last.set(number, index);
  }
  return (number) => {
    const places: number[] = [];
    for (
      let index = last.get(number) ?? -1;
      index >= 0 && places.length < placesMax;
      index = before[index] ?? -1
    )
      places.push(index);
    return places;
  };
}

/**
 * What a row in frame `own` (negative: in the database) saw of a page: the newest image of its generation that was there
 * when its transaction ended, else that of the database. The others come after that.
 */
function byLikelihood(
  { generation, commitEnd }: WalFrames,
  places: readonly number[],
  own: number,
): [number[], number[]] {
  const isSeen = (place: number): boolean =>
    own >= 0 && generation[place] === generation[own] && place <= (commitEnd[own] ?? 0);
  return [places.filter(isSeen), places.filter((place) => !isSeen(place))];
}

function* eachOfDatabase(
  file: number,
  pages: number,
  pageBytes: number,
): Generator<PageImage, void, undefined> {
  const chunk = new Uint8Array(chunkPages * pageBytes);
  for (let first = 0; first < pages; first += chunkPages) {
    const length = readAt(file, chunk, first * pageBytes);
    chunk.fill(0, length);
    for (let index = 0; index * pageBytes < length; index++) {
      const image = chunk.subarray(index * pageBytes, (index + 1) * pageBytes);
      yield { ordinal: first + index, page: first + index + 1, image, standing: 'committed' };
    }
  }
}

/** Reads a few pages at once, because the pages of one row mostly follow one another. */
function createWindow(file: number | undefined, pageBytes: number): (page: number) => Uint8Array | undefined {
  const bytes = new Uint8Array(windowPages * pageBytes);
  let [first, pages] = [0, 0];
  return (page) => {
    if (file === undefined) return undefined;
    if (page < first || page >= first + pages) {
      first = page;
      pages = Math.floor(readAt(file, bytes, (page - 1) * pageBytes) / pageBytes);
      if (pages === 0) return undefined;
    }
    return bytes.subarray((page - first) * pageBytes, (page - first + 1) * pageBytes);
  };
}

function pageBytesOf(file: number): number | undefined {
  const header = new Uint8Array(18);
  if (readAt(file, header, 0) < header.byteLength) return undefined;
  const value = new DataView(header.buffer).getUint16(16);
  const bytes = value === 1 ? 65_536 : value;
  return Buffer.from(header.subarray(0, 15)).toString('latin1') === 'SQLite format 3' && isPageSize(bytes)
    ? bytes
    : undefined;
}

/** Without a header: the size at which the beginning of the file has most rows. */
function pageBytesOfRows(file: number): number | undefined {
  const bytes = new Uint8Array(sampleBytes);
  const sample = bytes.subarray(0, readAt(file, bytes, 0));
  let [best, most]: [number | undefined, number] = [undefined, 0];
  for (let pageBytes = 512; isPageSize(pageBytes); pageBytes *= 2) {
    let rows = 0;
    for (let start = 0; start + pageBytes <= sample.byteLength; start += pageBytes)
      for (const _ of cellsOf(sample.subarray(start, start + pageBytes), 1 + start / pageBytes)) rows++;
    if (rows > most) [best, most] = [pageBytes, rows];
  }
  return best;
}
