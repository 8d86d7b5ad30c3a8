import { FirnError } from '../base/errors.ts';

/** How a run is stored costs two bytes or more, so that only as many equal codes as one packed group has are worth it. */
const GROUP = 8;

/** Bits that the codes of `entries` dictionary entries take, at least one. */
export const bitWidthOf = (entries: number): number => Math.max(1, 32 - Math.clz32(entries - 1));

/**
 * Codes of `bitWidth` bits (24 at most) in Parquet's hybrid of runs and bit-packed groups of eight
 * (parquet.apache.org/docs/file-format/data-pages/encodings).
 */
export function encodeHybrid(codes: Uint32Array, bitWidth: number): Buffer {
  const groups = Math.ceil(codes.length / GROUP) + 1;
  const output = { bytes: Buffer.allocUnsafe(groups * (10 + bitWidth)), length: 0 };
  let packedFrom = 0;
  let at = 0;
  while (at < codes.length) {
    const code = codes[at];
    let end = at + 1;
    while (end < codes.length && codes[end] === code) end++;
    // Packed groups before a run must be whole: the run's first codes fill the last of them.
    const filler = (GROUP - ((at - packedFrom) % GROUP)) % GROUP;
    if (end - at - filler >= GROUP) {
      pack(output, codes, packedFrom, at + filler, bitWidth);
      run(output, code ?? 0, end - at - filler, bitWidth);
      packedFrom = end;
    }
    at = end;
  }
  pack(output, codes, packedFrom, codes.length, bitWidth);
  return output.bytes.subarray(0, output.length);
}

interface Output {
  readonly bytes: Buffer;
  length: number;
}

function run(output: Output, code: number, count: number, bitWidth: number): void {
  varint(output, count * 2);
  for (let bit = 0; bit < bitWidth; bit += 8) output.bytes[output.length++] = (code >>> bit) & 255;
}

/** Codes [from, to); the last group is filled with zeros. */
function pack(output: Output, codes: Uint32Array, from: number, to: number, bitWidth: number): void {
  if (from === to) return;
  const groups = Math.ceil((to - from) / GROUP);
  varint(output, groups * 2 + 1);
  const { bytes } = output;
  let bits = 0;
  let held = 0;
  for (let at = from; at < from + groups * GROUP; at++) {
    held |= (at < to ? (codes[at] ?? 0) : 0) << bits;
    bits += bitWidth;
    for (; bits >= 8; bits -= 8) {
      bytes[output.length++] = held & 255;
      held >>>= 8;
    }
  }
}

function varint(output: Output, value: number): void {
  let rest = value;
  for (; rest > 127; rest >>>= 7) output.bytes[output.length++] = (rest & 127) | 128;
  output.bytes[output.length++] = rest;
}

/**
 * The other way; throws FirnError `corrupt` when there are not so many codes. `codes` must be wide enough, and is what
 * is returned.
 */
export function decodeHybrid<Codes extends Uint8Array | Uint16Array | Uint32Array = Uint32Array>(
  bytes: Buffer,
  bitWidth: number,
  count: number,
  codes: Codes = new Uint32Array(count) as Codes,
): Codes {
  const input = { bytes, at: 0 };
  for (let row = 0; row < count; ) {
    const header = readVarint(input);
    const groups = header >>> 1;
    if ((header & 1) === 1) {
      const end = Math.min(count, row + groups * GROUP);
      unpack(input, codes, row, end, bitWidth);
      input.at += groups * bitWidth - Math.ceil(((end - row) * bitWidth) / 8);
      row = end;
    } else {
      let code = 0;
      for (let bit = 0; bit < bitWidth; bit += 8) code |= byteAt(input) << bit;
      codes.fill(code, row, row + groups);
      row += groups;
    }
  }
  return codes;
}

interface Input {
  readonly bytes: Buffer;
  at: number;
}

function byteAt(input: Input): number {
  const byte = input.bytes[input.at++];
  if (byte === undefined) throw corruptRuns();
  return byte;
}

function readVarint(input: Input): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = byteAt(input);
    value |= (byte & 127) << shift;
    if (byte < 128) return value >>> 0;
  }
  throw corruptRuns();
}

type AnyCodes = Uint8Array | Uint16Array | Uint32Array;

function unpack(input: Input, codes: AnyCodes, from: number, to: number, bitWidth: number): void {
  if (bitWidth === 8 || bitWidth === 16 || bitWidth === 24) {
    unpackBytes(input, codes, from, to, bitWidth / 8);
    return;
  }
  const mask = 2 ** bitWidth - 1;
  let bits = 0;
  let held = 0;
  for (let row = from; row < to; row++) {
    for (; bits < bitWidth; bits += 8) held |= byteAt(input) << bits;
    codes[row] = held & mask;
    held >>>= bitWidth;
    bits -= bitWidth;
  }
}

/** Codes of whole bytes, as doubles have them. */
function unpackBytes(input: Input, codes: AnyCodes, from: number, to: number, width: number): void {
  const { bytes, at } = input;
  if (at + (to - from) * width > bytes.length) throw corruptRuns();
  if (width === 1) for (let row = from; row < to; row++) codes[row] = bytes[at + row - from] ?? 0;
  else if (width === 2)
    for (let row = from, byte = at; row < to; row++, byte += 2)
      codes[row] = (bytes[byte] ?? 0) | ((bytes[byte + 1] ?? 0) << 8);
  else
    for (let row = from, byte = at; row < to; row++, byte += 3)
      codes[row] = (bytes[byte] ?? 0) | ((bytes[byte + 1] ?? 0) << 8) | ((bytes[byte + 2] ?? 0) << 16);
  input.at += (to - from) * width;
}

function corruptRuns(): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'read segment',
    subject: 'pages',
    message: 'a page of a Parquet file has fewer values than it says',
  });
}
