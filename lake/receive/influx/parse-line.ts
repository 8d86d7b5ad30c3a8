// InfluxDB's line protocol, one point a line:
//   measurement,tag=value,tag=value field=1.5,other=2i,text="a b" 1700000000000000000

export interface InfluxPoint {
  /** Measurement and tags as they stand in the line: the same text is the same series. */
  readonly key: string;
  readonly measurement: string;
  readonly tags: readonly (readonly [name: string, value: string])[];
  readonly fields: readonly (readonly [name: string, value: number | string])[];
  /** As sent, in the precision of the request; undefined: now. */
  readonly timestamp: bigint | undefined;
}

/** A line that is not the protocol; `line` counts from 1. */
export class LineError extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.line = line;
  }
}

/** The points of a text, one after the other. Throws LineError at the first line that is not one. */
export function* parseLines(text: string): Generator<InfluxPoint & { readonly line: number }> {
  let start = 0;
  let line = 1;
  while (start < text.length) {
    const cursor: Cursor = { text, at: start, line };
    skipBlanks(cursor);
    const first = text[cursor.at];
    if (first === undefined) return;
    if (first === '\n' || first === '\r' || first === '#') {
      const end = text.indexOf('\n', cursor.at);
      if (end < 0) return;
      start = end + 1;
      line++;
      continue;
    }
    const point = readPoint(cursor);
    yield { ...point, line };
    start = cursor.at + 1;
    line = cursor.line + 1;
  }
}

interface Cursor {
  readonly text: string;
  at: number;
  /** Strings may hold line breaks. */
  line: number;
}

function readPoint(cursor: Cursor): InfluxPoint {
  const start = cursor.at;
  const measurement = readName(cursor, ', ', measurementEscapes);
  if (measurement === '') throw fail(cursor, 'the measurement is missing');
  const tags: [string, string][] = [];
  while (peek(cursor) === ',') {
    cursor.at++;
    tags.push(readTag(cursor));
  }
  const key = cursor.text.slice(start, cursor.at);
  if (peek(cursor) !== ' ') throw fail(cursor, 'there are no fields after the measurement and its tags');
  skipBlanks(cursor);
  const fields: [string, number | string][] = [readField(cursor)];
  while (peek(cursor) === ',') {
    cursor.at++;
    fields.push(readField(cursor));
  }
  return { key, measurement, tags, fields, timestamp: readTimestamp(cursor) };
}

function readTag(cursor: Cursor): [string, string] {
  const name = readName(cursor, '=, ', tagEscapes);
  if (name === '') throw fail(cursor, 'a tag has no name');
  if (peek(cursor) !== '=') throw fail(cursor, `tag ${quote(name)} has no value`);
  cursor.at++;
  const value = readName(cursor, ', =', tagEscapes);
  if (value === '' || peek(cursor) === '=')
    throw fail(cursor, `the value of tag ${quote(name)} is ${value === '' ? 'empty' : 'not escaped'}`);
  return [name, value];
}

function readField(cursor: Cursor): [string, number | string] {
  const name = readName(cursor, '=, ', tagEscapes);
  if (name === '') throw fail(cursor, 'a field has no name');
  if (peek(cursor) !== '=') throw fail(cursor, `field ${quote(name)} has no value`);
  cursor.at++;
  if (peek(cursor) === '"') return [name, readString(cursor, name)];
  const start = cursor.at;
  while (!isEnd(cursor) && !', '.includes(peek(cursor))) cursor.at++;
  return [name, readValue(cursor, name, cursor.text.slice(start, cursor.at))];
}

const measurementEscapes = ', ';
const tagEscapes = ',= ';

/** Up to a stop character that is not escaped; a backslash before anything but `escapes` stands for itself. */
function readName(cursor: Cursor, stops: string, escapes: string): string {
  const { text } = cursor;
  const start = cursor.at;
  let escaped = false;
  for (; !isEnd(cursor); cursor.at++) {
    const char = text[cursor.at] ?? '';
    if (char === '\\' && escapes.includes(text[cursor.at + 1] ?? '\n')) {
      escaped = true;
      cursor.at++;
    } else if (stops.includes(char)) break;
  }
  const raw = text.slice(start, cursor.at);
  return escaped ? raw.replaceAll(escapes === tagEscapes ? /\\([,= ])/g : /\\([, ])/g, '$1') : raw;
}

function readString(cursor: Cursor, name: string): string {
  const { text } = cursor;
  const startLine = cursor.line;
  let value = '';
  for (cursor.at++; cursor.at < text.length; cursor.at++) {
    const char = text[cursor.at] ?? '';
    const next = text[cursor.at + 1];
    if (char === '"') {
      cursor.at++;
      return value;
    }
    if (char === '\n') cursor.line++;
    if (char === '\\' && (next === '"' || next === '\\')) {
      value += next;
      cursor.at++;
    } else value += char;
  }
  throw new LineError(startLine, `the string of field ${quote(name)} has no end`);
}

const booleans = new Map([
  ...['t', 'T', 'true', 'True', 'TRUE'].map((text) => [text, 1] as const),
  ...['f', 'F', 'false', 'False', 'FALSE'].map((text) => [text, 0] as const),
]);
const float = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

function readValue(cursor: Cursor, name: string, text: string): number {
  const truth = booleans.get(text);
  if (truth !== undefined) return truth;
  if (float.test(text)) {
    const value = Number(text);
    if (Number.isFinite(value)) return value;
  } else if (/^-?\d+i$/.test(text)) {
    const value = BigInt(text.slice(0, -1));
    if (value === BigInt.asIntN(64, value)) return Number(value);
  } else if (/^\d+u$/.test(text)) {
    const value = BigInt(text.slice(0, -1));
    if (value === BigInt.asUintN(64, value)) return Number(value);
  }
  const what = text === '' ? 'no value' : `the value ${quote(text)}`;
  throw fail(cursor, `field ${quote(name)} has ${what}: write 1.5, 2i, 3u, true or "text", within 64 bits`);
}

/** Reads to the end of the line. */
function readTimestamp(cursor: Cursor): bigint | undefined {
  if (!isEnd(cursor) && peek(cursor) !== ' ')
    throw fail(cursor, `there is ${quote(restOfLine(cursor))} after a field`);
  const rest = restOfLine(cursor).trim();
  const end = cursor.text.indexOf('\n', cursor.at);
  cursor.at = end < 0 ? cursor.text.length : end;
  if (rest === '') return undefined;
  if (!/^-?\d{1,19}$/.test(rest))
    throw fail(cursor, `the timestamp ${quote(rest)} is not a whole number of at most 64 bits`);
  return BigInt(rest);
}

function restOfLine({ text, at }: Cursor): string {
  const end = text.indexOf('\n', at);
  return text.slice(at, end < 0 ? undefined : end);
}

const peek = ({ text, at }: Cursor): string => text[at] ?? '';

function isEnd({ text, at }: Cursor): boolean {
  const char = text[at];
  return char === undefined || char === '\n' || (char === '\r' && (text[at + 1] ?? '\n') === '\n');
}

function skipBlanks(cursor: Cursor): void {
  while (peek(cursor) === ' ' || peek(cursor) === '\t') cursor.at++;
}

const quote = (text: string): string => JSON.stringify(text.slice(0, 100));

const fail = (cursor: Cursor, message: string): LineError => new LineError(cursor.line, message);
