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
