import { sbbfInsert } from 'hyparquet/src/bloom.js';
import xxhash from 'xxhash-wasm';

// Split block Bloom filters (parquet.apache.org/docs/file-format/bloomfilter): whether a row group can have a value, of
// ids that are spread over all files so that bounds say little.

const { h64Raw } = await xxhash();

/** One value in a hundred that is not there looks as if it were. */
const bitsPerValue = 10.5;
const blockBytes = 32;
const filterBytesMax = 1024 * 1024;

/**
 * Header and bits. `values` are encoded as PLAIN, texts without their length; each may come more than once, `count` is
 * how many there are.
 */
export function printBloomFilter(values: Iterable<Uint8Array>, count: number): Buffer {
  // A power of two, which all readers take.
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, (count * bitsPerValue) / 8)));
  const bytes = Math.min(filterBytesMax, Math.max(blockBytes, wanted));
  const words = new Uint32Array(bytes / 4);
  for (const value of values) sbbfInsert(words, h64Raw(value));
  const body = Buffer.alloc(bytes);
  words.forEach((word, index) => {
    body.writeUInt32LE(word, 4 * index);
  });
  return Buffer.concat([header(bytes), body]);
}

/** Thrift's compact form of `BloomFilterHeader`: the size, then BLOCK, XXHASH and UNCOMPRESSED, unions of empty structures. */
function header(bytes: number): Buffer {
  const size: number[] = [];
  for (let rest = 2 * bytes; ; rest = Math.floor(rest / 128)) {
    size.push(rest > 127 ? (rest % 128) | 128 : rest);
    if (rest <= 127) break;
  }
  const union = [0x1c, 0x1c, 0, 0];
  return Buffer.from([0x15, ...size, ...union, ...union, ...union, 0]);
}
