import { printString } from './literals.ts';

/**
 * The lexer. Inside `{}` and `[]` other rules hold than outside, and an error is a token like any other, so that the
 * parser reports whichever comes first: what cannot be read, or what does not fit.
 */
export interface Token {
  readonly type: TokenType;
  readonly text: string;
  /** UTF-16 offset in the query. */
  readonly start: number;
  readonly end: number;
}

type TokenType =
  | 'end'
  | 'error'
  | 'identifier'
  | 'metric'
  | 'string'
  | 'number'
  | 'duration'
  | 'aggregator'
  | 'keyword'
  | 'preprocessor'
  | 'operator'
  | 'symbol';

const words: Readonly<Record<string, TokenType>> = {
  ...Object.fromEntries(['and', 'or', 'unless', 'atan2'].map((word) => [word, 'operator'] as const)),
  ...Object.fromEntries(
    'sum avg count min max group stddev stdvar topk bottomk count_values quantile limitk limit_ratio'
      .split(' ')
      .map((word) => [word, 'aggregator'] as const),
  ),
  ...Object.fromEntries(
    'offset smoothed anchored by without on ignoring group_left group_right fill fill_left fill_right bool'
      .split(' ')
      .map((word) => [word, 'keyword'] as const),
  ),
  ...Object.fromEntries(
    'start end step range max_of min_of'.split(' ').map((word) => [word, 'preprocessor'] as const),
  ),
  inf: 'number',
  nan: 'number',
};

interface State {
  readonly input: string;
  readonly tokens: Token[];
  position: number;
  parens: number;
  brace: boolean;
  bracket: boolean;
  colon: boolean;
  duration: boolean;
}

/** All tokens, the last one `end` or `error` (whose text is the message). */
export function lex(input: string): readonly Token[] {
  const state: State = {
    input,
    tokens: [],
    position: 0,
    parens: 0,
    brace: false,
    bracket: false,
    colon: false,
    duration: false,
  };
  const { tokens } = state;
  for (;;) {
    skipBlank(state);
    if (state.brace) lexBrace(state);
    else if (state.bracket) lexBracket(state);
    else lexPlain(state);
    const last = tokens.at(-1);
    if (last?.type === 'end' || last?.type === 'error') return tokens;
  }
}

function skipBlank(state: State): undefined {
  const pattern = /(?:[ \t\n\r]+|#[^\r\n]*)*/y;
  pattern.lastIndex = state.position;
  pattern.test(state.input);
  state.position = pattern.lastIndex;
}

function emit(state: State, type: TokenType, length: number): undefined {
  const { input, position } = state;
  state.tokens.push({
    type,
    text: input.slice(position, position + length),
    start: position,
    end: position + length,
  });
  state.position += length;
}

function fail(state: State, message: string, start = state.position): undefined {
  state.tokens.push({ type: 'error', text: message, start, end: state.input.length });
}

const match = (state: State, pattern: RegExp): string | undefined => {
  pattern.lastIndex = state.position;
  return pattern.exec(state.input)?.[0];
};

/** A character as Go's %q prints a rune. */
function runeText(character: string): string {
  if (character === '') return "'\\x00'";
  return character === "'" ? "'\\''" : `'${printString(character).slice(1, -1).replaceAll('\\"', '"')}'`;
}
const charAt = (state: State, position = state.position): string =>
  position < state.input.length ? String.fromCodePoint(state.input.codePointAt(position) ?? 0) : '';

function lexPlain(state: State): undefined {
  const char = charAt(state);
  if (char === '') {
    if (state.parens !== 0) return fail(state, 'unclosed left parenthesis');
    return emit(state, 'end', 0);
  }
  if (/[0-9]/.test(char) || match(state, /\.[0-9]/y)) return lexNumber(state);
  if (/["'`]/.test(char)) return lexString(state);
  if (/[a-zA-Z_:]/.test(char)) return lexWord(state);
  const operator = match(state, /==|!=|<=|<\/|>=|>\/|[-+*/%^<>@]/y);
  if (match(state, /=~/y)) return fail(state, "unexpected character after '=': '~'");
  if (operator) return emit(state, 'operator', operator.length);
  if (char === '=' || char === ',') return emit(state, 'symbol', 1);
  if (char === '!')
    return fail(state, `unexpected character after '!': ${runeText(charAt(state, state.position + 1))}`);
  if (char === '(' || char === ')') return lexParen(state, char);
  if (char === '{') {
    state.brace = true;
    return emit(state, 'symbol', 1);
  }
  if (char === '[') {
    state.bracket = true;
    state.colon = false;
    state.duration = false;
    return emit(state, 'symbol', 1);
  }
  if (char === ']') return fail(state, "unexpected right bracket ']'");
  fail(state, `unexpected character: ${runeText(char)}`);
}

function lexParen(state: State, char: string): undefined {
  state.parens += char === '(' ? 1 : -1;
  if (state.parens < 0) return fail(state, "unexpected right parenthesis ')'", state.position + 1);
  emit(state, 'symbol', 1);
}

function lexBrace(state: State): undefined {
  const char = charAt(state);
  if (char === '') return fail(state, 'unexpected end of input inside braces');
  const word = match(state, /[a-zA-Z_][a-zA-Z0-9_]*/y);
  if (word) return emit(state, 'identifier', word.length);
  if (/["'`]/.test(char)) return lexString(state);
  const operator = match(state, /=~|!~|!=/y);
  if (operator) return emit(state, 'operator', operator.length);
  if (char === '=' || char === ',') return emit(state, 'symbol', 1);
  if (char === '}') {
    state.brace = false;
    return emit(state, 'symbol', 1);
  }
  if (char === '{') return fail(state, "unexpected left brace '{'");
  if (char === '!')
    return fail(
      state,
      `unexpected character after '!' inside braces: ${runeText(charAt(state, state.position + 1))}`,
    );
  fail(state, `unexpected character inside braces: ${runeText(char)}`);
}

function lexBracket(state: State): undefined {
  const char = charAt(state);
  if (char === '') return fail(state, 'unexpected end of input in duration expression');
  if (char === ']') {
    state.bracket = false;
    return emit(state, 'symbol', 1);
  }
  if (char === ':') {
    if (!state.duration) return fail(state, 'unexpected colon before duration in duration expression');
    if (state.colon) return fail(state, "unexpected colon ':'");
    state.colon = true;
    return emit(state, 'symbol', 1);
  }
  if (char === '(' || char === ')') return lexParen(state, char);
  if (/[-+*/%^]/.test(char)) return emit(state, 'operator', 1);
  if (char === ',') return emit(state, 'symbol', 1);
  const word = match(state, /[a-zA-Z_]+/y);
  if (word && ['step', 'range', 'min_of', 'max_of'].includes(word.toLowerCase())) {
    state.duration = true;
    return emit(state, 'preprocessor', word.length);
  }
  if (/[0-9]/.test(char) || match(state, /\.[0-9]/y)) {
    state.duration = true;
    return lexNumber(state);
  }
  if (state.duration && /[a-zA-Z_]/.test(char))
    return fail(state, `unexpected character: ${runeText(char)}, expected ':'`);
  fail(state, `unexpected character in duration expression: ${runeText(char)}`);
}

function lexWord(state: State): undefined {
  const word = match(state, /[a-zA-Z0-9_:]+/y) ?? '';
  const lower = word.toLowerCase();
  const type = Object.hasOwn(words, lower) ? words[lower] : undefined;
  // `fill` is a word of the language only before a parenthesis, so that metrics of that name stay what they were.
  const plainFill = lower.startsWith('fill') && !match(state, /\w+[ \t\n\r]*\(/y);
  if (type && !plainFill) return emit(state, type, word.length);
  emit(state, word.includes(':') ? 'metric' : 'identifier', word.length);
}

function lexNumber(state: State): undefined {
  const number =
    match(state, /0[xX]_?[0-9a-fA-F_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][+-]?[0-9_]+)?/y) ?? '';
  const next = charAt(state, state.position + number.length);
  const wellFormed = !/__|_$|^_|_\.|\._|_[eE]/.test(number);
  if (wellFormed && number !== '' && !/[a-zA-Z0-9_.]/.test(next)) return emit(state, 'number', number.length);
  const duration = match(state, /[0-9]+[smhdwy]s?(?:[0-9]+[smhdw]s?)*(?![a-zA-Z0-9_])/y);
  if (duration) return emit(state, 'duration', duration.length);
  fail(state, `bad number or duration syntax: ${printString(badNumber(state, number))}`);
}

/** As much of a malformed number as Prometheus quotes: up to and including the first character that is wrong. */
function badNumber(state: State, number: string): string {
  const duration = match(state, /[0-9]+[smhdwy]s?(?:[0-9]+[smhdw]s?)*/y);
  if (duration) {
    const more = match(state, new RegExp(`.{${duration.length}}(?:[0-9]+|[a-zA-Z_])`, 'ys'));
    return more ?? duration;
  }
  const exponent = match(state, /[0-9]+(?:\.[0-9]*)?[a-zA-Z][a-zA-Z]?/y);
  if (number.includes('.') && !exponent) return `${number.replace(/\.?$/, '')}.`;
  return match(state, /[0-9]+[dD]?[eE]?/y) ?? number;
}

function lexString(state: State): undefined {
  const { input, position: start } = state;
  const quote = charAt(state);
  if (quote === '`') {
    const end = input.indexOf('`', start + 1);
    return end < 0 ? fail(state, 'unterminated raw string') : emit(state, 'string', end + 1 - start);
  }
  for (let at = start + 1; at < input.length; at++) {
    const char = input[at];
    if (char === quote) return emit(state, 'string', at + 1 - start);
    if (char === '\n') return fail(state, 'unterminated quoted string');
    if (char !== '\\') continue;
    const problem = escapeProblem(input, at + 1, quote);
    if (problem) return fail(state, problem);
    at++;
  }
  fail(state, 'unterminated quoted string');
}

/** What is wrong with the escape after a backslash, if anything. */
function escapeProblem(input: string, at: number, quote: string): string | undefined {
  const char = input[at];
  if (char === undefined) return 'escape sequence not terminated';
  if ('abfnrtv\\'.includes(char) || char === quote) return undefined;
  const digits = { x: 2, u: 4, U: 8 }[char] ?? (/[0-7]/.test(char) ? 3 : 0);
  if (digits === 0) return `unknown escape sequence ${unicodeText(input, at)}`;
  const [from, base] = digits === 3 ? [at, 8] : [at + 1, 16];
  for (let index = from; index < from + digits; index++) {
    const digit = input[index];
    if (digit === undefined) return 'escape sequence not terminated';
    if (!(base === 8 ? /[0-7]/ : /[0-9a-fA-F]/).test(digit))
      return `illegal character ${unicodeText(input, index)} in escape sequence`;
  }
  const code = Number.parseInt(input.slice(from, from + digits), base);
  const max = digits >= 4 ? 0x10ffff : 255;
  if (code > max || (code >= 0xd800 && code < 0xe000))
    return 'escape sequence is an invalid Unicode code point';
  return undefined;
}

function unicodeText(input: string, at: number): string {
  const code = input.codePointAt(at) ?? 0;
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')} '${String.fromCodePoint(code)}'`;
}

const typeNames: Readonly<Partial<Record<TokenType, string>>> = {
  identifier: 'identifier',
  metric: 'metric identifier',
  string: 'string',
  number: 'number',
  duration: 'duration',
};

/** A token as Prometheus names it in `unexpected ...`. */
export function describeToken(token: Token): string {
  if (token.type === 'end') return 'end of input';
  if (token.type === 'operator') return `<op:${token.text}>`;
  if (token.type === 'keyword') return `<${token.text}>`;
  if (token.type === 'aggregator') return `<aggr:${token.text}>`;
  const long = token.text.length > 10 && token.type !== 'identifier' && token.type !== 'metric';
  const text = long ? `${printString(token.text.slice(0, 10))}...` : printString(token.text);
  const name = typeNames[token.type];
  return name === undefined ? text : `${name} ${text}`;
}
