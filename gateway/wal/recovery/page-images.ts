import { closeSync, fstatSync } from 'node:fs';
import { forEachFrame } from './inspect-wal.ts';
import { openIfThere, readAt } from './read-at.ts';
import { frameHeaderBytes, isPageSize, parseWalHeader, walHeaderBytes } from './wal-frames.ts';

/**
 * Every image of a page that the files of a database hold: the pages of the database itself, and those that wait in the
 * `-wal` file, whether or not SQLite would take them. What a page says must prove itself.
 */
export interface PageImages extends Disposable {
  readonly pageBytes: number;
  /**
   * All images, the ones in the database first, each source in order. `ordinal` counts them, the same at every call.
   * `image` is only valid during the step.
   */
  each(): Generator<PageImage, void, undefined>;
  /** Images of one page, the newest first; at most two. Valid until the next call. */
  of(page: number): Generator<Uint8Array, void, undefined>;
}

interface PageImage {
  readonly ordinal: number;
  readonly page: number;
  readonly image: Uint8Array;
}

/** What this build of SQLite makes, where the files don't say. */
const pageBytesUsual = 4096;
const chunkPages = 256;
const windowPages = 16;
/** Pages of the `-wal` file that can be found by number; one of the usual size has a sixteenth of this. */
const framesIndexedMax = 262_144;

export function openPageImages(databasePath: string, walPath: string): PageImages {
  const database = openIfThere(databasePath);
  const wal = openIfThere(walPath);
  const pageBytes = (database && pageBytesOf(database)) ?? (wal && walPageBytesOf(wal)) ?? pageBytesUsual;
  const frames = wal === undefined ? [] : framesOf(wal, pageBytes);
  const newest = new Map<number, number>();
  for (const { page, position } of frames.slice(-framesIndexedMax)) newest.set(page, position);
  const databasePages = database === undefined ? 0 : Math.ceil(fstatSync(database).size / pageBytes);
  const window = createWindow(database, pageBytes);
  const frame = new Uint8Array(pageBytes);
  return {
    pageBytes,
    *each() {
      if (database !== undefined) yield* eachOfDatabase(database, databasePages, pageBytes);
      const image = new Uint8Array(pageBytes);
      for (const [index, { page, position }] of frames.entries()) {
        if (wal === undefined || readAt(wal, image, position) < pageBytes) return;
        yield { ordinal: databasePages + index, page, image };
      }
    },
    *of(page) {
      const position = newest.get(page);
      if (position !== undefined && wal !== undefined && readAt(wal, frame, position) === pageBytes)
        yield frame;
      const image = page >= 1 && page <= databasePages ? window(page) : undefined;
      if (image !== undefined) yield image;
    },
    [Symbol.dispose]: () => {
      for (const file of [database, wal]) if (file !== undefined) closeSync(file);
    },
  };
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
      yield { ordinal: first + index, page: first + index + 1, image };
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

function walPageBytesOf(file: number): number | undefined {
  const header = new Uint8Array(walHeaderBytes);
  readAt(file, header, 0);
  return parseWalHeader(header)?.pageBytes;
}

interface Frame {
  readonly page: number;
  /** Of the page in the file. */
  readonly position: number;
}

/**
 * The frames that commits of this generation may have written: up to the last one that ends a commit. Without a header
 * that says which generation it is, all of them.
 */
function framesOf(file: number, pageBytes: number): Frame[] {
  const bytes = new Uint8Array(walHeaderBytes);
  readAt(file, bytes, 0);
  const header = parseWalHeader(bytes);
  const frames: Frame[] = [];
  let committed = 0;
  forEachFrame(file, fstatSync(file).size, pageBytes, (chunk, start, end, position) => {
    if (end - start < frameHeaderBytes + pageBytes) return;
    const view = new DataView(chunk.buffer, start, frameHeaderBytes);
    if (header !== undefined && (view.getUint32(8) !== header.salt1 || view.getUint32(12) !== header.salt2))
      return;
    frames.push({ page: view.getUint32(0), position: position + frameHeaderBytes });
    if (header === undefined || view.getUint32(4) !== 0) committed = frames.length;
  });
  return frames.slice(0, committed);
}
