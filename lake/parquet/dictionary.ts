import { createByteTable } from '../base/byte-table.ts';
import type { PlacedTexts } from './sorted-rows.ts';

// Which values a column has, and which of them each row has: what repeats is stored once.

export interface Dictionary<T> {
  readonly entries: T;
  /** Index into `entries` of each row. */
  readonly codes: Uint32Array;
}

/** 64-bit values, told apart by their bits, by the number that each got when it came first. */
export interface Numbered64 {
  /** Halves of the values. */
  entries: Uint32Array<ArrayBuffer>;
  count: number;
  slots: Int32Array<ArrayBuffer>;
}

export const createNumbered64 = (): Numbered64 => ({
  ...{ entries: new Uint32Array(1024), count: 0, slots: new Int32Array(1024).fill(-1) },
});

/** The number of a value, which it gets now if it is new. */
export function numberOf64(known: Numbered64, low: number, high: number): number {
  const slot = slotOf(known.slots, known.entries, low, high);
  const found = known.slots[slot] ?? -1;
  if (found >= 0) return found;
  const number = known.count++;
  if (2 * number === known.entries.length) known.entries = doubled(known.entries);
  known.slots[slot] = number;
  known.entries[2 * number] = low;
  known.entries[2 * number + 1] = high;
  if (known.count * 2 > known.slots.length)
    known.slots = moreSlots(known.slots.length * 2, known.entries, known.count);
  return number;
}

/** Undefined when there would be more entries than `entriesMax`. */
export function dictionaryOf64(
  values: BigInt64Array,
  entriesMax = Number.POSITIVE_INFINITY,
): Dictionary<BigInt64Array> | undefined {
  const halves = halvesOf(values);
  const codes = new Uint32Array(values.length);
  const known = createNumbered64();
  let code = -1;
  for (let row = 0; row < values.length; row++) {
    const low = halves[2 * row] ?? 0;
    const high = halves[2 * row + 1] ?? 0;
    if (code < 0 || known.entries[2 * code] !== low || known.entries[2 * code + 1] !== high) {
      code = numberOf64(known, low, high);
      if (known.count > entriesMax) return undefined;
    }
    codes[row] = code;
  }
  return { entries: new BigInt64Array(known.entries.slice(0, 2 * known.count).buffer), codes };
}

/** Low and high 32 bits of each value: no BigInt is made per row. */
export const halvesOf = (values: BigInt64Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length * 2);

/** Where the value is, or the free slot where it would be. */
function slotOf(slots: Int32Array, entries: Uint32Array, low: number, high: number): number {
  let hash = Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0xc2b2ae35);
  const mask = slots.length - 1;
  for (let slot = (hash ^ (hash >>> 13)) & mask; ; slot = (slot + 1) & mask) {
    const code = slots[slot] ?? -1;
    if (code < 0 || (entries[2 * code] === low && entries[2 * code + 1] === high)) return slot;
  }
}

function moreSlots(length: number, entries: Uint32Array, count: number): Int32Array<ArrayBuffer> {
  const slots = new Int32Array(length).fill(-1);
  for (let code = 0; code < count; code++)
    slots[slotOf(slots, entries, entries[2 * code] ?? 0, entries[2 * code + 1] ?? 0)] = code;
  return slots;
}

function doubled(entries: Uint32Array): Uint32Array<ArrayBuffer> {
  const more = new Uint32Array(entries.length * 2);
  more.set(entries);
  return more;
}

/** How many values of a column are looked at before it is given up, when most of them are new. */
const triedRows = 1024;
const triedNewMax = 0.9;

/** Of texts or integers; undefined when there would be more entries than `entriesMax`, or it looks like that. */
export function dictionaryOfAny<T extends string | bigint>(
  values: readonly T[],
  entriesMax: number,
): Dictionary<readonly T[]> | undefined {
  const codes = new Uint32Array(values.length);
  const entries: T[] = [];
  const codeOf = new Map<T, number>();
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as T;
    let code = codeOf.get(value);
    if (code === undefined) {
      code = entries.length;
      if (code >= entriesMax) return undefined;
      entries.push(value);
      codeOf.set(value, code);
    }
    codes[row] = code;
    if (row === triedRows && entries.length > triedRows * triedNewMax) return undefined;
  }
  return { entries, codes };
}

/** The same of texts as bytes, of these rows, which have no nulls; the entries are rows that have them. */
export function dictionaryOfTexts(
  { bytes, offsets }: PlacedTexts,
  rows: Uint32Array,
  entriesMax: number,
): Dictionary<Uint32Array> | undefined {
  const table = createByteTable();
  const codes = new Uint32Array(rows.length);
  const entries: number[] = [];
  for (let at = 0; at < rows.length; at++) {
    const row = rows[at] ?? 0;
    const start = offsets[row] ?? 0;
    const end = offsets[row + 1] ?? 0;
    let code = table.find(bytes, start, end);
    if (code < 0) {
      if (entries.length >= entriesMax) return undefined;
      code = table.insert(bytes, start, end);
      entries.push(row);
    }
    codes[at] = code;
    if (at === triedRows && entries.length > triedRows * triedNewMax) return undefined;
  }
  return { entries: Uint32Array.from(entries), codes };
}
