import {
  type Binary,
  type Call,
  comparisonOps,
  type Expr,
  type Span,
  selectorMatchers,
  setOps,
} from './ast.ts';
import { parseError } from './errors.ts';
import { printString } from './literals.ts';
import { matches } from './matcher.ts';
import { signatures, typeName, typeOf, type ValueType } from './signatures.ts';

/** Types and the rules that grammar can't hold; throws PromqlError `bad_data` for the first that is broken. */
export function checkExpr(query: string, expr: Expr): void {
  check({ query, fail: (span, message) => parseError(query, span.start, message) }, expr);
}

interface Context {
  readonly query: string;
  fail(span: Span, message: string): Error;
}

function check(context: Context, expr: Expr): ValueType {
  switch (expr.kind) {
    case 'number':
    case 'string':
      break;
    case 'vector':
      checkSelector(context, expr);
      break;
    case 'range':
      check(context, expr.selector);
      break;
    case 'subquery': {
      const type = check(context, expr.input);
      if (type !== 'vector')
        throw context.fail(expr.span, `subquery is only allowed on instant vector, got ${type} instead`);
      break;
    }
    case 'paren':
      check(context, expr.input);
      break;
    case 'unary': {
      const type = check(context, expr.input);
      if (type !== 'scalar' && type !== 'vector') {
        const got = printString(typeName(type));
        throw context.fail(
          expr.span,
          `unary expression only allowed on expressions of type scalar or instant vector, got ${got}`,
        );
      }
      break;
    }
    case 'aggregation': {
      expectType(context, expr.input, 'vector', 'aggregation expression');
      const wanted = expr.op === 'count_values' ? 'string' : 'scalar';
      if (expr.parameter) expectType(context, expr.parameter, wanted, 'aggregation parameter');
      break;
    }
    case 'binary':
      checkBinary(context, expr);
      break;
    case 'call':
      checkCall(context, expr);
      break;
  }
  return typeOf(expr);
}

function expectType(context: Context, expr: Expr, wanted: ValueType, place: string): void {
  const type = check(context, expr);
  if (type !== wanted)
    throw context.fail(expr.span, `expected type ${typeName(wanted)} in ${place}, got ${typeName(type)}`);
}

function checkSelector(context: Context, expr: Expr & { kind: 'vector' }, mayMatchAll = false): void {
  if (expr.name !== '') {
    const second = expr.matchers.find(({ label }) => label === '__name__');
    if (second === undefined) return;
    const [first, other] = [printString(expr.name), printString(second.value)];
    throw context.fail(expr.span, `metric name must not be set twice: ${first} or ${other}`);
  }
  if (!mayMatchAll && selectorMatchers(expr).every((matcher) => matches(matcher, '')))
    throw context.fail(expr.span, 'vector selector must contain at least one non-empty matcher');
}

function checkBinary(context: Context, expr: Binary): void {
  const left = check(context, expr.left);
  const right = check(context, expr.right);
  const { op, matching, span } = expr;
  const setOp = setOps.has(op);
  // The operator's own position, without the blanks around it.
  const gap = context.query.slice(expr.left.span.end);
  const opSpan = { start: expr.left.span.end + gap.length - gap.trimStart().length, end: span.end };
  if (expr.returnBool && !comparisonOps.has(op))
    throw context.fail(opSpan, 'bool modifier can only be used on comparison operators');
  if (comparisonOps.has(op) && !expr.returnBool && left === 'scalar' && right === 'scalar')
    throw context.fail(opSpan, 'comparisons between scalars must use BOOL modifier');
  const both = matching.on ? matching.labels.find((label) => matching.include.includes(label)) : undefined;
  if (both !== undefined)
    throw context.fail(opSpan, `label ${printString(both)} must not occur in ON and GROUP clause at once`);
  const fills = matching.fillLeft !== undefined || matching.fillRight !== undefined;
  for (const [type, side] of [[left, expr.left] as const, [right, expr.right] as const]) {
    if (type !== 'scalar' && type !== 'vector')
      throw context.fail(side.span, 'binary expression must contain only scalar and instant vector types');
  }
  if (left !== 'vector' || right !== 'vector') {
    if (matching.labels.length > 0)
      throw context.fail(span, 'vector matching only allowed between instant vectors');
    if (fills) throw context.fail(span, 'filling in missing series only allowed between instant vectors');
    if (setOp)
      throw context.fail(span, `set operator ${printString(op)} not allowed in binary scalar expression`);
  } else if (setOp) {
    if (matching.group) throw context.fail(span, `no grouping allowed for ${printString(op)} operation`);
    if (fills) throw context.fail(span, 'filling in missing series not allowed for set operators');
  }
}

function checkCall(context: Context, call: Call): void {
  const signature = signatures.get(call.name);
  if (signature === undefined) throw new Error(`the parser let ${call.name} pass`);
  checkCount(context, call, signature.args.length, signature.variadic);
  const name = printString(call.name);
  if (call.name === 'info') checkInfo(context, call);
  call.args.forEach((arg, index) => {
    const wanted = signature.args[Math.min(index, signature.args.length - 1)];
    if (wanted === undefined) return;
    if (call.name === 'info' && index === 1) return;
    expectType(context, arg, wanted, `call to function ${name}`);
  });
}

function checkCount(context: Context, { name, args, span }: Call, declared: number, variadic: number): void {
  const place = `argument(s) in call to ${printString(name)}, got ${args.length}`;
  const least = variadic === 0 ? declared : declared - 1;
  if (variadic === 0 && args.length !== declared) throw context.fail(span, `expected ${declared} ${place}`);
  if (args.length < least) throw context.fail(span, `expected at least ${least} ${place}`);
  const most = least + variadic;
  if (variadic > 0 && args.length > most) throw context.fail(span, `expected at most ${most} ${place}`);
}

/** info()'s second argument is a selector of labels, not of a metric. */
function checkInfo(context: Context, call: Call): void {
  const selector = call.args[1];
  if (selector === undefined) return;
  const type = typeOf(selector);
  if (type !== 'vector') {
    const got = typeName(type);
    throw context.fail(call.span, `expected type instant vector in call to function "info", got ${got}`);
  }
  if (selector.kind !== 'vector') throw context.fail(selector.span, 'expected label selectors only');
  if (selector.name !== '')
    throw context.fail(selector.span, 'expected label selectors only, got vector selector instead');
  checkSelector(context, selector, true);
}
