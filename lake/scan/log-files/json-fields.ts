import { byteFinder, type Find } from '../../base/byte-finder.ts';
import { comparison } from '../../logql/pipeline/label-filter.ts';
import type { FieldCondition } from '../../logql/source.ts';
import { bareEnd, blankEnd, flatTexts, isAt, numberEnd } from './flat-json.ts';
import type { Entries } from './text-page.ts';

// What `| json | field >= 1` asks of a line, looked up in its bytes, so that lines of which the answer is surely no need
// not become objects. Whatever is not certain passes: lines that are not right, names and values with escapes, fields
// that come twice.

/** Whether a text surely is none that the condition lets through. */
export type FieldTest = (entry: number) => boolean;

/** Made for the texts of each page. */
export function surelyFails({ field, op, value }: FieldCondition): (entries: Entries) => FieldTest {
  const name = Buffer.from(field);
  const quoted = Buffer.from(`"${field}"`);
  const findName = byteFinder(quoted);
  const wanted = typeof value === 'string' ? Buffer.from(value) : undefined;
  const holds = typeof value === 'number' ? comparison(op, value) : () => true;
  const foundFails = (bytes: Uint8Array): boolean => {
    if (wanted !== undefined) return !equals(bytes, found, wanted);
    const number = found.text ? Number.NaN : numberOf(bytes, found.from, found.to);
    return Number.isFinite(number) && !holds(number);
  };
  return (entries) => {
    const { body } = entries;
    const starts = entries.starts();
    const flat = flatTexts(entries);
    const fieldIn = flatFieldFinder(body, findName(body), quoted);
    return (entry) => {
      const [start, end] = [(starts[entry] ?? 0) + 4, starts[entry + 1] ?? 0];
      const at = flat?.[entry] === 1 ? fieldIn(start, end) : findField(body, start, end, name);
      return at === uncertain ? false : at === absent || foundFails(body);
    };
  };
}

/**
 * Finds the field in texts that are flat, each of whose names is there once: without escapes its name in quotes can only be
 * the name of a field, or a whole value, which no colon follows. Texts of a stream are alike, so it is looked for first
 * where it was in the last one, from the start and from the end.
 */
function flatFieldFinder(body: Buffer, find: Find, quoted: Buffer) {
  const nameBytes = quoted.byteLength;
  const valueStart = (at: number, end: number): number => {
    const sign = blankEnd(body, at + nameBytes, end);
    return sign < end && body[sign] === colon ? blankEnd(body, sign + 1, end) : absent;
  };
  const guessed = (at: number, start: number, end: number): boolean =>
    at >= start && at + nameBytes < end && isAt(body, at, quoted) && valueStart(at, end) !== absent;
  const searched = (start: number, end: number): number => {
    for (let at = find(start, end); at >= 0; at = find(at + nameBytes, end))
      if (valueStart(at, end) !== absent) return at;
    return absent;
  };
  let [fromStart, toEnd] = [0, 0];
  return (start: number, end: number): number => {
    let at = start + fromStart;
    if (!guessed(at, start, end)) {
      at = end - toEnd;
      if (!guessed(at, start, end)) at = searched(start, end);
      if (at === absent) return absent;
    }
    [fromStart, toEnd] = [at - start, end - at];
    const from = valueStart(at, end);
    return setFound(body, from, fieldEnd(body, from, end));
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

/** What stands for the end of what has none. */
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

/** A field whose value begins and ends there; gives the end, or what it is instead. */
function setFound(bytes: Uint8Array, start: number, end: number): number {
  if (end < 0) return end;
  found.text = bytes[start] === quote;
  found.from = found.text ? start + 1 : start;
  found.to = found.text ? end - 1 : end;
  return end;
}

function findField(bytes: Uint8Array, start: number, end: number, name: Uint8Array): number {
  times = 0;
  const at = objectEnd(bytes, blankEnd(bytes, start, end), end, name, 0);
  if (at < 0 || blankEnd(bytes, at, end) !== end || times > 1) return uncertain;
  return times === 0 ? absent : found.from;
}

const [quote, backslash, comma, colon, open, close] = [34, 92, 44, 58, 123, 125];
const nestingMax = 100;

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
      setFound(bytes, from, at);
    }
    at = blankEnd(bytes, at, end);
    if (at < end && bytes[at] === close) return at + 1;
    if (at >= end || bytes[at] !== comma) return uncertain;
    at = blankEnd(bytes, at + 1, end);
  }
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
const valueEnd = (bytes: Uint8Array, start: number, end: number, name: Uint8Array, depth: number): number =>
  bytes[start] === open ? objectEnd(bytes, start, end, name, depth + 1) : bareEnd(bytes, start, end);

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
