import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type Database from 'better-sqlite3';
import type { Signal } from '../../lake/model/batch.ts';

// A payload as the log stores it: as batch-codec.ts makes it or, of texts and from a certain size, compressed. To compress
// texts costs less than to write what it saves (decisions/0021), and a card wears by what is written. Packed: u8 3, u24 0, u32 bytes when unpacked, then a
// zstd frame. A payload itself begins with its format, which is never 3.

const PACKED = 3;
/** So many bytes of a stored payload tell how large it is. */
const headBytes = 8;
/** Signals whose rows are texts more than numbers. */
const packedSignals: readonly Signal[] = ['logs', 'spans', 'events'];
/** Smaller ones gain too little for what a call costs. */
const packedFromBytes = 2048;
/** Of its size may be left, or it stays as it is. */
const packedShareMax = 0.8;

const compression = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
const chunkBytesMin = 4096;
const chunkBytesMax = 4 * 1024 * 1024;
const chunkSize = (bytes: number): number => Math.min(chunkBytesMax, Math.max(chunkBytesMin, bytes));

/** What is to be stored; what is packed already stays as it is. */
export function packPayload(signal: Signal, payload: Uint8Array): Uint8Array {
  if (!packedSignals.includes(signal) || payload.byteLength < packedFromBytes || isPacked(payload))
    return payload;
  const frame = zstdCompressSync(payload, { ...compression, chunkSize: chunkSize(payload.byteLength / 2) });
  if (headBytes + frame.byteLength > packedShareMax * payload.byteLength) return payload;
  const stored = Buffer.allocUnsafe(headBytes + frame.byteLength);
  stored.writeUInt32LE(PACKED, 0);
  stored.writeUInt32LE(payload.byteLength, 4);
  stored.set(frame, headBytes);
  return stored;
}

/** What batch-codec.ts made; undefined when it is not of the size that it says, or no zstd. */
export function unpackPayload(stored: Uint8Array): Uint8Array | undefined {
  if (!isPacked(stored)) return stored;
  if (stored.byteLength < headBytes) return undefined;
  const bytes = unpackedBytes(stored, stored.byteLength);
  try {
    const payload = zstdDecompressSync(stored.subarray(headBytes), {
      maxOutputLength: Math.max(1, bytes),
      chunkSize: chunkSize(bytes + 1),
    });
    return payload.byteLength === bytes ? payload : undefined;
  } catch {
    return undefined;
  }
}

const isPacked = (stored: Uint8Array): boolean => stored[0] === PACKED;

/** Bytes of a payload when it is unpacked, by the first bytes of what is stored and by how many those are. */
export function unpackedBytes(head: Uint8Array, storedBytes: number): number {
  if (!isPacked(head) || head.byteLength < headBytes) return storedBytes;
  return new DataView(head.buffer, head.byteOffset, headBytes).getUint32(4, true);
}

/** SQL for the size of a batch's payload when it is unpacked, on connections that have it. It reads what is packed. */
export const unpackedBytesSql = `iif(signal IN (${packedSignals.map((signal) => `'${signal}'`).join(', ')}),
  unpacked_bytes(substr(payload, 1, ${headBytes}), length(payload)), length(payload))`;

export function addUnpackedBytes(db: Database.Database): void {
  db.function('unpacked_bytes', { deterministic: true }, (head, storedBytes) =>
    unpackedBytes(head as Uint8Array, Number(storedBytes)),
  );
}
