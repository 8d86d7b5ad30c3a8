import { FirnError } from '../base/errors.ts';

/** The most that `get` and `getRange` hold in memory at once; larger objects are read with `getFile` or in ranges. */
export const bodyBytesMax = 64 * 1024 * 1024;

/** Throws `limit` when a body of this size would not be read into memory. */
export function checkBodySize(operation: string, key: string, sizeBytes: number, bytesMax: number): void {
  if (sizeBytes <= bytesMax) return;
  throw new FirnError({
    code: 'limit',
    operation,
    subject: 'bodyBytesMax',
    message: `${key} has ${sizeBytes} bytes, more than the ${bytesMax} that are read into memory`,
    hint: 'use getFile, or getRange in pieces',
  });
}

/** Throws `invalid` unless [startByte, endByte) is a range of at least one byte. */
export function checkRange(key: string, startByte: number, endByte: number): void {
  if (
    Number.isSafeInteger(startByte) &&
    Number.isSafeInteger(endByte) &&
    0 <= startByte &&
    startByte < endByte
  )
    return;
  throw invalidRange(key, startByte, endByte, 'it holds no byte');
}

export const invalidRange = (key: string, startByte: number, endByte: number, why: string): FirnError =>
  new FirnError({
    code: 'invalid',
    operation: 'get range',
    subject: key,
    message: `the range [${startByte}, ${endByte}) of ${key} can't be read: ${why}`,
  });
