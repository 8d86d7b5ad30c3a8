import { endianness } from 'node:os';

// SQLite's write-ahead log file, `-wal` (sqlite.org/fileformat2.html, section 4): a header of 32 bytes, then frames of
// a header of 24 bytes and one page. All numbers are big-endian, except that the checksum reads its input in the byte
// order that the magic number names.

export const walHeaderBytes = 32;
export const frameHeaderBytes = 24;

export interface WalHeader {
  readonly pageBytes: number;
  readonly salt1: number;
  readonly salt2: number;
  /** Of the header itself: where the checksum of the first frame goes on from. */
  readonly checksum: Checksum;
  readonly swapped: boolean;
}

/** Two 32-bit sums; the same object is updated in place, because there is one a frame. */
export interface Checksum {
  s0: number;
  s1: number;
}

const magicLittle = 0x377f0682;
const magicBig = 0x377f0683;
const version = 3007000;

/** Undefined when these are not the bytes of a header, or damaged ones. */
export function parseWalHeader(bytes: Uint8Array): WalHeader | undefined {
  if (bytes.byteLength < walHeaderBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, walHeaderBytes);
  const magic = view.getUint32(0);
  const pageBytes = view.getUint32(8);
  if ((magic !== magicLittle && magic !== magicBig) || view.getUint32(4) !== version) return undefined;
  if (!isPageSize(pageBytes)) return undefined;
  const swapped = (magic === magicBig) !== (endianness() === 'BE');
  const checksum = { s0: 0, s1: 0 };
  addToChecksum(checksum, wordsOf(bytes.slice(0, 24)), 0, 6, swapped);
  if (checksum.s0 !== view.getInt32(24) || checksum.s1 !== view.getInt32(28)) return undefined;
  return { pageBytes, salt1: view.getUint32(16), salt2: view.getUint32(20), checksum, swapped };
}

export const isPageSize = (bytes: number): boolean =>
  bytes >= 512 && bytes <= 65_536 && (bytes & (bytes - 1)) === 0;

/** Adds words[start, end) to the sums (signed 32-bit, as `getInt32` reads them). */
export function addToChecksum(
  sum: Checksum,
  words: Int32Array,
  start: number,
  end: number,
  swapped: boolean,
): void {
  let { s0, s1 } = sum;
  for (let index = start; index < end; index += 2) {
    let even = words[index] ?? 0;
    let odd = words[index + 1] ?? 0;
    if (swapped) {
      even = swapBytes(even);
      odd = swapBytes(odd);
    }
    s0 = (s0 + even + s1) | 0;
    s1 = (s1 + odd + s0) | 0;
  }
  sum.s0 = s0;
  sum.s1 = s1;
}

const swapBytes = (word: number): number =>
  (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);

/** The bytes as 32-bit words of this machine; they start at a multiple of four in their buffer. */
export const wordsOf = (bytes: Uint8Array): Int32Array =>
  new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
