import type { Duration, DurationOp } from './ast.ts';
import { numberValue, type Parser } from './parser.ts';

// Durations are expressions of their own: `[5m]`, `[step() * 2]`, `offset -(1h + 30m)`.

const bracketWanted = 'number, duration, step(), or range()';

/** The range in `[range]` or `[range:step]`. */
export function parseRange(parser: Parser): Duration {
  const { start } = parser.peek();
  const range = parseSum(parser, 'subquery or range selector', bracketWanted);
  return positive(parser, range, start);
}

/** The step in `[range:step]`, or undefined when it is left out. */
export function parseStep(parser: Parser): Duration | undefined {
  const { start, text } = parser.peek();
  if (text === ']') return undefined;
  const wanted = 'number, duration, step(), range(), or "]"';
  return positive(parser, parseSum(parser, 'subquery selector', wanted), start);
}

/** The duration after `offset`: a single term, so that `x offset 1m + y` is a sum of vectors. */
export function parseOffset(parser: Parser): Duration {
  const sign = parser.accept('-') ?? parser.accept('+');
  const term = parseTerm(parser, 'offset', bracketWanted);
  if (sign === undefined) return inRange(parser, term, term.span.start);
  return inRange(parser, negate(sign.text, term, sign.start), sign.start);
}

function positive(parser: Parser, duration: Duration, start: number): Duration {
  if (duration.kind === 'seconds' && !(duration.value > 0))
    throw parser.error(start, 'duration must be greater than 0');
  return inRange(parser, duration, start);
}

/** Prometheus keeps durations as 64-bit nanoseconds. */
function inRange(parser: Parser, duration: Duration, start: number): Duration {
  if (duration.kind === 'seconds' && Math.abs(duration.value) > 2 ** 63 / 1e9)
    throw parser.error(start, 'duration out of range');
  return duration;
}

function negate(sign: string, input: Duration, start: number): Duration {
  const span = { start, end: input.span.end };
  if (input.kind === 'seconds') return { ...input, value: sign === '-' ? -input.value : input.value, span };
  return sign === '-' ? { kind: 'negative', input, span } : input;
}

const precedences: Readonly<Record<string, number>> = { '+': 1, '-': 1, '*': 2, '/': 2, '%': 2, '^': 3 };

function parseSum(parser: Parser, context: string, wanted: string, minimum = 1): Duration {
  let left = parseSign(parser, context, wanted);
  for (;;) {
    const token = parser.peek();
    const precedence = token.type === 'operator' ? (precedences[token.text] ?? 0) : 0;
    if (precedence < minimum) return left;
    parser.next();
    const right = parser.nested(() =>
      parseSum(parser, context, wanted, precedence === 3 ? 3 : precedence + 1),
    );
    if (right.kind === 'seconds' && right.value === 0) {
      if (token.text === '/') throw parser.error(token.start, 'division by zero');
      if (token.text === '%') throw parser.error(token.start, 'modulo by zero');
    }
    const span = { start: left.span.start, end: right.span.end };
    left = { kind: 'arithmetic', op: token.text as DurationOp, left, right, span };
  }
}

function parseSign(parser: Parser, context: string, wanted: string): Duration {
  const sign = parser.accept('-') ?? parser.accept('+');
  if (sign === undefined) return parseTerm(parser, context, wanted);
  const input = parser.nested(() => parseSum(parser, context, wanted, 3));
  return negate(sign.text, input, sign.start);
}

function parseTerm(parser: Parser, context: string, wanted: string): Duration {
  const token = parser.peek();
  const { start } = token;
  if (token.type === 'number' || token.type === 'duration') {
    parser.next();
    const value = numberValue(parser, token);
    return { kind: 'seconds', value, duration: token.type === 'duration', span: { start, end: token.end } };
  }
  if (token.type === 'symbol' && token.text === '(') {
    parser.next();
    const input = parser.nested(() => parseSum(parser, context, wanted));
    return { kind: 'group', input, span: { start, end: parser.expect(')').end } };
  }
  const word = token.type === 'preprocessor' ? token.text.toLowerCase() : '';
  if (word === 'step' || word === 'range') {
    parser.next();
    parser.expect('(', context, wanted);
    return { kind: word, span: { start, end: parser.expect(')').end } };
  }
  if (word === 'min_of' || word === 'max_of') {
    parser.next();
    parser.expect('(', context, wanted);
    const left = parser.nested(() => parseSum(parser, context, wanted));
    parser.expect(',');
    const right = parser.nested(() => parseSum(parser, context, wanted));
    return { kind: word, left, right, span: { start, end: parser.expect(')').end } };
  }
  throw parser.unexpected(context, wanted);
}
