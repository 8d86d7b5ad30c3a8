import type { Aggregation, Call, Duration, Expr, Shift } from '../ast.ts';
import { typeOf } from '../signatures.ts';

// Whether the answer at a step is the same whatever other steps are asked for with it: only then parts of answers can be
// put together. Most queries are so. Those that are not name the query's own times, or keep some of several equals by
// their order, which is that in which series first appear in the whole range.

export function isStepLocal(expr: Expr): boolean {
  switch (expr.kind) {
    case 'number':
    case 'string':
      return true;
    case 'vector':
      return isPlainShift(expr.shift);
    case 'range':
      return isPlain(expr.range) && isPlainShift(expr.selector.shift);
    case 'subquery':
      return isPlain(expr.range) && isPlain(expr.step) && isPlainShift(expr.shift) && isStepLocal(expr.input);
    case 'paren':
    case 'unary':
      return isStepLocal(expr.input);
    case 'call':
      return !namesTimes.has(expr.name) && expr.args.every(isStepLocal);
    case 'aggregation':
      return isLocalAggregation(expr);
    case 'binary': {
      const { op, left, right } = expr;
      // Of two series that become one, the first sample says what name that has.
      const names = op === 'or' && !isNameless(left) && !isNameless(right);
      return isStepLocal(left) && isStepLocal(right) && !(names && !(isSelector(left) && isSelector(right)));
    }
  }
}

/** Of info() the series that it looks up are chosen for the whole range. */
const namesTimes: ReadonlySet<string> = new Set(['start', 'end', 'range', 'step', 'info']);

/** Durations that are computed may be made of the query's times. */
const isPlain = (duration: Duration | undefined): boolean =>
  duration === undefined || duration.kind === 'seconds';

const isPlainShift = ({ offset, at }: Shift): boolean =>
  isPlain(offset) && (at === undefined || at.kind === 'time');

const isSelector = (expr: Expr): boolean => expr.kind === 'vector';

/** Those that keep the first of what is equal. */
const choosing: ReadonlySet<string> = new Set(['topk', 'bottomk', 'limitk']);

/** What is said of a parameter is said of all of its values. */
function isLocalAggregation({ op, parameter, input }: Aggregation): boolean {
  if (parameter && !isLiteral(parameter)) return false;
  return isStepLocal(input) && (!choosing.has(op) || isInLabelOrder(input));
}

function isLiteral(expr: Expr): boolean {
  if (expr.kind === 'paren' || expr.kind === 'unary') return isLiteral(expr.input);
  return expr.kind === 'number' || expr.kind === 'string';
}

const elementwise: ReadonlySet<string> = new Set(
  'abs ceil clamp clamp_max clamp_min deg exp floor ln log10 log2 rad round sgn sqrt'.split(' '),
);

/** Whether series come in the order of their labels, as selectors give them. */
function isInLabelOrder(expr: Expr): boolean {
  switch (expr.kind) {
    case 'vector':
    case 'range':
      return true;
    case 'paren':
    case 'unary':
    case 'subquery':
      return isInLabelOrder(expr.input);
    case 'call':
      return expr.args.every((arg) => typeOf(arg) === 'scalar' || isInLabelOrder(arg)) && keepsOrder(expr);
    case 'binary':
      if (typeOf(expr.left) === 'scalar') return isInLabelOrder(expr.right);
      return typeOf(expr.right) === 'scalar' && isInLabelOrder(expr.left);
    default:
      return false;
  }
}

const keepsOrder = ({ name, args }: Call): boolean =>
  elementwise.has(name) || (name !== 'absent_over_time' && args.some((arg) => typeOf(arg) === 'matrix'));

/** Whether none of its series has a metric name. */
function isNameless(expr: Expr): boolean {
  switch (expr.kind) {
    case 'paren':
    case 'unary':
      return isNameless(expr.input);
    case 'call':
      return expr.name === 'vector' || expr.name === 'absent';
    case 'aggregation':
      return (
        !choosing.has(expr.op) &&
        expr.op !== 'limit_ratio' &&
        (expr.without || !expr.grouping.includes('__name__'))
      );
    default:
      return false;
  }
}
