import { FirnError } from '../../base/errors.ts';
import type { LogsBatch } from '../../model/batch.ts';
import { lineMetadata } from '../logs/metadata.ts';
import type { LogStream, LogStreams } from '../logs/streams.ts';
import { addMetadata, createLogsBuilder, type LogsBuilder } from '../logs-builder.ts';
import { isStorableTime, setSeconds } from '../nanoseconds.ts';
import { close, reserve, type TextBuilder } from '../text-builder.ts';
import type { JsonParts } from './decode-json.ts';
import type { LokiPushLimits } from './limits.ts';
import { pushedStream } from './streams.ts';

// A push request in the form that senders write, read as bytes: each stream's labels before its values, times as texts of
// 16 to 19 digits. Only labels and structured metadata, few and small, go through JSON.parse.

/** What is not in that form: the request is to be read in the other way, which also knows what is wrong with it. */
const otherForm = new Error('another form');

interface Cursor {
  readonly bytes: Buffer;
  pos: number;
}

interface Scan {
  readonly cursor: Cursor;
  readonly builder: LogsBuilder;
  readonly streams: LogStreams;
  readonly limits: LokiPushLimits;
  readonly parts: JsonParts;
}

/** Undefined: it is in another form, or some of it is to be refused. */
export function scanJsonPush(
  bytes: Buffer,
  streams: LogStreams,
  limits: LokiPushLimits,
  parts: JsonParts,
): LogsBatch | undefined {
  const builder = createLogsBuilder(bytes.length);
  const cursor = { bytes, pos: 0 };
  try {
    expectByte(cursor, OPEN_BRACE);
    expectName(cursor, streamsName);
    expectByte(cursor, OPEN_BRACKET);
    const scan: Scan = { cursor, builder, streams, limits, parts };
    let count = 0;
    for (let more = !skipIf(cursor, CLOSE_BRACKET); more; more = isMore(cursor, CLOSE_BRACKET)) {
      if (++count > limits.streamsPerRequestMax) throw otherForm;
      readStream(scan);
    }
    expectByte(cursor, CLOSE_BRACE);
    skipSpace(cursor);
    return cursor.pos === bytes.length ? builder.finish() : undefined;
  } catch (error) {
    if (error === otherForm || error instanceof FirnError) return undefined;
    throw error;
  }
}

const [QUOTE, COMMA, COLON, BACKSLASH] = [0x22, 0x2c, 0x3a, 0x5c];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

const streamsName = Buffer.from('"streams"');
const streamName = Buffer.from('"stream"');
const valuesName = Buffer.from('"values"');

function skipSpace(cursor: Cursor): number {
  const { bytes } = cursor;
  let byte = bytes[cursor.pos];
  while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++cursor.pos];
  return byte ?? 0;
}

function expectByte(cursor: Cursor, wanted: number): void {
  if (skipSpace(cursor) !== wanted) throw otherForm;
  cursor.pos++;
}

function skipIf(cursor: Cursor, wanted: number): boolean {
  if (skipSpace(cursor) !== wanted) return false;
  cursor.pos++;
  return true;
}

/** Whether a comma follows; otherwise it must be the end of the list. */
function isMore(cursor: Cursor, end: number): boolean {
  if (skipIf(cursor, COMMA)) return true;
  expectByte(cursor, end);
  return false;
}

/** A member's name and the colon behind it. */
function expectName(cursor: Cursor, name: Buffer): void {
  skipSpace(cursor);
  for (const byte of name) if (cursor.bytes[cursor.pos++] !== byte) throw otherForm;
  expectByte(cursor, COLON);
}

function readStream({ cursor, builder, streams, limits, parts }: Scan): void {
  const { bytes } = cursor;
  expectByte(cursor, OPEN_BRACE);
  expectName(cursor, streamName);
  const [start, end] = objectAt(cursor);
  expectByte(cursor, COMMA);
  expectName(cursor, valuesName);
  expectByte(cursor, OPEN_BRACKET);
  if (skipIf(cursor, CLOSE_BRACKET)) parse(bytes, start, end);
  else {
    const stream = pushedStream(streams, bytes, start, end, () => parts.labels(parse(bytes, start, end)));
    do readValue(cursor, builder, stream, limits, parts);
    while (isMore(cursor, CLOSE_BRACKET));
  }
  expectByte(cursor, CLOSE_BRACE);
}

/** Where the object of texts and numbers that stands here begins and ends. */
function objectAt(cursor: Cursor): [start: number, end: number] {
  const { bytes } = cursor;
  if (skipSpace(cursor) !== OPEN_BRACE) throw otherForm;
  const start = cursor.pos;
  for (let inText = false; cursor.pos < bytes.length; ) {
    const byte = bytes[cursor.pos++];
    if (byte === QUOTE) inText = !inText;
    else if (inText && byte === BACKSLASH) cursor.pos++;
    else if (!inText && byte === CLOSE_BRACE) return [start, cursor.pos];
    else if (!inText && (byte === OPEN_BRACKET || (byte === OPEN_BRACE && cursor.pos > start + 1))) break;
  }
  throw otherForm;
}

function parse(bytes: Buffer, start: number, end: number): unknown {
  try {
    return JSON.parse(bytes.toString('utf8', start, end));
  } catch {
    throw otherForm;
  }
}

const time = { low: 0, high: 0 };

/** ["<nanoseconds>","<line>"] or ["<nanoseconds>","<line>",{"name":"value"}] */
function readValue(
  cursor: Cursor,
  builder: LogsBuilder,
  stream: LogStream,
  limits: LokiPushLimits,
  parts: JsonParts,
): void {
  expectByte(cursor, OPEN_BRACKET);
  readTime(cursor);
  expectByte(cursor, COMMA);
  const texts = builder.begin(stream.series, time);
  const { line } = texts;
  const start = line.end;
  expectByte(cursor, QUOTE);
  copyText(cursor, line);
  if (line.end - start > limits.lineBytesMax) throw otherForm;
  close(line);
  const { bytes, end } = line;
  if (isMore(cursor, CLOSE_BRACKET)) {
    const [from, to] = objectAt(cursor);
    const pairs = parts.metadata(parse(cursor.bytes, from, to));
    addMetadata(texts, lineMetadata(pairs, bytes, start, end, stream.level));
    expectByte(cursor, CLOSE_BRACKET);
  } else addMetadata(texts, lineMetadata([], bytes, start, end, stream.level));
}

function readTime(cursor: Cursor): void {
  expectByte(cursor, QUOTE);
  const { bytes, pos } = cursor;
  let end = pos;
  while ((bytes[end] ?? 0) >= 0x30 && (bytes[end] ?? 0) <= 0x39) end++;
  const digits = end - pos;
  if (digits < 16 || digits > 19 || bytes[end] !== QUOTE) throw otherForm;
  setSeconds(time, numberAt(bytes, pos, end - 9), numberAt(bytes, end - 9, end));
  if (!isStorableTime(time.high)) throw otherForm;
  cursor.pos = end + 1;
}

function numberAt(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) value = value * 10 + (bytes[at] ?? 0) - 0x30;
  return value;
}

/** Copies the text whose opening quote was read, as what it stands for. */
function copyText(cursor: Cursor, to: TextBuilder): void {
  const from = cursor.bytes;
  let at = cursor.pos;
  // What stands for a character is never shorter than it, so there is room enough for all that follows up to here.
  const limit = endOfText(from, at);
  reserve(to, limit - at);
  const { bytes } = to;
  let put = to.end;
  let seen = 0;
  for (; at < limit; at++) {
    const byte = from[at] ?? 0;
    if (byte === BACKSLASH) {
      to.end = put;
      at = putEscaped(from, at + 1, limit, to) - 1;
      put = to.end;
      continue;
    }
    if (byte < 0x20) throw otherForm;
    seen |= byte;
    bytes[put++] = byte;
  }
  to.end = put;
  if (seen >= 0x80) to.unchecked = true;
  cursor.pos = limit + 1;
}

/** The quote that is not behind a backslash. */
function endOfText(bytes: Buffer, start: number): number {
  for (let from = start; ; ) {
    const quote = bytes.indexOf(QUOTE, from);
    if (quote < 0) throw otherForm;
    let backslashes = 0;
    while (quote - backslashes > start && bytes[quote - backslashes - 1] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote;
    from = quote + 1;
  }
}

const simpleEscapes = new Uint8Array(128);
for (const [letter, character] of Object.entries({ n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }))
  simpleEscapes[letter.charCodeAt(0)] = character.charCodeAt(0);
for (const letter of '"\\/') simpleEscapes[letter.charCodeAt(0)] = letter.charCodeAt(0);

/** Puts what stands behind a backslash at `at`; returns where it ends. */
function putEscaped(from: Buffer, at: number, limit: number, to: TextBuilder): number {
  const letter = from[at] ?? 0;
  if (letter !== 0x75) {
    const simple = simpleEscapes[letter] ?? 0;
    if (simple === 0) throw otherForm;
    to.bytes[to.end++] = simple;
    return at + 1;
  }
  // Pairs of surrogates are one character, which the string puts together.
  let end = at + 5;
  let text = String.fromCharCode(hexAt(from, at + 1, limit));
  if (/[\ud800-\udbff]/.test(text) && from[end] === BACKSLASH && from[end + 1] === 0x75) {
    text += String.fromCharCode(hexAt(from, end + 2, limit));
    if (text.isWellFormed()) end += 6;
    else text = text.slice(0, 1);
  }
  to.end += to.bytes.write(text, to.end);
  return end;
}

function hexAt(bytes: Buffer, start: number, limit: number): number {
  const digits = start + 4 <= limit ? bytes.toString('latin1', start, start + 4) : '';
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw otherForm;
  return Number.parseInt(digits, 16);
}
