import type { Entries } from './text-page.ts';

// Which texts are flat JSON objects: fields of plain names, each once, with texts, numbers, true, false or null, nothing
// nested and no escapes. What is asked of those is looked up by searching, without reading them as JSON again.

/**
 * 1 for each text that is one; remembered as long as the page is. Undefined when it is asked for the first time: a page that
 * is not kept is searched once, and then it would cost more than it saves.
 */
export function flatTexts(entries: Entries): Uint8Array | undefined {
  const known = flatOf.get(entries);
  if (known instanceof Uint8Array) return known;
  const flat = known === 'asked' ? markFlat(entries) : undefined;
  flatOf.set(entries, flat ?? 'asked');
  return flat;
}

const flatOf = new WeakMap<Entries, Uint8Array | 'asked'>();

function markFlat({ body, count, starts: startsOf }: Entries): Uint8Array {
  const starts = startsOf();
  const flat = new Uint8Array(count);
  for (let entry = 0; entry < count; entry++)
    if (isFlat(body, (starts[entry] ?? 0) + 4, starts[entry + 1] ?? 0)) flat[entry] = 1;
  return flat;
}

const [quote, backslash, comma, colon, open, close] = [34, 92, 44, 58, 123, 125];

/** Bytes that a text may have. */
const ofTexts = Uint8Array.from({ length: 256 }, (_, byte) =>
  Number(byte >= 32 && byte !== quote && byte !== backslash),
);

/** Hashes of the names of the text that is looked at; one with more of them is not told apart. */
const hashes = new Int32Array(16);

function isFlat(bytes: Uint8Array, start: number, end: number): boolean {
  let at = blankEnd(bytes, start, end);
  if (at >= end || bytes[at] !== open) return false;
  at = blankEnd(bytes, at + 1, end);
  if (at < end && bytes[at] === close) return blankEnd(bytes, at + 1, end) === end;
  for (let names = 0; ; names++) {
    at = newNameEnd(bytes, at, end, names);
    if (at < 0) return false;
    at = blankEnd(bytes, at, end);
    if (at >= end || bytes[at] !== colon) return false;
    at = blankEnd(bytes, at + 1, end);
    at = bytes[at] === quote ? quotedEnd(bytes, at, end) : bareEnd(bytes, at, end);
    if (at < 0) return false;
    at = blankEnd(bytes, at, end);
    if (at >= end) return false;
    if (bytes[at] === close) return blankEnd(bytes, at + 1, end) === end;
    if (bytes[at] !== comma) return false;
    at = blankEnd(bytes, at + 1, end);
  }
}

/**
 * The end of a name in quotes whose label is its own text; negative where there is none, and for one that (by its hash) is
 * among the `names` before it.
 */
function newNameEnd(bytes: Uint8Array, start: number, end: number, names: number): number {
  if (start >= end || bytes[start] !== quote || names === hashes.length) return -1;
  let hash = 0;
  let at = start + 1;
  for (; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === quote) break;
    if (byte <= 32 || byte > 126 || byte === backslash) return -1;
    hash = Math.imul(hash, 31) + byte;
  }
  if (at >= end || at === start + 1) return -1;
  hashes[names] = hash;
  for (let before = 0; before < names; before++) if (hashes[before] === hashes[names]) return -1;
  return at + 1;
}

/** The end of a text in quotes; negative where there is none. */
function quotedEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start + 1;
  while (at < end && ofTexts[bytes[at] ?? 0] === 1) at++;
  return at < end && bytes[at] === quote ? at + 1 : -1;
}

const words = ['true', 'false', 'null'].map((word) => Buffer.from(word));

/** The end of a number, true, false or null; negative where there is none. */
export function bareEnd(bytes: Uint8Array, start: number, end: number): number {
  const number = numberEnd(bytes, start, end);
  if (number >= 0) return number;
  for (const word of words)
    if (start + word.length <= end && isAt(bytes, start, word)) return start + word.length;
  return -1;
}

export function isAt(bytes: Uint8Array, start: number, text: Uint8Array): boolean {
  for (let at = 0; at < text.length; at++) if (bytes[start + at] !== text[at]) return false;
  return true;
}

/** The first byte from `start` on that is not blank. */
export function blankEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte > 32 || (byte !== 32 && (byte < 9 || byte > 13))) break;
  }
  return at;
}

/** The end of what a scanner takes for a number; negative where there is none. */
export function numberEnd(bytes: Uint8Array, start: number, end: number): number {
  const digits = bytes[start] === minus ? start + 1 : start;
  if (digits >= end || !isDigit(bytes[digits] ?? 0)) return -1;
  let at = digits + 1;
  while (at < end && isNumberByte(bytes[at] ?? 0)) at++;
  return at;
}

const minus = 45;
const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;

/** Digits, `+`, `-`, `.`, `e`, `E`: what a scanner takes for a number. */
const isNumberByte = (byte: number): boolean =>
  isDigit(byte) || byte === 46 || byte === minus || byte === 43 || byte === 101 || byte === 69;
