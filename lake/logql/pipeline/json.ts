// A scanner of JSON that keeps the text of numbers and goes as far as a line is right, as Loki's does. Fields are handed
// over while they are read, so that those before an error count.

export class JsonError extends Error {}

const notObject = (): JsonError =>
  new JsonError("Value looks like object, but can't find closing '}' symbol");
const notString = (): JsonError => new JsonError("Value is string, but can't find closing '\"' symbol");
const notArray = (): JsonError => new JsonError("Value is array, but can't find closing ']' symbol");
const malformed = (): JsonError => new JsonError('Malformed JSON error');
const unknownValue = (): JsonError => new JsonError('Unknown value type');

export type JsonKind = 'string' | 'number' | 'boolean' | 'null' | 'object' | 'array';

const isBlank = (code: number): boolean => code === 32 || (code >= 9 && code <= 13);

export function skipBlank(text: string, at: number): number {
  let next = at;
  while (next < text.length && isBlank(text.charCodeAt(next))) next++;
  return next;
}

/** The end of the string that begins at `start`, behind its closing quote. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const quote = text.indexOf('"', at);
    if (quote < 0) break;
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === 92) slashes++;
    if (slashes % 2 === 0) return quote + 1;
    at = quote;
  }
  throw notString();
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

/** What a JSON string between `start` and `end` (its quotes) says. */
export function stringText(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end - 1);
  if (!raw.includes('\\')) return raw;
  try {
    return JSON.parse(`"${controlsEscaped(raw)}"`) as string;
  } catch {
    return raw;
  }
}

function kindAt(text: string, at: number): JsonKind {
  const char = text[at];
  if (char === '"') return 'string';
  if (char === '{') return 'object';
  if (char === '[') return 'array';
  if (char === 't' || char === 'f') return 'boolean';
  if (char === 'n') return 'null';
  if (char !== undefined && /[-0-9]/.test(char)) return 'number';
  throw unknownValue();
}

const scalar = /[^\s,\]}]+/y;

/** The end of the value that begins at `at`. */
export function valueEnd(text: string, at: number, kind: JsonKind): number {
  if (kind === 'string') return stringEnd(text, at);
  if (kind === 'object') return blockEnd(text, at, notObject);
  if (kind === 'array') return blockEnd(text, at, notArray);
  scalar.lastIndex = at;
  const word = scalar.exec(text)?.[0] ?? '';
  const right =
    kind === 'number'
      ? /^-?[0-9][-+.0-9eE]*$/.test(word)
      : word === 'true' || word === 'false' || word === 'null';
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
  if (text[at] === '}') return at + 1;
  for (;;) {
    if (text[at] !== '"') throw at >= text.length ? notObject() : malformed();
    const nameEnd = stringEnd(text, at);
    const name = stringText(text, at, nameEnd);
    at = skipBlank(text, nameEnd);
    if (text[at] !== ':') throw malformed();
    at = skipBlank(text, at + 1);
    if (at >= text.length) throw notObject();
    const kind = kindAt(text, at);
    const end = field(name, kind, at) ?? valueEnd(text, at, kind);
    if (end === stop) return stop;
    at = skipBlank(text, end);
    if (text[at] === '}') return at + 1;
    if (text[at] !== ',') throw at >= text.length ? notObject() : malformed();
    at = skipBlank(text, at + 1);
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

/** The value at a path: a string's text, anything else as it is written; undefined where there is none. */
export function valueAtPath(text: string, path: readonly (string | number)[]): string | undefined {
  let at = skipBlank(text, 0);
  let kind = kindAt(text, at);
  for (const step of path) {
    let found: { kind: JsonKind; at: number } | undefined;
    if (typeof step === 'string' && kind === 'object')
      eachField(text, at, (name, valueKind, valueAt) => {
        if (name === step) found ??= { kind: valueKind, at: valueAt };
        return undefined;
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
  if (kind === 'null') return undefined;
  const end = valueEnd(text, at, kind);
  return kind === 'string' ? stringText(text, at, end) : text.slice(at, end);
}
