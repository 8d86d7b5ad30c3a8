import { comparison } from '../../logql/pipeline/label-filter.ts';
import type { FieldCondition } from '../../logql/source.ts';

// What `| json | field >= 1` asks of a line, looked up in its bytes, so that lines of which the answer is surely no need
// not become objects. Whatever is not certain passes: lines that are not right, names and values with escapes, fields
// that come twice.

/** Whether the line in bytes [start, end) surely is none that the condition lets through. */
export type FieldTest = (bytes: Uint8Array, start: number, end: number) => boolean;

export function surelyFails({ field, op, value }: FieldCondition): FieldTest {
  const name = Buffer.from(field);
  const wanted = typeof value === 'string' ? Buffer.from(value) : undefined;
  const holds = typeof value === 'number' ? comparison(op, value) : () => true;
  return (bytes, start, end) => {
    const at = findField(bytes, start, end, name);
    if (at === uncertain) return false;
    if (at === absent) return true;
    if (wanted !== undefined) return !equals(bytes, found, wanted);
    const number = found.text ? Number.NaN : numberOf(bytes, found.from, found.to);
    return Number.isFinite(number) && !holds(number);
  };
}

/** Digits that are exact as a number. */
const exactDigits = 15;

function numberOf(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = (bytes[at] ?? 0) - 48;
    if (digit < 0 || digit > 9 || to - from > exactDigits) return Number(textOf(bytes, from, to));
    value = value * 10 + digit;
  }
  return value;
}

const textOf = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));

function equals(bytes: Uint8Array, { from, to }: Found, wanted: Uint8Array): boolean {
  if (to - from !== wanted.length) return false;
  for (let at = from; at < to; at++) if (bytes[at] !== wanted[at - from]) return false;
  return true;
}

const uncertain = -1;
const absent = -2;

interface Found {
  from: number;
  to: number;
  /** A string, without its quotes. */
  text: boolean;
}

/** Where the field is that was found last: no object is made for a line. */
const found: Found = { from: 0, to: 0, text: false };
let times = 0;

function findField(bytes: Uint8Array, start: number, end: number, name: Uint8Array): number {
  times = 0;
  const at = objectEnd(bytes, blankEnd(bytes, start, end), end, name, 0);
  if (at < 0 || blankEnd(bytes, at, end) !== end || times > 1) return uncertain;
  return times === 0 ? absent : found.from;
}

const [quote, backslash, comma, colon, open, close] = [34, 92, 44, 58, 123, 125];
const nestingMax = 100;

/** The first byte from `start` on that is not blank. */
function blankEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte > 32 || (byte !== 32 && (byte < 9 || byte > 13))) break;
  }
  return at;
}

/** The end of the object that begins at `start`; negative where it is not plain. Fields count at the top only. */
function objectEnd(bytes: Uint8Array, start: number, end: number, name: Uint8Array, depth: number): number {
  if (bytes[start] !== open || start >= end || depth > nestingMax) return uncertain;
  let at = blankEnd(bytes, start + 1, end);
  if (at < end && bytes[at] === close) return at + 1;
  for (;;) {
    if (at >= end || bytes[at] !== quote) return uncertain;
    const nameStart = at + 1;
    at = nameEnd(bytes, nameStart, end);
    if (at < 0) return uncertain;
    const isField = depth === 0 && at - nameStart === name.length && isAt(bytes, nameStart, name);
    at = blankEnd(bytes, at + 1, end);
    if (at >= end || bytes[at] !== colon) return uncertain;
    const from = blankEnd(bytes, at + 1, end);
    const text = bytes[from] === quote;
    at = isField
      ? fieldEnd(bytes, from, end)
      : text
        ? stringEnd(bytes, from + 1, end)
        : valueEnd(bytes, from, end, name, depth);
    if (at < 0) return uncertain;
    if (isField) {
      times++;
      found.text = text;
      found.from = text ? from + 1 : from;
      found.to = text ? at - 1 : at;
    }
    at = blankEnd(bytes, at, end);
    if (at < end && bytes[at] === close) return at + 1;
    if (at >= end || bytes[at] !== comma) return uncertain;
    at = blankEnd(bytes, at + 1, end);
  }
}

function isAt(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let at = 0; at < name.length; at++) if (bytes[start + at] !== name[at]) return false;
  return true;
}

/**
 * A name whose label is not its own text may become any label: only letters, digits and some signs are certain. What
 * stands under an empty name has labels as if it stood at the top.
 */
function nameEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte > quote && byte <= 126 && byte !== backslash) continue;
    if (byte === quote) return at > start ? at : uncertain;
    if (byte !== 33) return uncertain;
  }
  return uncertain;
}

/** The end of the value of the field that is asked for: a plain string, or a number. */
function fieldEnd(bytes: Uint8Array, start: number, end: number): number {
  if (bytes[start] !== quote) return numberEnd(bytes, start, end);
  for (let at = start + 1; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === quote) return at + 1;
    if (byte < 32 || byte > 126 || byte === backslash) return uncertain;
  }
  return uncertain;
}

/** The end of a value that is no string. */
function valueEnd(bytes: Uint8Array, start: number, end: number, name: Uint8Array, depth: number): number {
  const number = numberEnd(bytes, start, end);
  if (number !== uncertain) return number;
  if (bytes[start] === open) return objectEnd(bytes, start, end, name, depth + 1);
  for (const word of words)
    if (start + word.length <= end && isAt(bytes, start, word)) return start + word.length;
  return uncertain;
}

const words = ['true', 'false', 'null'].map((word) => Buffer.from(word));

function numberEnd(bytes: Uint8Array, start: number, end: number): number {
  const digits = bytes[start] === minus ? start + 1 : start;
  if (digits >= end || !isDigit(bytes[digits] ?? 0)) return uncertain;
  let at = digits + 1;
  while (at < end && isNumberByte(bytes[at] ?? 0)) at++;
  return at;
}

const minus = 45;
const isDigit = (byte: number): boolean => byte >= 48 && byte <= 57;

/** Digits, `+`, `-`, `.`, `e`, `E`: what a scanner takes for a number. */
const isNumberByte = (byte: number): boolean =>
  isDigit(byte) || byte === 46 || byte === minus || byte === 43 || byte === 101 || byte === 69;

/** The end of a string whose text begins at `start`. */
function stringEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte > quote && byte !== backslash) continue;
    if (byte === quote) return at + 1;
    if (byte < 32) return uncertain;
    // The escapes of one letter: `"`, `\`, `/`, b, f, n, r, t.
    if (byte === backslash && ![34, 92, 47, 98, 102, 110, 114, 116].includes(bytes[++at] ?? 0))
      return uncertain;
  }
  return uncertain;
}
