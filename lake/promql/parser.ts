import { parseError } from './errors.ts';
import { describeToken, lex, type Token } from './lex.ts';
import { nestingMax, queryCharactersMax } from './limits.ts';
import { parseDurationMs, parseNumber, printString } from './literals.ts';

/** The tokens of one query as they are consumed, and the errors that can be made of them. */
export interface Parser {
  readonly query: string;
  peek(ahead?: number): Token;
  next(): Token;
  /** Takes the next token when its text (in lower case) is `text` and it is no string. */
  accept(text: string): Token | undefined;
  /** Takes `text` or complains about what stands there. */
  expect(text: string, context?: string, expected?: string): Token;
  error(start: number, message: string): Error;
  unexpected(context?: string, expected?: string): Error;
  /** Runs `parse` one level deeper; too many levels are an error and not a stack overflow. */
  nested<T>(parse: () => T): T;
}

export function createParser(query: string): Parser {
  if (query.length > queryCharactersMax)
    throw parseError(query, 0, `query is longer than queryCharactersMax = ${queryCharactersMax}`);
  const tokens = lex(query);
  let index = 0;
  let depth = 0;
  const peek = (ahead = 0): Token => {
    const token = tokens[Math.min(index + ahead, tokens.length - 1)];
    if (token === undefined) throw new Error('the lexer ends every query with a token');
    return token;
  };
  const error = (start: number, message: string): Error => parseError(query, start, message);
  const unexpected = (context = '', expected = ''): Error => {
    const token = peek();
    if (token.type === 'error') return error(token.start, token.text);
    const place = context === '' ? '' : ` in ${context}`;
    const wanted = expected === '' ? '' : `, expected ${expected}`;
    return error(token.start, `unexpected ${describeToken(token)}${place}${wanted}`);
  };
  const next = (): Token => {
    const token = peek();
    if (token.type === 'error') throw unexpected();
    index++;
    return token;
  };
  const accept = (text: string): Token | undefined => {
    const token = peek();
    const same = token.type !== 'string' && token.type !== 'error' && token.text.toLowerCase() === text;
    return same ? next() : undefined;
  };
  return {
    query,
    peek,
    next,
    accept,
    expect: (text, context, expected) => {
      const token = accept(text);
      if (token === undefined) throw unexpected(context, expected);
      return token;
    },
    error,
    unexpected,
    nested: (parse) => {
      if (++depth > nestingMax)
        throw error(peek().start, `expression is nested deeper than nestingMax = ${nestingMax}`);
      const result = parse();
      depth--;
      return result;
    },
  };
}

/** A number or duration (in seconds) with an optional sign. */
export function parseSignedNumber(parser: Parser, context?: string, expected?: string): number {
  const negative = parser.accept('-') !== undefined;
  if (!negative) parser.accept('+');
  const { type } = parser.peek();
  if (type !== 'number' && type !== 'duration') throw parser.unexpected(context, expected);
  const value = numberValue(parser, parser.next());
  return negative ? -value : value;
}

/** The value of a number token, or of a duration token in seconds. */
export function numberValue(parser: Parser, token: Token): number {
  if (token.type === 'duration') {
    try {
      return parseDurationMs(token.text) / 1000;
    } catch (cause) {
      throw parser.error(token.start, cause instanceof Error ? cause.message : String(cause));
    }
  }
  const value = parseNumber(token.text);
  const infinite = value !== undefined && !Number.isFinite(value) && /[0-9]/.test(token.text);
  if (value !== undefined && !infinite) return value;
  const why = infinite ? 'value out of range' : 'invalid syntax';
  const quoted = printString(token.text);
  throw parser.error(token.start, `error parsing number: strconv.ParseFloat: parsing ${quoted}: ${why}`);
}
