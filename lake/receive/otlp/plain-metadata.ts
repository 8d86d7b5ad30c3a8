import { levelOfSeverity, normalLevel } from '../logs/level.ts';
import { levelOfLine, levelOfString } from '../logs/line-level.ts';
import { type Int64Halves, isStorableTime, microsecondsOf, nanosecondsText } from '../nanoseconds.ts';
import { close, putKnown, putText, reserve, type TextBuilder } from '../text-builder.ts';
import { levelLabel, levelRankOf, type Parts, quoted, sortParts } from './log-metadata.ts';
import { attributeKey, plain, type Slice } from './plain-record.ts';
import { isZero } from './wire.ts';

// Structured metadata of a plain record, written as bytes. Records that have the same attributes in the same order have
// the same JSON but for its values: the plan of it is made once.

/** Texts that stand between values: one more than there are values. */
interface MetadataPlan {
  readonly shape: number;
  readonly keys: Int32Array;
  readonly literals: readonly Buffer[];
  /** Index of an attribute, or one of `own`. */
  readonly values: readonly number[];
  /** Attributes that name a level, in their order. */
  readonly levelAttributes: readonly number[];
}

/** Values that are not attributes. */
const own = {
  ...{ observed: -1, severityNumber: -2, severityText: -3, dropped: -4, flags: -5, trace: -6, span: -7 },
  level: -8,
} as const;

/** Makes metadata of the records of one scope. */
export interface PlainMetadata {
  /** Of the record in `plain`; false: it is not for this, because something is named detected_level. */
  prepare(): boolean;
  /** Writes the metadata of the record that was prepared, whose texts are in `bytes`. */
  write(to: TextBuilder, bytes: Buffer): void;
}

/** Shapes of one scope that are looked through. */
const plansMax = 16;

export function plainMetadata(base: Parts): PlainMetadata {
  const plans: MetadataPlan[] = [];
  let last: MetadataPlan | undefined;
  const baseHasLevel = base.names.includes(levelLabel);
  const planned = (): MetadataPlan | undefined => {
    const shape = shapeOf();
    if (last !== undefined && fits(last, shape)) return last;
    last = plans.find((plan) => fits(plan, shape));
    if (last !== undefined) return last;
    last = makePlan(base, shape);
    if (last === undefined) return undefined;
    if (plans.length === plansMax) plans.shift();
    plans.push(last);
    return last;
  };
  return {
    prepare: () => !baseHasLevel && planned() !== undefined,
    write: (to, bytes) => {
      if (last === undefined) throw new TypeError('no record is prepared');
      const level = levelOf(last, base, bytes);
      const { literals, values } = last;
      for (let index = 0; index < values.length; index++) {
        putKnown(to, literals[index] ?? noBytes);
        putValue(to, values[index] ?? 0, level, bytes);
      }
      putKnown(to, literals[values.length] ?? noBytes);
      close(to);
    },
  };
}

const noBytes = Buffer.alloc(0);

const hasText = ({ start, end, text }: Slice): boolean => (text === undefined ? end > start : text !== '');

const hasObserved = (): boolean => !isZero(plain.time) && !isZero(plain.observed);

/** Which of the fields are there, and how many attributes. */
function shapeOf(): number {
  const { severityNumber, severityText, dropped, flags, trace, span, attributes } = plain;
  return (
    Number(hasObserved()) |
    (Number(severityNumber !== 0) << 1) |
    (Number(severityText !== '') << 2) |
    (Number(dropped !== 0) << 3) |
    (Number(flags !== 0) << 4) |
    (Number(hasText(trace)) << 5) |
    (Number(hasText(span)) << 6) |
    (attributes << 7)
  );
}

function fits({ shape, keys }: MetadataPlan, wanted: number): boolean {
  if (shape !== wanted) return false;
  for (let index = 0; index < keys.length; index++) if (keys[index] !== plain.keys[index]) return false;
  return true;
}

/** The order of log-metadata.ts. */
function makePlan(base: Parts, shape: number): MetadataPlan | undefined {
  const keys = plain.keys.slice(0, plain.attributes);
  const names: string[] = [];
  const places: string[] = [];
  const add = (name: string, value: number): void => {
    names.push(name);
    places.push(String(value));
  };
  const levelAttributes: number[] = [];
  for (const [index, key] of keys.entries()) {
    const known = attributeKey(key);
    if (known === undefined || known.name === levelLabel) return undefined;
    add(known.name, index);
    if (known.levelRank !== undefined) levelAttributes.push(index);
  }
  const fields = [
    ...['observed_timestamp', 'severity_number', 'severity_text', 'dropped_attributes_count'],
    ...['flags', 'trace_id', 'span_id'],
  ];
  for (const [bit, name] of fields.entries()) if ((shape & (1 << bit)) !== 0) add(name, -1 - bit);
  add(levelLabel, own.level);
  sortParts({ names, values: places, level: undefined, levelRank: 0 });
  return { shape, keys, levelAttributes, ...merged(names, places, base) };
}

function merged(
  names: readonly string[],
  places: readonly string[],
  base: Parts,
): Pick<MetadataPlan, 'literals' | 'values'> {
  const literals: Buffer[] = [];
  const values: number[] = [];
  let literal = '{';
  let before: string | undefined;
  let [at, ofBase] = [0, 0];
  while (at < names.length || ofBase < base.names.length) {
    const mine = names[at];
    const theirs = base.names[ofBase];
    const isMine = theirs === undefined || (mine !== undefined && mine <= theirs);
    const name = (isMine ? mine : theirs) ?? '';
    const place = isMine ? Number(places[at++]) : undefined;
    const text = isMine ? '' : (base.values[ofBase++] ?? '');
    if (name === before) continue;
    literal += `${before === undefined ? '' : ','}"${name}":`;
    before = name;
    if (place === undefined) literal += text;
    else {
      literals.push(Buffer.from(`${literal}"`));
      values.push(place);
      literal = '"';
    }
  }
  literals.push(Buffer.from(`${literal}}`));
  return { literals, values };
}

function levelOf({ levelAttributes }: MetadataPlan, base: Parts, bytes: Buffer): string {
  let { level, levelRank } = base;
  const consider = (rank: number | undefined, text: string): void => {
    if (rank === undefined || rank >= levelRank || text === '') return;
    level = normalLevel(text);
    levelRank = rank;
  };
  for (const index of levelAttributes) {
    const value = plain.values[index];
    if (value) consider(attributeKey(plain.keys[index] ?? 0)?.levelRank, textOf(value, bytes));
  }
  if (plain.severityText !== '') consider(severityTextRank, plain.severityText);
  if (level !== undefined) return level;
  if (plain.severityNumber !== 0) return levelOfSeverity(plain.severityNumber);
  const { start, end, text } = plain.body;
  return text === undefined ? levelOfLine(bytes, start, end) : levelOfString(text);
}

const severityTextRank = levelRankOf('severity_text');

const textOf = ({ start, end, text }: Slice, bytes: Buffer): string =>
  text ?? bytes.toString('utf8', start, end);

function putValue(to: TextBuilder, value: number, level: string, bytes: Buffer): void {
  switch (value) {
    case own.observed:
      putNanoseconds(to, plain.observed);
      return;
    case own.severityNumber:
      putText(to, String(plain.severityNumber));
      return;
    case own.severityText:
      putKnown(to, escapedOf(plain.severityText));
      return;
    case own.dropped:
      putText(to, String(plain.dropped));
      return;
    case own.flags:
      putText(to, String(plain.flags));
      return;
    case own.trace:
      putHex(to, bytes, plain.trace);
      return;
    case own.span:
      putHex(to, bytes, plain.span);
      return;
    case own.level:
      putKnown(to, escapedOf(level));
      return;
    default: {
      const slice = plain.values[value];
      if (slice) putEscaped(to, bytes, slice);
    }
  }
}

/** Texts that come again and again, as they stand in JSON. */
const escaped = new Map<string, Buffer>();
const escapedMax = 1000;

function escapedOf(text: string): Buffer {
  const known = escaped.get(text);
  if (known !== undefined) return known;
  const bytes = Buffer.from(quoted(text).slice(1, -1));
  if (escaped.size >= escapedMax) escaped.clear();
  escaped.set(text, bytes);
  return bytes;
}

/** As JSON.stringify does, without the quotes. */
function putEscaped(to: TextBuilder, from: Buffer, slice: Slice): void {
  const { start, end, text } = slice;
  if (text !== undefined) {
    putText(to, quoted(text).slice(1, -1));
    return;
  }
  reserve(to, end - start);
  const { bytes } = to;
  let put = to.end;
  for (let at = start; at < end; at++) {
    const byte = from[at] ?? 0;
    if (byte < 0x20 || byte === 0x22 || byte === 0x5c || byte >= 0x80) {
      putText(to, quoted(from.toString('utf8', start, end)).slice(1, -1));
      return;
    }
    bytes[put++] = byte;
  }
  to.end = put;
}

const hexDigits = Buffer.from('0123456789abcdef');

export function putHex(to: TextBuilder, from: Buffer, { start, end }: Slice): void {
  reserve(to, 2 * (end - start));
  const { bytes } = to;
  let put = to.end;
  for (let at = start; at < end; at++) {
    const byte = from[at] ?? 0;
    bytes[put++] = hexDigits[byte >>> 4] ?? 0;
    bytes[put++] = hexDigits[byte & 15] ?? 0;
  }
  to.end = put;
}

/** Microseconds with so many digits are those of our time: 2001 to 2286. */
const microsecondsMin = 1e15;
const digitsOfUs = 16;

function putNanoseconds(to: TextBuilder, time: Int64Halves): void {
  const us = isStorableTime(time.high) && time.high >= 0 ? microsecondsOf(time) : 0;
  if (us < microsecondsMin) {
    putText(to, nanosecondsText(time));
    return;
  }
  const upper = Math.floor(us / 1e8);
  const below = ((time.low >>> 0) - (((us % 4294967296) * 1000) % 4294967296)) >>> 0;
  reserve(to, digitsOfUs + 3);
  putDigits(to, upper, 8);
  putDigits(to, us - upper * 1e8, 8);
  putDigits(to, below, 3);
}

function putDigits(to: TextBuilder, value: number, count: number): void {
  const { bytes, end } = to;
  let rest = value | 0;
  for (let at = end + count - 1; at >= end; at--) {
    const next = (rest / 10) | 0;
    bytes[at] = 0x30 + rest - next * 10;
    rest = next;
  }
  to.end = end + count;
}
