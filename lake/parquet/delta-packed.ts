import { halvesOf } from './dictionary.ts';

// Parquet's DELTA_BINARY_PACKED (parquet.apache.org/docs/file-format/data-pages/encodings): differences from one value to
// the next, less the smallest of a block. Made for times, which come at regular intervals. Differences take whole bytes
// here: zstd, which sees bytes, makes less of them than of packed bits.

const blockValues = 128;
const miniblocks = 4;
const miniblockValues = blockValues / miniblocks;
/** Header and varints of a block, at most. */
const blockHeadBytes = 32;

/**
 * Undefined where a difference, or how far a value is from the first, is not exact as a number: then it takes another
 * encoding.
 */
export function encodeDelta(values: BigInt64Array): Buffer | undefined {
  const numbers = fromFirst(values);
  if (!numbers.every(isExact)) return undefined;
  const blocks = Math.ceil(values.length / blockValues);
  const output = { bytes: Buffer.allocUnsafe(64 + blocks * (blockHeadBytes + blockValues * 8)), at: 0 };
  for (const each of [blockValues, miniblocks, values.length]) varint(output, each);
  varint64(output, values[0] ?? 0n);
  for (let start = 1; start < numbers.length; start += blockValues) {
    const end = Math.min(start + blockValues, numbers.length);
    let least = Number.POSITIVE_INFINITY;
    for (let row = start; row < end; row++) {
      const difference = (numbers[row] ?? 0) - (numbers[row - 1] ?? 0);
      if (difference < least) least = difference;
    }
    if (!isExact(2 * least)) return undefined;
    varint(output, zigzag(least));
    const widthsAt = output.at;
    output.at += miniblocks;
    for (let mini = 0; mini < miniblocks; mini++) {
      const from = start + mini * miniblockValues;
      output.bytes[widthsAt + mini] = 8 * packMiniblock(output, numbers, from, end, least);
    }
  }
  return output.bytes.subarray(0, output.at);
}

/** How far each value is from the first; exact, or larger than what is. */
function fromFirst(values: BigInt64Array): Float64Array {
  const halves = halvesOf(values);
  const numbers = new Float64Array(values.length);
  const [low = 0, high = 0] = halves;
  for (let row = 0; row < numbers.length; row++)
    numbers[row] =
      (((halves[2 * row + 1] ?? 0) | 0) - (high | 0)) * 0x1_0000_0000 + ((halves[2 * row] ?? 0) - low);
  return numbers;
}

const isExact = (value: number): boolean => Math.abs(value) < 2 ** 51;
const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);

interface Output {
  readonly bytes: Buffer;
  at: number;
}

/** Returns the bytes that each value takes; rows beyond `end` are zeros. */
function packMiniblock(
  output: Output,
  numbers: Float64Array,
  from: number,
  end: number,
  least: number,
): number {
  if (from >= end) return 0;
  const last = Math.min(from + miniblockValues, end);
  let most = 0;
  for (let row = from; row < last; row++) {
    const above = (numbers[row] ?? 0) - (numbers[row - 1] ?? 0) - least;
    if (above > most) most = above;
  }
  let width = 0;
  while (256 ** width <= most) width++;
  if (width === 0) return 0;
  const { bytes, at } = output;
  bytes.fill(0, at, at + miniblockValues * width);
  for (let row = from; row < last; row++) {
    const above = (numbers[row] ?? 0) - (numbers[row - 1] ?? 0) - least;
    putLittle(bytes, at + (row - from) * width, width, above);
  }
  output.at += miniblockValues * width;
  return width;
}

function putLittle(bytes: Buffer, at: number, width: number, value: number): void {
  let low = value >>> 0;
  const lowEnd = at + Math.min(width, 4);
  for (let place = at; place < lowEnd; place++) {
    bytes[place] = low;
    low >>>= 8;
  }
  let high = width > 4 ? Math.floor(value / 0x1_0000_0000) : 0;
  for (let place = lowEnd; place < at + width; place++) {
    bytes[place] = high;
    high >>>= 8;
  }
}

function varint(output: Output, value: number): void {
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) output.bytes[output.at++] = (rest % 128) | 128;
  output.bytes[output.at++] = rest;
}

/** Zigzag of 64 bits. */
function varint64(output: Output, value: bigint): void {
  let rest = BigInt.asUintN(64, value < 0n ? -2n * value - 1n : 2n * value);
  for (; rest > 127n; rest >>= 7n) output.bytes[output.at++] = Number(rest & 127n) | 128;
  output.bytes[output.at++] = Number(rest);
}

/**
 * The other way; undefined for what `encodeDelta` does not write: other widths, values that are not exact as numbers, or
 * another count. Throws RangeError where bytes are missing.
 */
export function decodeDelta(bytes: Buffer, count: number): BigInt64Array | undefined {
  const input = { bytes, at: 0 };
  const [values, minis, total] = [readVarint(input), readVarint(input), readVarint(input)];
  if (total !== count || minis === 0 || values % minis !== 0) return undefined;
  const perMini = values / minis;
  const decoded = new BigInt64Array(count);
  const halves = new Uint32Array(decoded.buffer);
  const first = BigInt64Array.of(readVarint64(input));
  const [firstLow = 0, firstHigh = 0] = halvesOf(first);
  let value = 0;
  const put = (row: number): void => {
    const high = Math.floor(value / 0x1_0000_0000);
    const low = value - high * 0x1_0000_0000 + firstLow;
    halves[2 * row] = low;
    halves[2 * row + 1] = high + firstHigh + (low >= 0x1_0000_0000 ? 1 : 0);
  };
  if (count > 0) put(0);
  for (let row = 1; row < count; ) {
    const least = unzigzag(readVarint(input));
    const widths = input.bytes.subarray(input.at, input.at + minis);
    input.at += minis;
    for (let mini = 0; mini < minis && row < count; mini++) {
      const width = widths[mini] ?? 0;
      if (width % 8 !== 0 || width > 56) return undefined;
      for (let index = 0; index < perMini && row < count; index++, row++) {
        const at = input.at + (index * width) / 8;
        value += least + (width === 0 ? 0 : readLittle(input.bytes, at, width / 8));
        if (!Number.isSafeInteger(value)) return undefined;
        put(row);
      }
      input.at += (perMini * width) / 8;
    }
  }
  return decoded;
}

const unzigzag = (value: number): number => (value % 2 === 1 ? -(value + 1) / 2 : value / 2);

function readLittle(bytes: Buffer, at: number, width: number): number {
  if (width <= 6) return bytes.readUIntLE(at, width);
  return bytes.readUIntLE(at, 6) + bytes.readUInt8(at + 6) * 2 ** 48;
}

function readVarint(input: { readonly bytes: Buffer; at: number }): number {
  let value = 0;
  for (let scale = 1; scale < 2 ** 57; scale *= 128) {
    const byte = input.bytes.readUInt8(input.at++);
    value += (byte & 127) * scale;
    if (byte < 128) return value;
  }
  throw new RangeError('a number of a page is too long');
}

function readVarint64(input: { readonly bytes: Buffer; at: number }): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = input.bytes.readUInt8(input.at++);
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return BigInt.asIntN(64, (value & 1n) === 1n ? -((value + 1n) / 2n) : value / 2n);
  }
  throw new RangeError('a number of a page is too long');
}

/**
 * The same for values that are exact as numbers, as times in microseconds are, and without an object a value: fills
 * `into`. False where `decodeDelta` gives undefined.
 */
export function decodeDeltaNumbers(bytes: Buffer, into: Float64Array): boolean {
  const input = { bytes, at: 0 };
  const [values, minis, total] = [readVarint(input), readVarint(input), readVarint(input)];
  if (total !== into.length || minis === 0 || values % minis !== 0) return false;
  const perMini = values / minis;
  let value = unzigzag(readVarint(input));
  if (total > 0) into[0] = value;
  for (let row = 1; row < total; ) {
    const least = unzigzag(readVarint(input));
    const widths = input.at;
    input.at += minis;
    for (let mini = 0; mini < minis && row < total; mini++) {
      const bits = bytes[widths + mini] ?? 0;
      if (bits % 8 !== 0 || bits > 48) return false;
      const width = bits / 8;
      const end = Math.min(total, row + perMini);
      if (input.at + (end - row) * width > bytes.length) throw new RangeError('differences are missing');
      let at = input.at;
      for (; row < end; row++) {
        let above = 0;
        for (let byte = at + width - 1; byte >= at; byte--) above = above * 256 + (bytes[byte] ?? 0);
        at += width;
        value += least + above;
        into[row] = value;
      }
      input.at += perMini * width;
    }
  }
  return true;
}
