import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { openIfThere, readAt } from './read-at.ts';

// `wal.mark`, a small file beside wal.db that says what wal.db must at least hold. Slots, each in a block of its own so
// that a torn write or a worn block takes only one: two that are written in turn and synced (the newest intact one
// counts), and one note that is not synced, because it is written after every commit: it outlives the process, not the
// power, and says of which boot it is.

/** What is on disk for certain. */
export interface WalProgress {
  readonly epoch: number;
  /** Everything up to it is in segment files whose seal is committed. */
  readonly sealedSeq: number;
  /** Newest batch. */
  readonly lastSeq: number;
  /** Newest shipment of the epoch. */
  readonly lastNumber: number;
}

export interface WalMark extends WalProgress {
  /** The database was in use. False: it was closed, or is being closed; nothing is acknowledged after that. */
  readonly open: boolean;
  /** The database was found damaged while it ran: the next start must not use it. */
  readonly condemned: boolean;
  /** The earliest time that something unsealed was received at, or (gaps) tells of; when there was nothing, that of the write. */
  readonly unsealedSinceUs: number;
  /** Batches that recovery brought back, or rows of gaps, are not sealed: they tell of times before those of their neighbours. */
  readonly mixed: boolean;
}

/** What was committed last, as far as the system's cache knows. */
export interface WalNote extends WalProgress {
  /** It was written in this boot, so nothing of the cache is lost: there was no commit after it that is not the last. */
  readonly exact: boolean;
}

export interface WalMarkFile extends Disposable {
  /** The newest intact slot; undefined when there is none. */
  readonly found: WalMark | undefined;
  readonly note: WalNote | undefined;
  /** Durable when it returns: one write in place, one fdatasync. */
  write(mark: WalMark): void;
  /** One write that is not synced. */
  writeNote(progress: WalProgress): void;
}

const slotBytes = 64;
const blockBytes = 4096;
const noteBlock = 2;
const fileBytes = blockBytes * noteBlock + slotBytes;
const magic = 0x4b52414d; // MARK

/**
 * Opens or makes the file. A damaged one reads as if there were none. `bootId` identifies the boot of this machine; an
 * empty one means that it is not known. Throws when the folder is not writable.
 */
export function openWalMark(path: string, bootId: string): WalMarkFile {
  const there = openIfThere(path, 'r+');
  const file = there ?? openSync(path, 'wx+');
  // All of its blocks are there from the beginning: on a full disk it can be written still.
  if (there === undefined) writeAll(file, new Uint8Array(blockBytes * (noteBlock + 1)), 0);
  const bytes = new Uint8Array(fileBytes);
  readAt(file, bytes, 0);
  if (there === undefined) syncFolderOf(path);
  const slots = [0, 1].map((block) => parseSlot(bytes.subarray(block * blockBytes)));
  const newest = newestOf(slots);
  const note = parseNote(bytes.subarray(noteBlock * blockBytes), bootId);
  let count = newest?.count ?? 0;
  let noteCount = 0;
  const slot = new Uint8Array(slotBytes);
  return {
    found: newest?.mark,
    note,
    write: (mark) => {
      count++;
      const flags =
        (mark.open ? flagOpen : 0) | (mark.condemned ? flagCondemned : 0) | (mark.mixed ? flagMixed : 0);
      print(slot, flags, count, mark, mark.unsealedSinceUs);
      writeAll(file, slot, (count % 2) * blockBytes);
      fdatasyncSync(file);
    },
    writeNote: (progress) => {
      noteCount++;
      print(slot, flagNote, noteCount, progress, crc32(bootId));
      writeAll(file, slot, noteBlock * blockBytes);
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}

interface Slot {
  readonly count: number;
  readonly mark: WalMark;
}

function newestOf(slots: readonly (Slot | undefined)[]): Slot | undefined {
  const [first, second] = slots;
  if (first === undefined || second === undefined) return first ?? second;
  return first.count > second.count ? first : second;
}

// u32 magic, u32 flags, then as u64 the count, the progress, and the time (of a mark) or a hash of the boot id (of a note);
// the CRC-32 of all before it at the end.
const flagOpen = 1;
const flagCondemned = 2;
const flagNote = 4;
const flagMixed = 8;
const numbers = 6;

function print(bytes: Uint8Array, flags: number, count: number, progress: WalProgress, last: number): void {
  const { epoch, sealedSeq, lastSeq, lastNumber } = progress;
  bytes.fill(0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, slotBytes);
  view.setUint32(0, magic, true);
  view.setUint32(4, flags, true);
  for (const [index, number] of [count, epoch, sealedSeq, lastSeq, lastNumber, last].entries())
    view.setBigInt64(8 + index * 8, BigInt(number), true);
  view.setUint32(slotBytes - 4, crc32(bytes.subarray(0, slotBytes - 4)), true);
}

interface Parsed {
  readonly flags: number;
  readonly count: number;
  readonly progress: WalProgress;
  readonly last: number;
}

function parse(bytes: Uint8Array): Parsed | undefined {
  if (bytes.byteLength < slotBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, slotBytes);
  if (view.getUint32(0, true) !== magic) return undefined;
  if (view.getUint32(slotBytes - 4, true) !== crc32(bytes.subarray(0, slotBytes - 4))) return undefined;
  const found = Array.from({ length: numbers }, (_, index) => Number(view.getBigInt64(8 + index * 8, true)));
  const [count = 0, epoch = 0, sealedSeq = 0, lastSeq = 0, lastNumber = 0, last = 0] = found;
  return { flags: view.getUint32(4, true), count, progress: { epoch, sealedSeq, lastSeq, lastNumber }, last };
}

function parseSlot(bytes: Uint8Array): Slot | undefined {
  const slot = parse(bytes);
  if (slot === undefined || (slot.flags & flagNote) !== 0) return undefined;
  const open = (slot.flags & flagOpen) !== 0;
  const condemned = (slot.flags & flagCondemned) !== 0;
  const mixed = (slot.flags & flagMixed) !== 0;
  return {
    count: slot.count,
    mark: { ...slot.progress, open, condemned, mixed, unsealedSinceUs: slot.last },
  };
}

function parseNote(bytes: Uint8Array, bootId: string): WalNote | undefined {
  const slot = parse(bytes);
  if (slot === undefined || (slot.flags & flagNote) === 0) return undefined;
  return { ...slot.progress, exact: bootId !== '' && slot.last === crc32(bootId) };
}

function writeAll(file: number, bytes: Uint8Array, position: number): void {
  for (let written = 0; written < bytes.byteLength; )
    written += writeSync(file, bytes, written, bytes.byteLength - written, position + written);
}

/** Makes a new name in a folder durable. Windows has no such call and needs none. */
export function syncFolderOf(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
