import type { LogqlError } from './errors.ts';
import { errorAt, lex, type Token } from './lex.ts';
import { nestingMax } from './limits.ts';

/** Where a parse is. Every mistake is a LogqlError `parse` in the words of Loki's parser. */
export interface Parser {
  readonly input: string;
  readonly tokens: readonly Token[];
  at: number;
  depth: number;
}

export const openParser = (input: string): Parser => ({ input, tokens: lex(input), at: 0, depth: 0 });

/** The token `ahead` of the next one; behind the end there are only ends. */
export function peek(parser: Parser, ahead = 0): Token {
  const { tokens, at } = parser;
  const token = tokens[Math.min(at + ahead, tokens.length - 1)];
  if (token === undefined) throw new Error('the lexer has made no end');
  return token;
}

export function next(parser: Parser): Token {
  const token = peek(parser);
  parser.at++;
  return token;
}

export const isAt = (parser: Parser, ...names: readonly string[]): boolean =>
  names.includes(peek(parser).name);

export function accept(parser: Parser, ...names: readonly string[]): Token | undefined {
  return isAt(parser, ...names) ? next(parser) : undefined;
}

/** The next token, which has to be one of `names`, in the order in which Loki lists them. */
export function expect(parser: Parser, ...names: readonly string[]): Token {
  return accept(parser, ...names) ?? fail(parser, ...names);
}

/** The next token does not fit. Loki says what would where that is no more than four tokens. */
export function fail(parser: Parser, ...expected: readonly string[]): never {
  throw unexpected(parser, expected);
}

function unexpected({ input, tokens, at }: Parser, expected: readonly string[]): LogqlError {
  const token = tokens[Math.min(at, tokens.length - 1)];
  if (token === undefined) throw new Error('the lexer has made no end');
  const what = expected.length === 0 ? '' : `, expecting ${expected.join(' or ')}`;
  return errorAt(input, token, `syntax error: unexpected ${token.name}${what}`);
}

/** Runs `parse` one level deeper; too many are refused, so that no query overflows the stack. */
export function nested<T>(parser: Parser, parse: () => T): T {
  if (++parser.depth > nestingMax)
    throw errorAt(parser.input, peek(parser), `more than ${nestingMax} levels (nestingMax)`);
  const result = parse();
  parser.depth--;
  return result;
}

/** `item, item, ...`. */
export function list<T>(parser: Parser, item: () => T): T[] {
  const items = [item()];
  while (accept(parser, ',')) items.push(item());
  return items;
}
