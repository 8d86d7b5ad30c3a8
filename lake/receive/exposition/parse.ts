import type { Label } from '../../model/labels.ts';
import { type Cursor, ExpositionError, type ExpositionFormat, fail } from './cursor.ts';
import { parseFloat64 } from './float.ts';
import { readBraces, readSeries, skipBlanks, unescaped } from './read-series.ts';

// The rules are those of Prometheus' own parsers (model/textparse), which exporters are written against.

export interface ExpositionSink {
  /** `series` is its text as it stands: the same text is the same series. `type` is what the last TYPE line said. */
  sample(series: string, sample: ExposedSample, type: string): void;
  describe(family: string, field: 'type' | 'help' | 'unit', text: string): void;
}

export interface ExposedSample {
  readonly value: number;
  /** Absent: now. */
  readonly timestampMs: number | undefined;
  readonly exemplar: ExposedExemplar | undefined;
}

interface ExposedExemplar {
  readonly labels: readonly Label[];
  readonly value: number;
  readonly timestampMs: number | undefined;
}

const types: Readonly<Record<ExpositionFormat, ReadonlySet<string>>> = {
  text: new Set(['counter', 'gauge', 'histogram', 'summary', 'untyped']),
  openmetrics: new Set([
    ...['counter', 'gauge', 'histogram', 'gaugehistogram', 'summary', 'info', 'stateset', 'unknown'],
  ]),
};

/** Reads a whole exposition. Throws ExpositionError, perhaps after samples were given to the sink. */
export function parseExposition(text: string, format: ExpositionFormat, sink: ExpositionSink): void {
  const cursor: Cursor = { text, at: 0, lineStart: 0, line: 1 };
  const state: State = { cursor, format, sink, type: 'unknown' };
  for (;;) {
    if (format === 'text') skipBlanks(cursor);
    if (cursor.at >= text.length) break;
    const first = text[cursor.at];
    if (first === '#') {
      if (readComment(state) === 'end') return;
    } else if (isLineEnd(cursor, format) && format === 'text') endLine(cursor);
    else readSample(state);
  }
  if (format === 'openmetrics')
    throw new ExpositionError('the text does not end with # EOF; it may be cut off');
}

interface State {
  readonly cursor: Cursor;
  readonly format: ExpositionFormat;
  readonly sink: ExpositionSink;
  type: string;
}

function readSample({ cursor, format, sink, type }: State): void {
  const { text } = cursor;
  const start = cursor.at;
  readSeries(cursor, format);
  const series = text.slice(start, cursor.at);
  const value = readNumber(cursor, format, 'a value');
  let timestampMs: number | undefined;
  let exemplar: ExposedExemplar | undefined;
  if (format === 'text') {
    skipBlanks(cursor);
    if (!isLineEnd(cursor, format)) timestampMs = readMilliseconds(cursor);
    skipBlanks(cursor);
  } else {
    if (text[cursor.at] === ' ' && text[cursor.at + 1] !== '#') timestampMs = readSeconds(cursor);
    if (text.startsWith(' # {', cursor.at)) exemplar = readExemplar(cursor);
  }
  if (!isLineEnd(cursor, format)) throw fail(cursor, 'the end of the line was expected');
  endLine(cursor);
  sink.sample(series, { value, timestampMs, exemplar }, type);
}

function readExemplar(cursor: Cursor): ExposedExemplar {
  cursor.at += 4;
  const labels: Label[] = [];
  readBraces(cursor, 'openmetrics', { named: false, exemplar: true }, labels);
  const value = readNumber(cursor, 'openmetrics', 'a value of the exemplar');
  const timestampMs = cursor.text[cursor.at] === ' ' ? readSeconds(cursor) : undefined;
  return { labels, value, timestampMs };
}

function readNumber(cursor: Cursor, format: ExpositionFormat, what: string): number {
  const { text } = cursor;
  if (format === 'text') skipBlanks(cursor);
  else if (text[cursor.at] === ' ') cursor.at++;
  else throw fail(cursor, `one space and ${what} were expected`);
  const start = cursor.at;
  const value = parseFloat64(takeWord(cursor, format));
  if (value !== undefined) return value;
  cursor.at = start;
  throw fail(cursor, `${what} was expected`);
}

/** Up to a blank or the end of the line. */
function takeWord(cursor: Cursor, format: ExpositionFormat): string {
  const { text } = cursor;
  const start = cursor.at;
  while (cursor.at < text.length && !isLineEnd(cursor, format)) {
    const code = text.charCodeAt(cursor.at);
    if (code === 32 || (code === 9 && format === 'text')) break;
    cursor.at++;
  }
  return text.slice(start, cursor.at);
}

function readMilliseconds(cursor: Cursor): number {
  const start = cursor.at;
  const word = takeWord(cursor, 'text');
  if (/^\d{1,15}$/.test(word)) return Number(word);
  cursor.at = start;
  throw fail(cursor, 'a timestamp in whole milliseconds was expected');
}

/** Beyond it a number is no exact count of milliseconds. */
const secondsMax = Number.MAX_SAFE_INTEGER / 1000;

function readSeconds(cursor: Cursor): number {
  const start = ++cursor.at;
  const seconds = parseFloat64(takeWord(cursor, 'openmetrics'));
  if (seconds !== undefined && Math.abs(seconds) <= secondsMax) return Math.trunc(seconds * 1000);
  cursor.at = start;
  throw fail(cursor, 'a timestamp in seconds was expected');
}

/** HELP, TYPE, UNIT, EOF, or in the text format any comment. */
function readComment(state: State): 'end' | undefined {
  const { cursor, format } = state;
  const { text } = cursor;
  const lineEnd = text.indexOf('\n', cursor.at);
  const line = text.slice(cursor.at, lineEnd < 0 ? text.length : lineEnd);
  if (format === 'openmetrics') {
    if (line.startsWith('# EOF')) {
      if (line !== '# EOF' || (lineEnd >= 0 && lineEnd + 1 < text.length))
        throw fail(cursor, 'nothing was expected after # EOF');
      return 'end';
    }
    const match = /^# (HELP|TYPE|UNIT) (.*)$/s.exec(line);
    if (match === null || lineEnd < 0) throw fail(cursor, '# HELP, # TYPE, # UNIT or # EOF was expected');
    readMetadata(state, match[1] ?? '', match[2] ?? '');
  } else {
    const match = /^#[ \t]+(HELP|TYPE)[ \t]+(.*?)\r?$/s.exec(line);
    if (match !== null) readMetadata(state, match[1] ?? '', match[2] ?? '');
  }
  cursor.at = lineEnd < 0 ? text.length : lineEnd;
  endLine(cursor);
  return undefined;
}

function readMetadata(state: State, keyword: string, rest: string): void {
  const { cursor, format, sink } = state;
  const name = /^(?:[a-zA-Z_:][a-zA-Z0-9_:]*|"(?:\\.|[^\\"])*")/s.exec(rest)?.[0];
  if (name === undefined) throw fail(cursor, `a metric name was expected after ${keyword}`);
  const after = rest.slice(name.length);
  const separated = format === 'openmetrics' ? after.startsWith(' ') : after === '' || /^[ \t]/.test(after);
  if (!separated) throw fail(cursor, `a text was expected after ${keyword} ${name.slice(0, 100)}`);
  const family = name.startsWith('"') ? unescaped(name.slice(1, -1)) : name;
  const content = format === 'openmetrics' ? after.slice(1) : after.trim();
  if (keyword === 'HELP') {
    // In the text format a quote is not escaped.
    const help =
      format === 'openmetrics'
        ? unescaped(content)
        : content.replaceAll(/\\[\\n]/g, (pair) => (pair === '\\n' ? '\n' : '\\'));
    sink.describe(family, 'help', help);
  } else if (keyword === 'TYPE') {
    if (!types[format].has(content))
      throw fail(
        cursor,
        `${JSON.stringify(content.slice(0, 100))} is no metric type: one of ${[...types[format]].join(', ')} was expected`,
      );
    state.type = content === 'untyped' ? 'unknown' : content;
    sink.describe(family, 'type', state.type);
  } else {
    if (content !== '' && !family.endsWith(`_${content}`))
      throw fail(
        cursor,
        `unit ${JSON.stringify(content)} is not the end of the metric name ${family.slice(0, 100)}`,
      );
    sink.describe(family, 'unit', content);
  }
}

function isLineEnd({ text, at }: Cursor, format: ExpositionFormat): boolean {
  const code = text.charCodeAt(at);
  if (code === 10) return true;
  if (format === 'openmetrics') return false;
  // Devices write \r\n although the format does not have it. The last line may have no end.
  return at >= text.length || (code === 13 && (at + 1 >= text.length || text.charCodeAt(at + 1) === 10));
}

/** Goes to the start of the next line. */
function endLine(cursor: Cursor): void {
  const end = cursor.text.indexOf('\n', cursor.at);
  cursor.at = end < 0 ? cursor.text.length : end + 1;
  cursor.lineStart = cursor.at;
  cursor.line++;
}
