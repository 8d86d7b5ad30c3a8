import { controlsEscaped } from './json.ts';

// logfmt, read as far as a line is right: what is wrong is left out, or, when the reader is strict, the end.

export interface LogfmtError {
  /** Bytes, from 1. */
  readonly position: number;
  readonly message: string;
}

/** Calls `pair` with each key and value. Returns the error at which a strict reader has stopped. */
export function readLogfmt(
  line: string,
  strict: boolean,
  pair: (key: string, value: string) => boolean,
): LogfmtError | undefined {
  let at = 0;
  const { length } = line;
  for (;;) {
    while (at < length && line.charCodeAt(at) <= 32) at++;
    if (at >= length) return undefined;
    const keyStart = at;
    while (at < length && isKeyCode(line.charCodeAt(at))) at++;
    const stop = line[at];
    const key = line.slice(keyStart, at);
    let problem: string | undefined;
    if (stop === '"') problem = `unexpected '"'`;
    else if (stop === '=' && key === '') problem = `unexpected '='`;
    else if (key.includes('\ufffd')) problem = 'invalid key';
    else if (stop !== '=') {
      if (!pair(key, '')) return undefined;
      continue;
    } else {
      const value = readValue(line, at + 1);
      at = value.end;
      if (value.problem === undefined) {
        if (!pair(key, value.text)) return undefined;
        continue;
      }
      problem = value.problem;
    }
    if (strict) return { position: Buffer.byteLength(line.slice(0, at)) + 1, message: problem };
    while (at < length && line.charCodeAt(at) > 32) at++;
  }
}

const isKeyCode = (code: number): boolean => code > 32 && code !== 34 && code !== 61;

interface Value {
  readonly text: string;
  readonly end: number;
  readonly problem?: string;
}

function readValue(line: string, start: number): Value {
  if (line[start] === '"') return readQuoted(line, start);
  let at = start;
  while (at < line.length && isKeyCode(line.charCodeAt(at))) at++;
  const stop = line[at];
  if (stop === '"' || stop === '=') return { text: '', end: at, problem: `unexpected '${stop}'` };
  return { text: line.slice(start, at), end: at };
}

function readQuoted(line: string, start: number): Value {
  for (let at = start + 1; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if (code === 92) at++;
    else if (code === 34) {
      const raw = line.slice(start + 1, at);
      if (!raw.includes('\\')) return { text: raw, end: at + 1 };
      const text = unquoted(raw);
      return text === undefined
        ? { text: '', end: at + 1, problem: 'invalid quoted value' }
        : { text, end: at + 1 };
    }
  }
  return { text: '', end: line.length, problem: 'unterminated quoted value' };
}

function unquoted(raw: string): string | undefined {
  try {
    return JSON.parse(`"${controlsEscaped(raw).replaceAll("\\'", "'")}"`) as string;
  } catch {
    return undefined;
  }
}
