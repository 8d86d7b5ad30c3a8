import type { Matcher, MatchOp, Shift, VectorSelector } from './ast.ts';
import { printString, unquote } from './literals.ts';
import { createParser, type Parser } from './parser.ts';
import { compileRegexp } from './regexp.ts';

/** Text of a series selector (`match[]` parameters) to its syntax tree. */
export function parseSelector(text: string): VectorSelector {
  const parser = createParser(text);
  const token = parser.peek();
  const selector = token.text === '{' || metricTypes.has(token.type) ? parseVector(parser) : undefined;
  if (selector === undefined || parser.peek().type !== 'end') throw parser.unexpected();
  return selector;
}

const metricTypes: ReadonlySet<string> = new Set([
  'identifier',
  'metric',
  'aggregator',
  'preprocessor',
  'keyword',
  'operator',
]);
/** Neither `offset` nor `@`. */
export const unshifted: Shift = { offset: undefined, at: undefined };

/** `name`, `name{...}` or `{...}`. */
export function parseVector(parser: Parser): VectorSelector {
  const first = parser.peek();
  const named = first.text !== '{';
  if (named) parser.next();
  const matchers: Matcher[] = [];
  let { end } = first;
  if (parser.peek().type === 'symbol' && parser.peek().text === '{') end = parseMatchers(parser, matchers);
  const name = named ? first.text : '';
  return {
    kind: 'vector',
    name,
    matchers,
    shift: unshifted,
    extension: undefined,
    span: { start: first.start, end },
  };
}

/** Reads `{...}` into `matchers`; returns where it ends. */
function parseMatchers(parser: Parser, matchers: Matcher[]): number {
  parser.expect('{');
  const empty = parser.accept('}');
  if (empty) return empty.end;
  for (;;) {
    matchers.push(parseMatcher(parser));
    const close = parser.accept('}');
    if (close) return close.end;
    parser.expect(',', 'label matching', '"," or "}"');
    const trailing = parser.accept('}');
    if (trailing) return trailing.end;
  }
}

function parseMatcher(parser: Parser): Matcher {
  const token = parser.peek();
  if (token.type !== 'identifier' && token.type !== 'string')
    throw parser.unexpected('label matching', 'identifier or "}"');
  parser.next();
  const label = token.type === 'string' ? unquote(token.text) : token.text;
  const op = parser.peek();
  if (!['=', '!=', '=~', '!~'].includes(op.text) || op.type === 'string') {
    const afterName = op.text === ',' || op.text === '}';
    if (token.type === 'string' && afterName) return { label: '__name__', op: '=', value: label };
    throw token.type === 'string'
      ? parser.unexpected('label matching', '"," or "}"')
      : parser.unexpected('label matching', 'label matching operator');
  }
  parser.next();
  if (parser.peek().type !== 'string') throw parser.unexpected('label matching', 'string');
  const value = unquote(parser.next().text);
  if (op.text === '=~' || op.text === '!~') {
    try {
      compileRegexp(value);
    } catch (cause) {
      throw parser.error(token.start, cause instanceof Error ? cause.message : String(cause));
    }
  }
  return { label, op: op.text as MatchOp, value };
}

/** A list of label names in parentheses. */
export function parseGrouping(parser: Parser): readonly string[] {
  parser.expect('(', 'grouping opts', '"("');
  const labels: string[] = [];
  if (parser.accept(')')) return labels;
  for (;;) {
    const token = parser.peek();
    const word = metricTypes.has(token.type) && /^[a-zA-Z_]\w*$/.test(token.text);
    if (token.type !== 'string' && !word) throw parser.unexpected('grouping opts', 'label');
    parser.next();
    const label = token.type === 'string' ? unquote(token.text) : token.text;
    if (label === '')
      throw parser.error(token.start, `invalid label name for grouping: ${printString(label)}`);
    labels.push(label);
    if (parser.accept(')')) return labels;
    parser.expect(',', 'grouping opts', '"," or ")"');
    if (parser.accept(')')) return labels;
  }
}
