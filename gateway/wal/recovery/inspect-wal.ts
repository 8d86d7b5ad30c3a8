import { closeSync, fstatSync } from 'node:fs';
import { openIfThere, readAt } from './read-at.ts';
import {
  addToChecksum,
  type Checksum,
  frameHeaderBytes,
  parseWalHeader,
  type WalHeader,
  walHeaderBytes,
  wordsOf,
} from './wal-frames.ts';

// Reads a `-wal` file before SQLite does. SQLite takes the frames up to the last commit whose checksums hold and says
// nothing about what comes after it: an interrupted write, which is normal, or commits that were acknowledged.

export interface WalInspection {
  /**
   * torn-tail: after the last good commit there are frames of no more than one commit, so what they held may or may not
   * have been acknowledged. damaged: there was more than that, or nobody can say.
   */
  readonly verdict: 'absent' | 'empty' | 'intact' | 'torn-tail' | 'damaged';
  /** Why it is not intact; undefined when it is. */
  readonly reason: string | undefined;
  /** Commits and frames that SQLite will take. */
  readonly commits: number;
  readonly frames: number;
  /** Frames of this generation that it will not take. */
  readonly lostFrames: number;
  /** Where the last good commit ends. */
  readonly committedEndByte: number;
  /** Pages that the database has after the last good commit and that neither its own file nor a good frame holds. */
  readonly missingPages: number;
}

const nothing = {
  reason: undefined,
  ...{ commits: 0, frames: 0, lostFrames: 0, committedEndByte: 0, missingPages: 0 },
} as const;
const chunkBytesMax = 1024 * 1024;

/**
 * `databaseBytes`: size of the database's own file. Memory is flat: one chunk. Throws only what the system says when the
 * file cannot be read at all.
 */
export function inspectWal(path: string, databaseBytes: number): WalInspection {
  const file = openIfThere(path);
  if (file === undefined) return { verdict: 'absent', ...nothing };
  try {
    return inspectFile(file, fstatSync(file).size, databaseBytes);
  } finally {
    closeSync(file);
  }
}

function inspectFile(file: number, fileBytes: number, databaseBytes: number): WalInspection {
  if (fileBytes === 0) return { verdict: 'empty', ...nothing };
  if (fileBytes < walHeaderBytes)
    return { ...nothing, verdict: 'torn-tail', reason: 'it ends inside its header' };
  const bytes = new Uint8Array(walHeaderBytes);
  readAt(file, bytes, 0);
  const header = parseWalHeader(bytes);
  if (header === undefined) return { ...nothing, verdict: 'damaged', reason: 'its header is damaged' };
  const scan = createScan(header, Math.floor(databaseBytes / header.pageBytes));
  forEachFrame(file, fileBytes, header.pageBytes, (chunk, start, end) => scan.frame(chunk, start, end));
  return scan.verdict();
}

/** Calls `visit` with each frame, the last one maybe cut short, as bytes [start, end) of a chunk. */
export function forEachFrame(
  file: number,
  fileBytes: number,
  pageBytes: number,
  visit: (chunk: Uint8Array, start: number, end: number, position: number) => void,
): void {
  const frameBytes = frameHeaderBytes + pageBytes;
  const chunk = new Uint8Array(Math.max(1, Math.floor(chunkBytesMax / frameBytes)) * frameBytes);
  for (let position = walHeaderBytes; position < fileBytes; position += chunk.byteLength) {
    const length = readAt(file, chunk, position);
    for (let start = 0; start < length; start += frameBytes)
      visit(chunk, start, Math.min(start + frameBytes, length), position + start);
  }
}

interface Scan {
  frame(chunk: Uint8Array, start: number, end: number): void;
  verdict(): WalInspection;
}

function createScan(header: WalHeader, filePages: number): Scan {
  const frameBytes = frameHeaderBytes + header.pageBytes;
  const sum: Checksum = { ...header.checksum };
  let [frames, framesToCommit, commits] = [0, 0, 0];
  let broken = false;
  const pagesBeyond = createPagesBeyond(filePages);
  let reason: string | undefined;
  /** Frames of this generation from the first one on that does not hold, and how many come after a commit in there. */
  let [lostFrames, lostCommits, afterLostCommit] = [0, 0, 0];
  /** Frames that seem to be of an older generation: they are ours with a damaged header when one of ours follows. */
  let [foreignFrames, foreignCommits] = [0, 0];

  const lose = (isCommit: boolean): void => {
    lostFrames += foreignFrames + 1;
    lostCommits += foreignCommits;
    [foreignFrames, foreignCommits] = [0, 0];
    if (lostCommits > 0) afterLostCommit++;
    if (isCommit) lostCommits++;
  };
  return {
    frame: (chunk, start, end) => {
      const view = new DataView(chunk.buffer, start, end - start);
      const ours =
        end - start >= 16
          ? view.getUint32(8) === header.salt1 && view.getUint32(12) === header.salt2
          : !broken; // too short to say: it stands where the next frame of this generation would
      const isCommit = end - start >= 8 && view.getUint32(4) !== 0;
      if (end - start < frameBytes) {
        if (ours) {
          reason ??= 'it ends inside a frame';
          lose(false);
        }
        broken = true;
        return;
      }
      if (!broken && ours && holdsFrame(chunk, start, view, sum, header)) {
        frames++;
        pagesBeyond.add(view.getUint32(0));
        if (!isCommit) return;
        commits++;
        framesToCommit = frames;
        pagesBeyond.commit(view.getUint32(4));
        return;
      }
      broken = true;
      if (!ours) {
        foreignFrames++;
        if (isCommit) foreignCommits++;
        return;
      }
      reason ??= `frame ${frames + 1} is damaged`;
      lose(isCommit);
    },
    verdict: () => {
      const open = frames - framesToCommit;
      const committedEndByte = walHeaderBytes + framesToCommit * frameBytes;
      const counted = {
        commits,
        frames: framesToCommit,
        lostFrames: lostFrames + open,
        committedEndByte,
        ...pagesBeyond.result(),
      };
      if (lostFrames === 0 && open === 0) return { verdict: 'intact', reason, ...counted };
      const verdict = afterLostCommit > 0 ? 'damaged' : 'torn-tail';
      return { verdict, reason: reason ?? 'its last commit is not complete', ...counted };
    },
  };
}

/** Pages after the end of the database's own file: all of them must be in frames. */
function createPagesBeyond(filePages: number) {
  const committed = new Set<number>();
  let open: number[] = [];
  let databasePages = 0;
  return {
    add: (page: number): void => {
      if (page > filePages) open.push(page);
    },
    commit: (pages: number): void => {
      for (const page of open) committed.add(page);
      open = [];
      databasePages = pages;
    },
    result: () => {
      const needed = Math.max(0, databasePages - filePages);
      const held = [...committed].filter((page) => page <= databasePages).length;
      return { missingPages: needed - held };
    },
  };
}

/** Whether the checksum of the frame at `start` is right after those before it, whose sum is `sum`; that becomes its own. */
export function holdsFrame(
  chunk: Uint8Array,
  start: number,
  view: DataView,
  sum: Checksum,
  { pageBytes, swapped }: Pick<WalHeader, 'pageBytes' | 'swapped'>,
): boolean {
  const words = wordsOf(chunk);
  const first = start >> 2;
  addToChecksum(sum, words, first, first + 2, swapped);
  const page = first + (frameHeaderBytes >> 2);
  addToChecksum(sum, words, page, page + (pageBytes >> 2), swapped);
  return sum.s0 === view.getInt32(16) && sum.s1 === view.getInt32(20);
}
