import xxhash from 'xxhash-wasm';

const { h64Raw } = await xxhash();
const utf8 = new TextEncoder();

/**
 * The stable 64-bit id of a series or log stream: xxHash64 (seed 0) of the UTF-8 bytes of its canonical labels JSON,
 * as a signed integer. Anyone who has the `labels` column can compute it again.
 */
export function seriesId(canonicalLabelsJson: string): bigint {
  return BigInt.asIntN(64, h64Raw(utf8.encode(canonicalLabelsJson)));
}
