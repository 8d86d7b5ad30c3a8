import type { Label } from '../../model/labels.ts';
import { type Cursor, type ExpositionFormat, fail } from './cursor.ts';
import { openMetricsFloat, parseFloat64 } from './float.ts';

/**
 * Reads over `name{label="value",...}` or `{"name",label="value",...}` at the cursor. With `into` it also collects the
 * labels, `__name__` first; a series that is known already needs only its text.
 */
export function readSeries(cursor: Cursor, format: ExpositionFormat, into?: Label[]): void {
  const { text } = cursor;
  const start = cursor.at;
  skipMetricName(cursor);
  let named = cursor.at > start;
  if (named) into?.push(['__name__', text.slice(start, cursor.at)]);
  const nameEnd = cursor.at;
  if (format === 'text') skipBlanks(cursor);
  if (text[cursor.at] === '{') {
    cursor.at++;
    named = readBraces(cursor, format, { named, exemplar: false }, into);
  } else cursor.at = nameEnd;
  if (!named)
    throw fail(cursor, start === cursor.at ? 'a series was expected' : 'the series has no metric name');
}

/** From behind `{` to behind `}`. Returns whether there is a metric name, here or before. */
export function readBraces(
  cursor: Cursor,
  format: ExpositionFormat,
  { named, exemplar }: { readonly named: boolean; readonly exemplar: boolean },
  into?: Label[],
): boolean {
  const { text } = cursor;
  const blanks = format === 'text' ? () => skipBlanks(cursor) : () => undefined;
  let hasName = named;
  for (;;) {
    blanks();
    if (text[cursor.at] === '}') break;
    const quoted = text[cursor.at] === '"';
    const name = quoted ? readQuoted(cursor) : readLabelName(cursor);
    blanks();
    if (text[cursor.at] === '=') {
      cursor.at++;
      blanks();
      if (text[cursor.at] !== '"')
        throw fail(cursor, `a value in quotes was expected for label ${name.slice(0, 100)}`);
      const value = readQuoted(cursor);
      into?.push([unescaped(name), unescaped(value)]);
    } else if (!quoted || exemplar) throw fail(cursor, `"=" was expected after label ${name.slice(0, 100)}`);
    else if (hasName) throw fail(cursor, 'the metric name is there twice');
    else {
      hasName = true;
      into?.push(['__name__', unescaped(name)]);
    }
    blanks();
    if (text[cursor.at] === ',') cursor.at++;
    else if (text[cursor.at] !== '}' && format !== 'text')
      throw fail(cursor, '"," or "}" was expected after a label');
  }
  cursor.at++;
  return hasName;
}

/** The labels of a series' text; those of histograms and summaries with their bounds in OpenMetrics' form. */
export function labelsOfSeries(series: string, format: ExpositionFormat, type: string): Label[] {
  const labels: Label[] = [];
  readSeries({ text: series, at: 0, lineStart: 0, line: 1 }, format, labels);
  const bound = type === 'histogram' ? 'le' : type === 'summary' ? 'quantile' : undefined;
  return bound === undefined
    ? labels
    : labels.map(([name, value]): Label => [name, name === bound ? boundText(value) : value]);
}

/** As Prometheus 3 writes them: "1.0" and not "1", whatever the exporter and the format. */
function boundText(value: string): string {
  const bound = parseFloat64(value);
  return bound === undefined ? value : openMetricsFloat(bound);
}

function skipMetricName(cursor: Cursor): void {
  const { text } = cursor;
  const first = text.charCodeAt(cursor.at);
  if (!isLetter(first) && first !== 58) return;
  for (;;) {
    const code = text.charCodeAt(++cursor.at);
    if (!isLetter(code) && !isDigit(code) && code !== 58) return;
  }
}

function readLabelName(cursor: Cursor): string {
  const { text } = cursor;
  const start = cursor.at;
  if (isLetter(text.charCodeAt(start)))
    do cursor.at++;
    while (isLetter(text.charCodeAt(cursor.at)) || isDigit(text.charCodeAt(cursor.at)));
  if (cursor.at === start) throw fail(cursor, 'a label name was expected');
  return text.slice(start, cursor.at);
}

/** From the opening quote to behind the closing one; the text between them as it stands. */
function readQuoted(cursor: Cursor): string {
  const { text } = cursor;
  const start = cursor.at + 1;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 34) {
      cursor.at = at + 1;
      return text.slice(start, at);
    }
    if (code === 92) at++;
    if (text.charCodeAt(at) === 10) break;
  }
  throw fail(cursor, 'a text in quotes has no end');
}

const escapes: Readonly<Record<string, string>> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' };

export const unescaped = (text: string): string =>
  text.includes('\\') ? text.replaceAll(/\\[\\"n]/g, (pair) => escapes[pair] ?? pair) : text;

export function skipBlanks(cursor: Cursor): void {
  const { text } = cursor;
  for (;;) {
    const code = text.charCodeAt(cursor.at);
    if (code !== 32 && code !== 9) return;
    cursor.at++;
  }
}

/** a-z, A-Z and _ */
const isLetter = (code: number): boolean =>
  (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95;
const isDigit = (code: number): boolean => code >= 48 && code <= 57;
