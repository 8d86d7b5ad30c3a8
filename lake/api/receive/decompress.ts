import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { FirnError, messageOf } from '../../base/errors.ts';

export interface DecompressLimits {
  /** Body after decompression. */
  readonly decodedBytesMax: number;
}

/** So many times its size may a body grow (and a mebibyte more): gzip can do a thousand, and text seldom does a hundred. */
const decodedRatioMax = 500;
const decodedBytesFree = 1024 * 1024;
/** Bodies up to this size are not worth a trip to another thread. */
const bytesHereMax = 32 * 1024;

export type Compression = 'gzip' | 'deflate' | 'zstd';

const decoders = {
  gzip: [zlib.gunzipSync, promisify(zlib.gunzip)],
  zlib: [zlib.inflateSync, promisify(zlib.inflate)],
  raw: [zlib.inflateRawSync, promisify(zlib.inflateRaw)],
  zstd: [zlib.zstdDecompressSync, promisify(zlib.zstdDecompress)],
} as const;

/**
 * Decompresses a body. `deflate` is the raw format as well as the one with zlib's header: senders mean either. Throws
 * FirnError `limit` (`decodedBytesMax` or `decodedRatioMax`) as soon as the limit is passed, and `invalid`.
 */
export async function decompress(
  body: Uint8Array,
  compression: Compression,
  limits: DecompressLimits,
): Promise<Uint8Array> {
  const ratioBytes = decodedBytesFree + decodedRatioMax * body.byteLength;
  const maxOutputLength = Math.min(limits.decodedBytesMax, ratioBytes);
  const format = compression === 'deflate' ? (hasZlibHeader(body) ? 'zlib' : 'raw') : compression;
  const [here, elsewhere] = decoders[format];
  const options = { maxOutputLength, chunkSize: Math.min(maxOutputLength, chunkBytes(body, format)) };
  try {
    return body.byteLength <= bytesHereMax ? here(body, options) : await elsewhere(body, options);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_BUFFER_TOO_LARGE') throw damaged(compression, error);
    throw tooLarge(ratioBytes < limits.decodedBytesMax, maxOutputLength);
  }
}

const chunkBytesMin = 16 * 1024;
const chunkBytesMax = 4 * 1024 * 1024;

/**
 * How much is taken from the decoder at once: each time costs a trip to its thread, and what comes in one piece is not
 * copied together. RFC 1952: gzip ends with the size of what it holds, which is only believed where it makes sense.
 */
function chunkBytes(body: Uint8Array, format: keyof typeof decoders): number {
  const usual = 8 * body.byteLength;
  const end = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const said =
    format === 'gzip' && body.byteLength > 4 ? end.getUint32(body.byteLength - 4, true) + 1 : usual;
  const bytes = said > body.byteLength && said <= 8 * usual ? said : usual;
  return Math.min(chunkBytesMax, Math.max(chunkBytesMin, bytes));
}

/** RFC 1950: the method is 8, and the two bytes are a multiple of 31. */
function hasZlibHeader(body: Uint8Array): boolean {
  const [first = 0, second = 0] = body;
  return (first & 15) === 8 && (first * 256 + second) % 31 === 0;
}

function damaged(compression: Compression, cause: unknown): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'decompress',
    subject: 'body',
    message: `the body is not valid ${compression}: ${messageOf(cause)}`,
    cause,
  });
}

function tooLarge(byRatio: boolean, bytesMax: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'decompress',
    subject: byRatio ? 'decodedRatioMax' : 'decodedBytesMax',
    message: byRatio
      ? `the body grows to more than ${decodedRatioMax} times its size when decompressed (decodedRatioMax)`
      : `the body has more than ${bytesMax} bytes when decompressed (decodedBytesMax): send smaller requests`,
  });
}
