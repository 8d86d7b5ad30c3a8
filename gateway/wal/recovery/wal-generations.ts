import { fstatSync } from 'node:fs';
import { forEachFrame, holdsFrame } from './inspect-wal.ts';
import { readAt } from './read-at.ts';
import { frameHeaderBytes, isPageSize, parseWalHeader, walHeaderBytes } from './wal-frames.ts';

// Which frame of a `-wal` file belongs to what, also when headers are damaged. A generation begins at the start of the
// file and is written over the one before it, of which what lies behind its end stays: so generations follow one another
// in the file, the newest first, and frames of one carry the same salts.

/** All whole frames in the order of the file, as columns, because there may be millions. */
export interface WalFrames {
  readonly count: number;
  readonly page: Uint32Array;
  /** 0: the generation that was being written. */
  readonly generation: Uint32Array;
  /** Last frame of its transaction; `count` when that has no end: it may have been committed only if something else says so. */
  readonly commitEnd: Uint32Array;
  /** Of the page in the file. */
  positionOf(index: number): number;
}

export const noFrames: WalFrames = {
  ...{ count: 0, page: new Uint32Array(0), generation: new Uint32Array(0), commitEnd: new Uint32Array(0) },
  positionOf: () => 0,
};

export function readFrames(file: number, pageBytes: number): WalFrames {
  const fileBytes = fstatSync(file).size;
  const frameBytes = frameHeaderBytes + pageBytes;
  const count = Math.max(0, Math.floor((fileBytes - walHeaderBytes) / frameBytes));
  const [page, databasePages, generation, commitEnd] = [0, 1, 2, 3].map(() => new Uint32Array(count));
  if (!page || !databasePages || !generation || !commitEnd) return noFrames;
  const salts = new BigUint64Array(count);
  forEachFrame(file, fileBytes, pageBytes, (chunk, start, end, position) => {
    if (end - start < frameBytes) return;
    const view = new DataView(chunk.buffer, start, frameHeaderBytes);
    const index = (position - walHeaderBytes) / frameBytes;
    page[index] = view.getUint32(0);
    databasePages[index] = view.getUint32(4);
    salts[index] = view.getBigUint64(8);
  });
  const lastWith = new Map([...salts].map((value, index) => [value, index]));
  let number = 0;
  for (let first = 0; first < count; number++) {
    const own = salts[first] ?? 0n;
    // The header knows better than the first frame, which may be the damaged one.
    const last = lastWith.get(number === 0 ? (headerSalts(file) ?? own) : own);
    // Frames with other salts in between are its own, with a damaged header.
    const end = (last ?? -1) + 1;
    generation.fill(number, first, end);
    markCommits(commitEnd, databasePages, first, end);
    first = Math.max(first, end);
  }
  const positionOf = (index: number): number => walHeaderBytes + index * frameBytes + frameHeaderBytes;
  return { count, page, generation, commitEnd, positionOf };
}

/** A frame that ends a commit says how many pages the database has then. */
function markCommits(commitEnd: Uint32Array, databasePages: Uint32Array, first: number, end: number): void {
  let last = commitEnd.length;
  for (let index = end - 1; index >= first; index--) {
    if (databasePages[index] !== 0) last = index;
    commitEnd[index] = last;
  }
}

function headerSalts(file: number): bigint | undefined {
  const header = headerOf(file);
  return header && (BigInt(header.salt1) << 32n) | BigInt(header.salt2);
}

function headerOf(file: number) {
  const bytes = new Uint8Array(walHeaderBytes);
  readAt(file, bytes, 0);
  return parseWalHeader(bytes);
}

/** As the header says, or as the first frames follow from one another; undefined when neither tells. */
export function pageBytesOfWal(file: number): number | undefined {
  const header = headerOf(file);
  if (header !== undefined) return header.pageBytes;
  for (let pageBytes = 512; isPageSize(pageBytes); pageBytes *= 2)
    if ([0, 1, 2].some((index) => follows(file, pageBytes, index))) return pageBytes;
  return undefined;
}

/** Whether the checksum of the frame after this one goes on from that of this one. */
function follows(file: number, pageBytes: number, index: number): boolean {
  const frameBytes = frameHeaderBytes + pageBytes;
  const bytes = new Uint8Array(2 * frameBytes);
  if (readAt(file, bytes, walHeaderBytes + index * frameBytes) < bytes.byteLength) return false;
  const [one, other] = [0, frameBytes].map((start) => new DataView(bytes.buffer, start, frameBytes));
  if (one === undefined || other === undefined) return false;
  const sum = { s0: one.getInt32(16), s1: one.getInt32(20) };
  if (sum.s0 === 0 && sum.s1 === 0) return false; // nothing follows from nothing
  return holdsFrame(bytes, frameBytes, other, sum, { pageBytes, swapped: false });
}
