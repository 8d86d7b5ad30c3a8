import { FirnError } from '../base/errors.ts';

// Keys that every store can hold: one rule for all of them, so that a lake can be copied from one store to another.

/** S3's limit. */
export const keyBytesMax = 1024;
/** What one file name may hold on the usual file systems. */
export const keySegmentBytesMax = 255;
/** First segment of a key that the directory store keeps for its own files. */
export const reservedSegment = '.firn-store';

/** Returns the key. Throws `invalid` when a store could not hold it, or when it would leave the store's root. */
export function checkKey(operation: string, key: string): string {
  const wrong = key === '' ? 'it is empty' : (wrongWithText(key) ?? wrongWithSegments(key.split('/')));
  if (wrong !== undefined) throw invalidKey(operation, key, wrong);
  return key;
}

/** Like `checkKey`, for the beginning of a key: empty, or cut anywhere, also after a `/`. */
export function checkPrefix(operation: string, prefix: string): string {
  const folders = prefix.split('/').slice(0, -1);
  const wrong = wrongWithText(prefix) ?? wrongWithSegments(folders);
  if (wrong !== undefined) throw invalidKey(operation, prefix, wrong);
  return prefix;
}

/** A prefix whose next path segments can be listed: empty, or ending in `/`. */
export function checkFolderPrefix(operation: string, prefix: string): string {
  if (prefix !== '' && !prefix.endsWith('/')) throw invalidKey(operation, prefix, 'it does not end in /');
  return checkPrefix(operation, prefix);
}

/** The order of keys in every listing: by their UTF-8 bytes, which differs from `<` beyond the basic plane. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function wrongWithText(text: string): string | undefined {
  if (!text.isWellFormed()) return 'it is not valid Unicode';
  // Answers to listings are XML 1.0, which can't carry these.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  if (/[\u0000-\u001f\u007f\ufffe\uffff]/.test(text)) return 'it holds a control character';
  if (Buffer.byteLength(text) > keyBytesMax) return `it is longer than ${keyBytesMax} bytes`;
  return undefined;
}

function wrongWithSegments(segments: readonly string[]): string | undefined {
  if (segments[0] === reservedSegment) return `${reservedSegment}/ belongs to the store itself`;
  for (const segment of segments) {
    if (segment === '') return 'it has an empty segment';
    if (segment === '.' || segment === '..') return `it has the segment ${segment}`;
    if (Buffer.byteLength(segment) > keySegmentBytesMax)
      return `a segment is longer than ${keySegmentBytesMax} bytes`;
  }
  return undefined;
}

const invalidKey = (operation: string, key: string, wrong: string): FirnError =>
  new FirnError({
    code: 'invalid',
    operation,
    subject: key,
    message: `the key ${JSON.stringify(key)} can't be used: ${wrong}`,
    hint: 'use non-empty segments separated by /',
  });
