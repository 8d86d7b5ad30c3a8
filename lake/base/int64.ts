import assert from 'node:assert';

// Columns of 64-bit integers are BigInt64Array, but making a BigInt for each row costs an allocation; numbers below
// 2^53 are written as two 32-bit halves instead. The layout below is little-endian, as on every target.
assert(new Uint8Array(new Uint32Array([1]).buffer)[0] === 1, 'Firn needs a little-endian machine');

const TWO_32 = 4294967296;

/**
 * Writes a safe integer (also negative) into row `row` of a BigInt64Array, seen as 32-bit halves: index 2i is the low
 * half of row i, 2i + 1 the high half.
 */
export function writeInt64(halves: Uint32Array, row: number, value: number): void {
  halves[2 * row] = value >>> 0;
  halves[2 * row + 1] = Math.floor(value / TWO_32) >>> 0;
}
