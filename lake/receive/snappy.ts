import { FirnError } from '../base/errors.ts';

// Snappy's block format (google/snappy format_description.txt), decoding only. Our own because it stands on the hot
// path of every remote write: the native library costs more here, because it gives a new buffer each time, whose pages the
// system must clear. And because a decoder that does not check that the output is filled exactly would let damaged input
// through as zeros.

/** Size that a block says it has when decoded. Throws FirnError `invalid` when there is no size at its start. */
export function snappyDecodedBytes(block: Uint8Array): number {
  return readPreamble(block).size;
}

/** Copies go four bytes at a time, and may write so many beyond their end. */
const slack = 4;
/** Larger outputs are not kept for the next block. */
const keptBytesMax = 4 * 1024 * 1024;
let kept = new Uint8Array(64 * 1024);

function outputOf(size: number): Uint8Array {
  if (size + slack <= kept.length) return kept;
  const output = new Uint8Array(Math.max(size + slack, Math.min(2 * size, keptBytesMax)));
  if (output.length <= keptBytesMax + slack) kept = output;
  return output;
}

/**
 * Decodes one block; what it returns is good until the next call. Throws FirnError `limit` before decoding when it is
 * larger than `decodedBytesMax`, or `invalid`.
 */
export function decodeSnappy(block: Uint8Array, decodedBytesMax: number): Uint8Array {
  const { size, start } = readPreamble(block);
  if (size > decodedBytesMax) throw tooLarge(size, decodedBytesMax);
  // No element makes more than 64 bytes from 3: refuse a size that this block can't have before taking the memory.
  if (size > block.length * 32) throw damaged();
  const output = outputOf(size);
  const from = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const to = new DataView(output.buffer);
  const end = block.length;
  let read = start;
  let written = 0;
  while (read < end) {
    const tag = byteAt(block, read++);
    if ((tag & 3) === 0) {
      let length = (tag >>> 2) + 1;
      if (length > 60) {
        const extra = length - 60;
        if (read + extra > end) throw damaged();
        length = readUint(block, read, extra) + 1;
        read += extra;
      }
      if (read + length > end || written + length > size) throw damaged();
      if (length > 64) output.set(block.subarray(read, read + length), written);
      else copyLiteral(from, read, to, written, length);
      read += length;
      written += length;
      continue;
    }
    const offsetBytes = (tag & 3) === 3 ? 4 : tag & 3;
    if (read + offsetBytes > end) throw damaged();
    const short = (tag & 3) === 1;
    const length = short ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    const offset = short ? ((tag >>> 5) << 8) | byteAt(block, read) : readUint(block, read, offsetBytes);
    read += offsetBytes;
    if (offset === 0 || offset > written || written + length > size) throw damaged();
    copyBack(to, written, offset, length);
    written += length;
  }
  if (written !== size) throw damaged();
  return output.subarray(0, size);
}

function readPreamble(block: Uint8Array): { size: number; start: number } {
  let size = 0;
  for (let index = 0; index < 5 && index < block.length; index++) {
    const byte = byteAt(block, index);
    size += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) {
      if (size > 0xffffffff) break;
      return { size, start: index + 1 };
    }
  }
  throw damaged();
}

const byteAt = (bytes: Uint8Array, index: number): number => bytes[index] ?? 0;

/** Little-endian, 1 to 4 bytes. */
function readUint(bytes: Uint8Array, start: number, length: number): number {
  let value = 0;
  for (let index = 0; index < length; index++) value |= byteAt(bytes, start + index) << (8 * index);
  return value >>> 0;
}

function copyLiteral(from: DataView, read: number, to: DataView, written: number, length: number): void {
  let index = 0;
  const wholeMax = Math.min(length, from.byteLength - read - slack + 1);
  for (; index < wholeMax; index += 4)
    to.setUint32(written + index, from.getUint32(read + index, true), true);
  for (; index < length; index++) to.setUint8(written + index, from.getUint8(read + index));
}

/** The ranges may overlap: then what was just written repeats. */
function copyBack(to: DataView, written: number, offset: number, length: number): void {
  const read = written - offset;
  if (offset < 4)
    for (let index = 0; index < length; index++) to.setUint8(written + index, to.getUint8(read + index));
  else
    for (let index = 0; index < length; index += 4)
      to.setUint32(written + index, to.getUint32(read + index, true), true);
}

function damaged(): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'decode snappy',
    subject: 'body',
    message: 'the body is not a valid snappy block',
    hint: 'remote write uses the block format, not the framed one',
  });
}

function tooLarge(size: number, limit: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'decode snappy',
    subject: 'decodedBytesMax',
    message: `the body has ${size} bytes when decompressed, at most ${limit} are accepted`,
    hint: 'send smaller requests',
  });
}
