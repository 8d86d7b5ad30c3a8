import xxhash from 'xxhash-wasm';
import type { Labels } from '../model/labels.ts';

const { h64Raw } = await xxhash();

/**
 * Prometheus' hash of a label set, which limit_ratio samples by: xxHash64 over every name and value, each as a length
 * and its UTF-8 bytes.
 */
export function labelsHash(labels: Labels): bigint {
  const parts: Buffer[] = [];
  for (const text of labels.flat()) {
    const bytes = Buffer.from(text);
    parts.push(lengthPrefix(bytes.length), bytes);
  }
  return h64Raw(Buffer.concat(parts));
}

/** One byte up to 254; else 255 and three bytes, the lowest first. */
function lengthPrefix(length: number): Buffer {
  if (length < 255) return Buffer.from([length]);
  return Buffer.from([255, length & 255, (length >> 8) & 255, (length >> 16) & 255]);
}
