import { messageOf } from '../base/errors.ts';
import { type LogqlError, parseErrorAt } from './errors.ts';
import { parseBytes, parseDuration, parseRange, unquote } from './units.ts';

/**
 * The lexer. Loki's reads with Go's text/scanner and names tokens as its parser's generator does; `name` is that name,
 * because clients and tests know the errors. Words are words of the language in any case; those of functions only where
 * a parenthesis (or a grouping) follows.
 */
export interface Token {
  readonly name: string;
  readonly text: string;
  /** UTF-16 offset in the query. */
  readonly start: number;
  /** False where Loki's scanner has forgotten the line, because the token is read beyond its first part. */
  readonly lineKnown: boolean;
  /** What a DURATION, RANGE (nanoseconds) or BYTES says. */
  readonly value: number;
}

/** Words that are always of the language. */
const words = new Set(
  (
    'by without bool label_replace offset on ignoring group_left group_right or and unless json regexp logfmt unpack ' +
    'pattern label_format line_format decolorize drop keep unwrap'
  ).split(' '),
);

/** Words of the language where they are called; the parser's generator names these in capitals. */
const functions: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    (
      'rate rate_counter count_over_time bytes_rate bytes_over_time avg_over_time sum_over_time min_over_time ' +
      'max_over_time stdvar_over_time stddev_over_time quantile_over_time first_over_time last_over_time ' +
      'absent_over_time vector sum avg max min count stddev stdvar bottomk topk approx_topk sort sort_desc'
    )
      .split(' ')
      .map((word) => [word, word.toUpperCase()]),
  ),
  bytes: 'BYTES_CONV',
  duration: 'DURATION_CONV',
  duration_seconds: 'DURATION_SECONDS_CONV',
  ip: 'ip',
};

const symbols = ['|=', '|~', '|>', '!=', '!~', '!>', '=~', '==', '>=', '<='];
const singles = new Set('{}()[],.=|<>+-*/%^'.split(''));

interface State {
  readonly input: string;
  readonly tokens: Token[];
  at: number;
}

/** All tokens, `$end` last. Throws LogqlError `parse`. */
export function lex(input: string): readonly Token[] {
  const state: State = { input, tokens: [], at: 0 };
  for (;;) {
    skipBlank(state);
    if (state.at >= input.length) break;
    lexToken(state);
  }
  emit(state, '$end', 0);
  return state.tokens;
}

/** The error that something does not belong where it is; columns are characters, from 1. */
export function errorAt(
  input: string,
  { start, lineKnown }: Pick<Token, 'start' | 'lineKnown'>,
  message: string,
): LogqlError {
  if (input === '') return parseErrorAt({ line: 0, column: 0 }, message);
  const before = input.slice(0, start);
  const line = lineKnown ? before.split('\n').length : 0;
  const column = [...before.slice(before.lastIndexOf('\n') + 1)].length + 1;
  return parseErrorAt({ line, column }, message);
}

function skipBlank(state: State): void {
  const pattern = /(?:[ \t\n\r]+|#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/y;
  pattern.lastIndex = state.at;
  pattern.test(state.input);
  state.at = pattern.lastIndex;
}

function emit(state: State, name: string, length: number, value = 0, lineKnown = true): undefined {
  const { input, at: start } = state;
  state.tokens.push({ name, text: input.slice(start, start + length), start, lineKnown, value });
  state.at += length;
}

const match = (state: State, pattern: RegExp): string | undefined => {
  pattern.lastIndex = state.at;
  return pattern.exec(state.input)?.[0];
};

const fail = (state: State, message: string, lineKnown = true): LogqlError =>
  errorAt(state.input, { start: state.at, lineKnown }, message);

function lexToken(state: State): undefined {
  const char = state.input[state.at] ?? '';
  if (char === '"' || char === '`') return lexString(state, char);
  if (/[0-9]/.test(char) || match(state, /\.[0-9]/y)) return lexNumber(state, false);
  if (char === '-') return lexMinus(state);
  if (char === '[') return lexRange(state);
  const word = match(state, /[\p{L}_][\p{L}\p{Nd}_]*/uy);
  if (word !== undefined) return lexWord(state, word);
  const symbol = symbols.find((text) => state.input.startsWith(text, state.at));
  if (symbol !== undefined) return emit(state, symbol, 2, 0, false);
  if (singles.has(char)) return emit(state, char, 1);
  if (/[\ud800-\udfff]/.test(char) && match(state, /\p{L}/uy) === undefined && !isPair(state))
    throw fail(state, 'invalid UTF-8 encoding');
  // Loki takes any other character for an identifier.
  emit(state, 'IDENTIFIER', String.fromCodePoint(state.input.codePointAt(state.at) ?? 0).length);
}

const isPair = (state: State): boolean => (state.input.codePointAt(state.at) ?? 0) > 0xffff;

/** Words that may be labels where `=` and a text follow: nothing else can be meant. */
const labelWords = new Set('by without bool offset on ignoring group_left group_right'.split(' '));

function lexWord(state: State, word: string): undefined {
  const lower = word.toLowerCase();
  const rest = state.input.slice(state.at + word.length);
  const label = labelWords.has(lower) && /^\s*(?:=~|!~|!=|=)\s*["`]/.test(rest);
  if (words.has(lower) && !label) return emit(state, lower, word.length);
  const name = Object.hasOwn(functions, lower) ? functions[lower] : undefined;
  const called = /^\s*(?:\(|(?:by|without)\s*\()/i.test(rest);
  emit(state, name !== undefined && called ? name : 'IDENTIFIER', word.length);
}

function lexString(state: State, quote: string): undefined {
  const { input, at: start } = state;
  let at = start + 1;
  for (; at < input.length && input[at] !== quote; at++) {
    if (quote === '"' && input[at] === '\n') throw fail(state, 'literal not terminated');
    if (quote === '"' && input[at] === '\\') at++;
  }
  if (at >= input.length) throw fail(state, 'literal not terminated');
  const literal = input.slice(start, at + 1);
  if (!literal.isWellFormed()) throw fail(state, 'invalid UTF-8 encoding');
  let text: string;
  try {
    text = unquote(literal);
  } catch (cause) {
    throw fail(state, /\\[^abfnrtvxuU0-7"\\]/.test(literal) ? 'invalid char escape' : messageOf(cause));
  }
  emit(state, 'STRING', literal.length);
  const last = state.tokens.pop();
  if (last !== undefined) state.tokens.push({ ...last, text });
}

/** A number, or with a unit a duration or a size. */
function lexNumber(state: State, negative: boolean): undefined {
  const sign = negative ? '-' : '';
  const number =
    match(
      state,
      negative
        ? /-[0-9]*\.?[0-9]*/y
        : /0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][-+]?[0-9]+)?|0[bBoO][0-9_]*|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?/y,
    ) ?? sign;
  const from = state.at + number.length;
  for (const [runes, read, name] of [
    [/[0-9nuµmshdwy.]+/y, parseDuration, 'DURATION'],
    [/[0-9BikKMGTPE.]+/y, parseBytes, 'BYTES'],
  ] as const) {
    runes.lastIndex = from;
    const more = runes.exec(state.input)?.[0];
    if (more === undefined) continue;
    const text = number + more;
    const value = attempt(() => read(text));
    if (value !== undefined) return emit(state, name, text.length, value, false);
  }
  emit(state, negative ? '-' : 'NUMBER', negative ? 1 : number.length);
}

function attempt(read: () => number): number | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** A flag, a negative duration, or a minus. */
function lexMinus(state: State): undefined {
  const flag = match(state, /--[\p{L}][\p{L}-]*/uy);
  if (flag !== undefined && /^--(?:strict|keep-empty)$/.test(flag))
    return emit(state, 'FUNCTION_FLAG', flag.length, 0, false);
  if (match(state, /-[0-9]+(?:\.[0-9]+)?[nuµmshdwy]/y) !== undefined) return lexNumber(state, true);
  emit(state, '-', 1);
}

function lexRange(state: State): undefined {
  const end = state.input.indexOf(']', state.at);
  if (end < 0) throw fail(state, "missing closing ']' in duration", false);
  const text = state.input.slice(state.at + 1, end);
  let ns: number;
  try {
    ns = parseRange(text);
  } catch (cause) {
    throw fail(state, messageOf(cause), false);
  }
  emit(state, 'RANGE', end + 1 - state.at, ns, false);
}
