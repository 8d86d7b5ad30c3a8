import { crc32 } from 'node:zlib';

/** What the checksum of a `batch` row covers: all of it, so that no damaged column passes for a good one. */
interface ChecksummedBatch {
  readonly seq: number;
  readonly signal: string;
  readonly rows: number;
  readonly receivedUs: number;
  readonly monoUs: number;
  readonly boot: number;
  readonly payload: Uint8Array;
}

/** CRC-32 of the numbers as doubles (little-endian), the signal's name and the payload. */
export function batchCrc({ seq, signal, rows, receivedUs, monoUs, boot, payload }: ChecksummedBatch): number {
  const header = new Uint8Array(Float64Array.of(seq, rows, receivedUs, monoUs, boot).buffer);
  return crc32(payload, crc32(signal, crc32(header)));
}
