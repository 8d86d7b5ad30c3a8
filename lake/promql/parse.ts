import {
  type AggregateOp,
  type Aggregation,
  type Binary,
  type BinaryOp,
  comparisonOps,
  type Expr,
  type Matching,
  parameterOps,
  type Shift,
  type VectorSelector,
} from './ast.ts';
import type { Token } from './lex.ts';
import { printFloat, printString, unquote } from './literals.ts';
import { parseOffset, parseRange, parseStep } from './parse-duration.ts';
import { parseGrouping, parseVector, unshifted } from './parse-selector.ts';
import { createParser, numberValue, type Parser, parseSignedNumber } from './parser.ts';
import { signatures } from './signatures.ts';

/**
 * Text to syntax tree, by precedence climbing over lex.ts. The published Lezer grammar was tried first: it is made for
 * editors, binds `offset` and `[5m]` more loosely than operators, and knows nothing of Prometheus' error texts.
 *
 * Everything throws PromqlError `bad_data`, worded and positioned as Prometheus does.
 */
export function parseExpr(query: string): Expr {
  const parser = createParser(query);
  if (parser.peek().type === 'end') throw parser.error(0, 'no expression found in input');
  const expr = parseBinary(parser, 0);
  if (parser.peek().type !== 'end') throw parser.unexpected();
  return expr;
}

const precedences: Readonly<Record<string, number>> = {
  or: 1,
  and: 2,
  unless: 2,
  ...Object.fromEntries([...comparisonOps, '</', '>/'].map((op) => [op, 3])),
  '+': 4,
  '-': 4,
  '*': 5,
  '/': 5,
  '%': 5,
  atan2: 5,
  '^': 6,
};
const multiplication = 5;
const power = 6;

/** Operators that bind at least as tightly as `minimum`. */
function parseBinary(parser: Parser, minimum: number): Expr {
  let left = parseUnary(parser);
  for (;;) {
    const token = parser.peek();
    const op = token.text.toLowerCase();
    const precedence = token.type === 'operator' ? (precedences[op] ?? 0) : 0;
    if (precedence === 0 || precedence < minimum) return left;
    parser.next();
    const modifiers = parseModifiers(parser);
    const right = parser.nested(() => parseBinary(parser, precedence === power ? power : precedence + 1));
    left = {
      kind: 'binary',
      op: op as BinaryOp,
      left,
      right,
      ...modifiers,
      span: { start: left.span.start, end: right.span.end },
    };
  }
}

function parseModifiers(parser: Parser): Pick<Binary, 'returnBool' | 'matching'> {
  const returnBool = parser.accept('bool') !== undefined;
  const on = parser.accept('on') !== undefined;
  const clause = on || parser.accept('ignoring') !== undefined;
  const labels = clause ? parseGrouping(parser) : [];
  let group: Matching['group'];
  let include: readonly string[] = [];
  if (clause) {
    if (parser.accept('group_left')) group = 'left';
    else if (parser.accept('group_right')) group = 'right';
    if (group && parser.peek().text === '(') include = parseGrouping(parser);
  }
  const fill = parseFill(parser);
  return { returnBool, matching: { on, labels, group, include, ...fill } };
}

function parseFill(parser: Parser): Pick<Matching, 'fillLeft' | 'fillRight'> {
  if (parser.accept('fill')) {
    const value = parseFillValue(parser);
    return { fillLeft: value, fillRight: value };
  }
  let fillLeft: number | undefined;
  let fillRight: number | undefined;
  for (;;) {
    if (fillLeft === undefined && parser.accept('fill_left')) fillLeft = parseFillValue(parser);
    else if (fillRight === undefined && parser.accept('fill_right')) fillRight = parseFillValue(parser);
    else return { fillLeft, fillRight };
  }
}

function parseFillValue(parser: Parser): number {
  parser.expect('(');
  const value = parseSignedNumber(parser);
  parser.expect(')');
  return value;
}

function parseUnary(parser: Parser): Expr {
  const token = parser.peek();
  if (token.type !== 'operator' || (token.text !== '-' && token.text !== '+')) return parsePostfix(parser);
  parser.next();
  // As tight as multiplication: -a ^ b is -(a ^ b), and -a * b is (-a) * b.
  const input = parser.nested(() => parseBinary(parser, multiplication + 1));
  const span = { start: token.start, end: input.span.end };
  if (input.kind === 'number')
    return { ...input, value: token.text === '-' ? -input.value : input.value, span };
  return { kind: 'unary', op: token.text, input, span };
}

function parsePostfix(parser: Parser): Expr {
  let expr = parsePrimary(parser);
  for (;;) {
    const token = parser.peek();
    if (token.type === 'end' || token.type === 'string') return expr;
    switch (token.text.toLowerCase()) {
      case '[':
        expr = parseBracket(parser, expr);
        break;
      case 'offset':
        expr = parseOffsetClause(parser, expr);
        break;
      case '@':
        expr = parseAt(parser, expr);
        break;
      case 'anchored':
      case 'smoothed':
        expr = parseExtension(parser, expr);
        break;
      default:
        return expr;
    }
  }
}

function parsePrimary(parser: Parser): Expr {
  const token = parser.peek();
  const { start, end } = token;
  switch (token.type) {
    case 'number':
    case 'duration':
      parser.next();
      return {
        kind: 'number',
        value: numberValue(parser, token),
        duration: token.type === 'duration',
        span: { start, end },
      };
    case 'string':
      parser.next();
      return { kind: 'string', value: unquote(token.text), span: { start, end } };
    case 'symbol':
      if (token.text === '(') return parser.nested(() => parseParen(parser));
      if (token.text === '{') return parseVector(parser);
      throw parser.unexpected();
    case 'aggregator':
      if (opensAggregation(parser.peek(1))) return parser.nested(() => parseAggregation(parser));
      return parseVector(parser);
    case 'identifier':
    case 'preprocessor':
      if (isOpen(parser.peek(1))) return parser.nested(() => parseCall(parser));
      return parseVector(parser);
    case 'metric':
      return parseVector(parser);
    case 'keyword':
    case 'operator':
      if (metricWords.has(token.text.toLowerCase())) return parseVector(parser);
      throw parser.unexpected();
    case 'end':
    case 'error':
      throw parser.unexpected();
  }
}

/** Words of the language that may also be the name of a metric. */
const metricWords: ReadonlySet<string> = new Set(
  'and or unless by without offset anchored smoothed fill fill_left fill_right'.split(' '),
);
const isOpen = (token: Token): boolean => token.type === 'symbol' && token.text === '(';
const opensAggregation = (token: Token): boolean =>
  isOpen(token) || (token.type === 'keyword' && /^(by|without)$/i.test(token.text));

function parseParen(parser: Parser): Expr {
  const { start } = parser.expect('(');
  const input = parseBinary(parser, 0);
  const { end } = parser.expect(')');
  return { kind: 'paren', input, span: { start, end } };
}

function parseArgs(parser: Parser): { args: readonly Expr[]; end: number } {
  parser.expect('(');
  const args: Expr[] = [];
  const empty = parser.accept(')');
  if (empty) return { args, end: empty.end };
  for (;;) {
    args.push(parseBinary(parser, 0));
    const comma = parser.accept(',');
    if (comma === undefined) return { args, end: parser.expect(')').end };
    if (parser.peek().text === ')')
      throw parser.error(comma.start, 'trailing commas not allowed in function call args');
  }
}

function parseCall(parser: Parser): Expr {
  const token = parser.next();
  const name = token.type === 'preprocessor' ? token.text.toLowerCase() : token.text;
  const { args, end } = parseArgs(parser);
  if (!signatures.has(name))
    throw parser.error(token.start, `unknown function with name ${printString(name)}`);
  return { kind: 'call', name, args, span: { start: token.start, end } };
}

function parseAggregation(parser: Parser): Aggregation {
  const token = parser.next();
  const op = token.text.toLowerCase() as AggregateOp;
  let clause = parseGroupingClause(parser);
  const { args, end: argsEnd } = parseArgs(parser);
  let end = argsEnd;
  if (clause === undefined) {
    clause = parseGroupingClause(parser);
    end = clause?.end ?? end;
  }
  const { start } = token;
  if (args.length === 0) throw parser.error(start, 'no arguments for aggregate expression provided');
  const wanted = parameterOps.has(op) ? 2 : 1;
  const input = args[wanted - 1];
  if (args.length !== wanted || input === undefined) {
    throw parser.error(
      start,
      `wrong number of arguments for aggregate expression provided, expected ${wanted}, got ${args.length}`,
    );
  }
  return {
    kind: 'aggregation',
    op,
    without: clause?.without ?? false,
    grouping: clause?.labels ?? [],
    parameter: wanted === 2 ? args[0] : undefined,
    input,
    span: { start, end },
  };
}

function parseGroupingClause(
  parser: Parser,
): { without: boolean; labels: readonly string[]; end: number } | undefined {
  const without = parser.accept('without') !== undefined;
  if (!without && parser.accept('by') === undefined) return undefined;
  const labels = parseGrouping(parser);
  return { without, labels, end: parser.peek(-1).end };
}

function parseBracket(parser: Parser, input: Expr): Expr {
  const open = parser.expect('[');
  const range = parseRange(parser);
  if (parser.accept(':')) {
    const step = parseStep(parser);
    const { end } = parser.expect(']', 'subquery selector', '"]"');
    return { kind: 'subquery', input, range, step, shift: unshifted, span: { start: input.span.start, end } };
  }
  const { end } = parser.expect(']', 'subquery or range', '":" or "]"');
  if (input.kind !== 'vector') throw parser.error(open.start, 'ranges only allowed for vector selectors');
  if (input.shift.offset) throw parser.error(open.start, 'no offset modifiers allowed before range');
  if (input.shift.at) throw parser.error(open.start, 'no @ modifiers allowed before range');
  return { kind: 'range', selector: input, range, span: { start: input.span.start, end } };
}

/** The node with another shift, if it is one that has a shift; its span is extended to what has been read. */
function reshift(parser: Parser, expr: Expr, change: (shift: Shift) => Shift, otherwise: string): Expr {
  const span = { start: expr.span.start, end: parser.peek(-1).end };
  if (expr.kind === 'range')
    return { ...expr, selector: { ...expr.selector, shift: change(expr.selector.shift) }, span };
  if (expr.kind === 'vector' || expr.kind === 'subquery') return { ...expr, shift: change(expr.shift), span };
  throw parser.error(expr.span.start, otherwise);
}

const shiftable = 'must be preceded by an instant vector selector or range vector selector or a subquery';

function parseOffsetClause(parser: Parser, expr: Expr): Expr {
  parser.next();
  const offset = parseOffset(parser);
  return reshift(
    parser,
    expr,
    (shift) => {
      if (shift.offset) throw parser.error(expr.span.start, 'offset may not be set multiple times');
      return { ...shift, offset };
    },
    `offset modifier ${shiftable}`,
  );
}

function parseAt(parser: Parser, expr: Expr): Expr {
  parser.next();
  const word = parser.peek();
  const edge = word.type === 'preprocessor' && /^(start|end)$/i.test(word.text);
  let at: Shift['at'];
  if (edge) {
    parser.next();
    parser.expect('(', '@', 'timestamp');
    parser.expect(')', '@', 'timestamp');
    at = { kind: word.text.toLowerCase() === 'start' ? 'start' : 'end' };
  } else {
    const seconds = parseSignedNumber(parser, '@', 'timestamp');
    if (!(Math.abs(seconds) < 2 ** 63))
      throw parser.error(expr.span.start, `timestamp out of bounds for @ modifier: ${printFloat(seconds)}`);
    at = { kind: 'time', timestampMs: Math.round(seconds * 1000) };
  }
  return reshift(
    parser,
    expr,
    (shift) => {
      if (shift.at) throw parser.error(expr.span.start, '@ <timestamp> may not be set multiple times');
      return { ...shift, at };
    },
    `@ modifier ${shiftable}`,
  );
}

function parseExtension(parser: Parser, expr: Expr): Expr {
  const extension = parser.next().text.toLowerCase() === 'anchored' ? 'anchored' : 'smoothed';
  const extend = (selector: VectorSelector): VectorSelector => {
    if (selector.extension && selector.extension !== extension)
      throw parser.error(expr.span.start, 'anchored and smoothed modifiers cannot be used together');
    return { ...selector, extension };
  };
  if (expr.kind === 'range') return { ...expr, selector: extend(expr.selector) };
  if (expr.kind === 'vector') return extend(expr);
  const why = expr.kind === 'subquery' ? 'is not supported for subqueries' : 'not implemented';
  throw parser.error(expr.span.start, `${extension} modifier ${why}`);
}
