import type { Labels } from '../../model/labels.ts';
import { type PayloadLimits, timestampNames } from './payload.ts';
import { timestampUsOf } from './timestamp.ts';

// Devices send the same names in the same order again and again. So the names that a topic's messages had are kept as a
// tree, and the next message is compared with it byte by byte: neither strings nor objects are made of it. This reads
// numbers, booleans and JSON objects of them, of texts and of objects, in plain ASCII; whatever else there may be is left
// to payload.ts, which says what payloads mean. Both have to agree; familiar-payload.test.ts compares them.

/** A name in the objects of a topic. */
export interface Member {
  /** Its bytes, as they stand between quotes. */
  readonly name: Uint8Array;
  /** Its place among its siblings. */
  readonly index: number;
  readonly isTime: boolean;
  /** PayloadItem's path of its value, and what the paths of its own members begin with. */
  readonly path: string;
  readonly pathInside: string;
  readonly members: Member[];
  /** The message in which it was seen last: a name that is there twice is for JSON.parse. */
  seenIn: number;
  /** What its series is found by; see mapper.ts. */
  series: { readonly key: string; readonly labels: () => Labels } | undefined;
}

/** What was read last; `values` and `members` are valid up to the count that `readFamiliar` returned. */
export interface FamiliarReader {
  readonly values: Float64Array;
  /** Whose values they are. */
  readonly members: Member[];
  timestampUs: number | undefined;
  /** Members of all topics that were learned. */
  learned: number;
  readonly limits: PayloadLimits;
  bytes: Buffer;
  at: number;
  end: number;
  count: number;
  message: number;
  times: number;
}

const membersPerObjectMax = 64;
const valuesMax = 256;
const nameBytesMax = 256;
/** Of all topics; then they have to be begun anew. */
export const membersMax = 50_000;

export const createFamiliarReader = (limits: PayloadLimits): FamiliarReader => ({
  ...{ values: new Float64Array(valuesMax), members: [], timestampUs: undefined, learned: 0, limits },
  ...{ bytes: Buffer.alloc(0), at: 0, end: 0, count: 0, message: 0, times: 0 },
});

/** The root of a topic's tree: its own value, and the members of its objects. */
export const createRoot = (): Member => ({
  ...{ name: new Uint8Array(), index: 0, isTime: false, path: '', pathInside: '' },
  ...{ members: [], seenIn: 0, series: undefined },
});

const quote = 0x22;
const minus = 0x2d;
const zero = 0x30;
const backslash = 0x5c;
const [comma, point, colon, openBrace, closeBrace] = [0x2c, 0x2e, 0x3a, 0x7b, 0x7d];
const powersOfTen = Float64Array.from({ length: 23 }, (_, power) => Number(`1e${power}`));

/** The number of values in bytes[start, end), at least one; 0: it is for payload.ts. */
export function readFamiliar(
  reader: FamiliarReader,
  root: Member,
  bytes: Buffer,
  start: number,
  end: number,
): number {
  reader.bytes = bytes;
  reader.at = start;
  reader.end = end;
  reader.count = 0;
  reader.times = 0;
  reader.timestampUs = undefined;
  reader.message++;
  const isObject = bytes[start] === openBrace && start < end;
  const read = isObject ? readObject(reader, root, 1) : readScalar(reader, root);
  return read && reader.at === end && reader.count <= reader.limits.valuesPerPayloadMax ? reader.count : 0;
}

/** `at` is at the opening brace, and behind the closing one afterwards. False: it is for payload.ts. */
function readObject(reader: FamiliarReader, parent: Member, depth: number): boolean {
  if (depth > reader.limits.jsonDepthMax) return false;
  reader.at++;
  skipSpace(reader);
  if (byteAt(reader) === closeBrace) {
    reader.at++;
    return true;
  }
  for (let expected = 0; ; ) {
    if (byteAt(reader) !== quote) return false;
    reader.at++;
    const member = findMember(reader, parent, expected) ?? learnMember(reader, parent, depth);
    if (member === undefined || member.seenIn === reader.message) return false;
    member.seenIn = reader.message;
    expected = member.index + 1;
    reader.at += member.name.length + 1;
    skipSpace(reader);
    if (byteAt(reader) !== colon) return false;
    reader.at++;
    skipSpace(reader);
    if (!(member.isTime ? readTime(reader) : readValue(reader, member, depth))) return false;
    skipSpace(reader);
    const next = byteAt(reader);
    reader.at++;
    if (next === closeBrace) return true;
    if (next !== comma) return false;
    skipSpace(reader);
  }
}

function readValue(reader: FamiliarReader, member: Member, depth: number): boolean {
  const first = byteAt(reader);
  if (first === quote) return skipText(reader);
  if (first === openBrace) return readObject(reader, member, depth + 1);
  return isWord(reader, nullWord) || readScalar(reader, member);
}

/** A number or a boolean. */
function readScalar(reader: FamiliarReader, member: Member): boolean {
  if (reader.count === valuesMax) return false;
  const first = byteAt(reader);
  const value =
    first === minus || isDigit(first)
      ? readNumber(reader)
      : isWord(reader, trueWord)
        ? 1
        : isWord(reader, falseWord)
          ? 0
          : Number.NaN;
  if (Number.isNaN(value)) return false;
  reader.values[reader.count] = value;
  reader.members[reader.count++] = member;
  return true;
}

function readTime(reader: FamiliarReader): boolean {
  if (isWord(reader, nullWord)) return true;
  if (++reader.times > 1) return false; // which one counts depends on its name
  const start = reader.at + 1;
  if (byteAt(reader) !== quote) reader.timestampUs = timestampUsOf(readNumber(reader));
  else if (skipText(reader))
    reader.timestampUs = timestampUsOf(reader.bytes.toString('latin1', start, reader.at - 1));
  return reader.timestampUs !== undefined;
}

/** A JSON number; NaN when there is none. */
function readNumber(reader: FamiliarReader): number {
  const { bytes, end } = reader;
  const start = reader.at;
  const negative = bytes[start] === minus && start < end;
  const from = negative ? start + 1 : start;
  let at = from;
  let mantissa = 0;
  for (; at < end && isDigit(bytes[at]); at++) mantissa = mantissa * 10 + (bytes[at] ?? 0) - zero;
  if (at === from || (bytes[from] === zero && at > from + 1)) return Number.NaN;
  let digits = at - from;
  let decimals = 0;
  if (at < end && bytes[at] === point) {
    const first = ++at;
    for (; at < end && isDigit(bytes[at]); at++) mantissa = mantissa * 10 + (bytes[at] ?? 0) - zero;
    decimals = at - first;
    if (decimals === 0) return Number.NaN;
    digits += decimals;
  }
  const exponentEnd = endOfExponent(bytes, at, end);
  if (exponentEnd < 0) return Number.NaN;
  reader.at = exponentEnd;
  // Both are exact then, so that what their division rounds to is the nearest double.
  if (exponentEnd === at && digits <= 16 && mantissa <= Number.MAX_SAFE_INTEGER) {
    const value = decimals === 0 ? mantissa : mantissa / (powersOfTen[decimals] ?? Number.NaN);
    return negative ? -value : value;
  }
  return Number(bytes.toString('latin1', start, exponentEnd));
}

/** Where the number ends, with its exponent if there is one; -1: there is a wrong one. */
function endOfExponent(bytes: Buffer, start: number, end: number): number {
  if (start >= end || ((bytes[start] ?? 0) | 0x20) !== 0x65) return start;
  const sign = bytes[start + 1];
  const from = sign === minus || sign === 0x2b ? start + 2 : start + 1;
  let at = from;
  while (at < end && isDigit(bytes[at])) at++;
  return at === from ? -1 : at;
}

/** `at` is at the opening quote, and behind the closing one afterwards. */
function skipText(reader: FamiliarReader): boolean {
  const close = endOfText(reader, reader.at + 1);
  reader.at = close + 1;
  return close >= 0;
}

/** Where the closing quote is; -1: it is not there, or the text is more than plain ASCII. */
function endOfText({ bytes, end }: FamiliarReader, start: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === quote) return at;
    if (byte < 0x20 || byte >= 0x80 || byte === backslash) return -1;
  }
  return -1;
}

/** The member whose name is at `at`, tried in the order of the message before. */
function findMember(reader: FamiliarReader, { members }: Member, expected: number): Member | undefined {
  const next = members[expected];
  if (next !== undefined && isNamed(reader, next)) return next;
  for (const member of members) if (isNamed(reader, member)) return member;
  return undefined;
}

function isNamed({ bytes, at, end }: FamiliarReader, { name }: Member): boolean {
  if (at + name.length >= end || bytes[at + name.length] !== quote) return false;
  for (let index = 0; index < name.length; index++) if (bytes[at + index] !== name[index]) return false;
  return true;
}

function learnMember(reader: FamiliarReader, parent: Member, depth: number): Member | undefined {
  const { bytes, at, limits } = reader;
  const close = endOfText(reader, at);
  // Objects put names that are numbers first, whatever their order in the text.
  if (close <= at || isDigit(bytes[at]) || close - at > nameBytesMax) return undefined;
  if (parent.members.length >= membersPerObjectMax || reader.learned >= membersMax) return undefined;
  const name = bytes.toString('latin1', at, close);
  const pathInside = parent.pathInside === '' ? name : `${parent.pathInside}_${name}`;
  if (pathInside.length > limits.metricNameBytesMax) return undefined;
  const member: Member = {
    name: new Uint8Array(bytes.subarray(at, close)),
    index: parent.members.length,
    isTime: depth === 1 && timestampNames.includes(name),
    // {"value": ...} at the top takes its name from the topic.
    path: depth === 1 && name === 'value' ? '' : pathInside,
    ...{ pathInside, members: [], seenIn: 0, series: undefined },
  };
  parent.members.push(member);
  reader.learned++;
  return member;
}

const [trueWord, falseWord, nullWord] = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')];

/** Whether the word is at `at`; it is behind it then. */
function isWord(reader: FamiliarReader, word: Buffer): boolean {
  const { bytes, at, end } = reader;
  if (at + word.length > end) return false;
  for (let index = 0; index < word.length; index++) if (bytes[at + index] !== word[index]) return false;
  reader.at = at + word.length;
  return true;
}

function skipSpace(reader: FamiliarReader): void {
  for (; reader.at < reader.end; reader.at++) {
    const byte = reader.bytes[reader.at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
  }
}

/** The byte at `at`; -1 at the end. */
const byteAt = ({ bytes, at, end }: FamiliarReader): number => (at < end ? (bytes[at] ?? -1) : -1);

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;
