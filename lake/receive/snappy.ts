import { FirnError } from '../base/errors.ts';

// Snappy's block format (google/snappy format_description.txt), decoding only. Our own because it stands on the hot
// path of every remote write, and because a decoder that does not check that the output is filled exactly would let
// damaged input through as zeros.

/** Size that a block says it has when decoded. Throws FirnError `invalid` when there is no size at its start. */
export function snappyDecodedBytes(block: Uint8Array): number {
  return readPreamble(block).size;
}

/** Decodes one block. Throws FirnError `limit` before decoding when it is larger than `decodedBytesMax`, or `invalid`. */
export function decodeSnappy(block: Uint8Array, decodedBytesMax: number): Uint8Array {
  const { size, start } = readPreamble(block);
  if (size > decodedBytesMax) throw tooLarge(size, decodedBytesMax);
  // No element makes more than 64 bytes from 3: refuse a size that this block can't have before taking the memory.
  if (size > block.length * 32) throw damaged();
  const output = new Uint8Array(size);
  let from = start;
  let to = 0;
  while (from < block.length) {
    const tag = byteAt(block, from++);
    if ((tag & 3) === 0) {
      let length = (tag >>> 2) + 1;
      if (length > 60) {
        const extra = length - 60;
        if (from + extra > block.length) throw damaged();
        length = readUint(block, from, extra) + 1;
        from += extra;
      }
      if (from + length > block.length || to + length > size) throw damaged();
      copyLiteral(block, from, output, to, length);
      from += length;
      to += length;
      continue;
    }
    const offsetBytes = (tag & 3) === 3 ? 4 : tag & 3;
    if (from + offsetBytes > block.length) throw damaged();
    const short = (tag & 3) === 1;
    const length = short ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    const offset = short ? ((tag >>> 5) << 8) | byteAt(block, from) : readUint(block, from, offsetBytes);
    from += offsetBytes;
    if (offset === 0 || offset > to || to + length > size) throw damaged();
    copyBack(output, to, offset, length);
    to += length;
  }
  if (to !== size) throw damaged();
  return output;
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

function copyLiteral(source: Uint8Array, from: number, output: Uint8Array, to: number, length: number): void {
  if (length > 48) output.set(source.subarray(from, from + length), to);
  else for (let index = 0; index < length; index++) output[to + index] = source[from + index] ?? 0;
}

/** The ranges may overlap: then what was just written repeats. */
function copyBack(output: Uint8Array, to: number, offset: number, length: number): void {
  for (let index = to; index < to + length; index++) output[index] = output[index - offset] ?? 0;
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
