// A scanner of JSON that keeps the text of numbers and goes as far as a line is right, as Loki's does. Fields are handed
// over while they are read, so that those before an error count.

/** `isValue`: what begins a value is none, of the field named so where it is one's. */
export class JsonError extends Error {
  readonly isValue: boolean;
  readonly field: string | undefined;

  constructor(message: string, isValue = false, field?: string) {
    super(message);
    this.isValue = isValue;
    this.field = field;
  }
}

const notObject = (): JsonError =>
  new JsonError("Value looks like object, but can't find closing '}' symbol");
const notString = (): JsonError => new JsonError("Value is string, but can't find closing '\"' symbol");
const notArray = (): JsonError => new JsonError("Value is array, but can't find closing ']' symbol");
const malformed = (): JsonError => new JsonError('Malformed JSON error');
const malformedEscape = (): JsonError => new JsonError('Encountered an invalid escape sequence in a string');
const unknownValue = (field?: string): JsonError => new JsonError('Unknown value type', true, field);

export type JsonKind = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';

const isBlank = (code: number): boolean => code === 32 || code === 9 || code === 10 || code === 13;

function skipBlank(text: string, at: number): number {
  let next = at;
  while (next < text.length && isBlank(text.charCodeAt(next))) next++;
  return next;
}

/** The end of the string that begins at `start`, behind its closing quote. Throws `error` where it has none. */
function stringEnd(text: string, start: number, error = notString): number {
  for (let at = start + 1; at < text.length; at++) {
    const quote = text.indexOf('"', at);
    if (quote < 0) break;
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === 92) slashes++;
    if (slashes % 2 === 0) return quote + 1;
    at = quote;
  }
  throw error();
}

/** Control characters as JSON wants them, which not every sender knows. */
export function controlsEscaped(text: string): string {
  let out = '';
  for (const char of text) {
    const code = char.charCodeAt(0);
    out += code < 0x20 ? `\\u${code.toString(16).padStart(4, '0')}` : char;
  }
  return out;
}

/** What a JSON string between `start` and `end` (its quotes) says; nothing where an escape of it is none. */
export const stringText = (text: string, start: number, end: number): string =>
  unescaped(text.slice(start + 1, end - 1)) ?? '';

/** What stands between quotes, or undefined where an escape is none. Half a surrogate pair is none. */
function unescaped(raw: string): string | undefined {
  if (!raw.includes('\\')) return raw;
  try {
    // Quotes that stand for themselves are in the text of a list.
    const quotable = controlsEscaped(raw).replace(/\\.|"/gs, (part) => (part === '"' ? '\\"' : part));
    const said = JSON.parse(`"${quotable}"`) as string;
    return said.isWellFormed() ? said : undefined;
  } catch {
    return undefined;
  }
}

function kindAt(text: string, at: number, field?: string): JsonKind {
  const char = text[at];
  if (char === '"') return 'string';
  if (char === '{') return 'object';
  if (char === '[') return 'array';
  if (char === 't' || char === 'f') return 'boolean';
  if (char === 'n') return 'null';
  if (char !== undefined && /[-0-9]/.test(char)) return 'number';
  throw unknownValue(field);
}

const scalar = /[^\s,\]}]+/y;

/** The end of the value that begins at `at`. */
export function valueEnd(text: string, at: number, kind: JsonKind): number {
  if (kind === 'string') return stringEnd(text, at);
  if (kind === 'object') return blockEnd(text, at, notObject);
  if (kind === 'array') return blockEnd(text, at, notArray);
  scalar.lastIndex = at;
  const word = scalar.exec(text)?.[0] ?? '';
  // What begins as a number is one, however it goes on.
  const right = kind === 'number' || word === 'true' || word === 'false' || word === 'null';
  if (!right) throw unknownValue();
  return at + word.length;
}

function blockEnd(text: string, start: number, error: () => JsonError): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 34) at = stringEnd(text, at) - 1;
    else if (code === 123 || code === 91) depth++;
    else if (code === 125 || code === 93) {
      if (--depth === 0) return at + 1;
    }
  }
  throw error();
}

export const stop = -1;

/**
 * Calls `field` with each member of the object that begins at `at`: its name, and where its value is. `field` returns
 * the end of the value when it has read it itself, or `stop` when it needs no more. Returns the end of the object, or
 * `stop`.
 */
export function eachField(
  text: string,
  start: number,
  field: (name: string, kind: JsonKind, at: number) => number | undefined,
): number {
  let at = skipBlank(text, start);
  if (text[at] !== '{') throw notObject();
  at = skipBlank(text, at + 1);
  if (at >= text.length) throw malformed();
  for (;;) {
    // Also behind a comma.
    if (text[at] === '}') return at + 1;
    if (text[at] !== '"') throw notObject();
    const nameEnd = stringEnd(text, at, malformed);
    const name = unescaped(text.slice(at + 1, nameEnd - 1));
    if (name === undefined) throw malformedEscape();
    at = skipBlank(text, nameEnd);
    if (text[at] !== ':') throw malformed();
    at = skipBlank(text, at + 1);
    if (at >= text.length) throw malformed();
    const kind = kindAt(text, at, name);
    const end = field(name, kind, at) ?? valueEnd(text, at, kind);
    if (end === stop) return stop;
    at = skipBlank(text, end);
    if (text[at] === '}') return at + 1;
    if (text[at] === ',') at = skipBlank(text, at + 1);
    else if (at < text.length) throw notObject();
    if (at >= text.length) throw notArray();
  }
}

/** Calls `element` with where each element of the array at `start` is, until it returns false. */
function eachElement(text: string, start: number, element: (kind: JsonKind, at: number) => boolean): void {
  let at = skipBlank(text, start + 1);
  if (text[at] === ']') return;
  for (;;) {
    if (at >= text.length) throw notArray();
    const kind = kindAt(text, at);
    if (!element(kind, at)) return;
    at = skipBlank(text, valueEnd(text, at, kind));
    if (text[at] === ']') return;
    if (text[at] !== ',') throw malformed();
    at = skipBlank(text, at + 1);
  }
}

/**
 * The value at a path: a string's text, nothing for null, escapes in a list as what they stand for, anything else as it
 * is written; undefined where there is none.
 */
export function valueAtPath(text: string, path: readonly (string | number)[]): string | undefined {
  let at = skipBlank(text, 0);
  let kind = kindAt(text, at);
  for (const step of path) {
    let found: { kind: JsonKind; at: number } | undefined;
    if (typeof step === 'string' && kind === 'object')
      eachField(text, at, (name, valueKind, valueAt) => {
        if (name === step) {
          found = { kind: valueKind, at: valueAt };
          return stop;
        }
        // Nobody asks whether it is one of the words that it begins as.
        return valueKind === 'boolean' || valueKind === 'null'
          ? valueEnd(text, valueAt, 'number')
          : undefined;
      });
    else if (typeof step === 'number' && kind === 'array') {
      let index = 0;
      eachElement(text, at, (elementKind, elementAt) => {
        if (index++ === step) found = { kind: elementKind, at: elementAt };
        return found === undefined;
      });
    }
    if (found === undefined) return undefined;
    ({ kind, at } = found);
  }
  if (kind === 'null') return '';
  const end = valueEnd(text, at, kind);
  if (kind === 'string') return stringText(text, at, end);
  const written = text.slice(at, end);
  return kind === 'array' ? (unescaped(written) ?? '') : written;
}
