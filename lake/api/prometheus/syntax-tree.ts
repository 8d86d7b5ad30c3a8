import {
  type Binary,
  type Call,
  type Duration,
  type Expr,
  type Shift,
  selectorMatchers,
  setOps,
  type VectorSelector,
} from '../../promql/ast.ts';
import { printFloat } from '../../promql/literals.ts';
import { signatures, typeOf } from '../../promql/signatures.ts';

// The tree that /api/v1/parse_query answers with, in Prometheus' shape.

export function syntaxTree(expr: Expr): object {
  switch (expr.kind) {
    case 'number':
      return { type: 'numberLiteral', val: printFloat(expr.value) };
    case 'string':
      return { type: 'stringLiteral', val: expr.value };
    case 'paren':
      return { type: 'parenExpr', expr: syntaxTree(expr.input) };
    case 'unary':
      return { type: 'unaryExpr', op: expr.op, expr: syntaxTree(expr.input) };
    case 'vector':
      return { type: 'vectorSelector', ...selectorFields(expr) };
    case 'range':
      return {
        type: 'matrixSelector',
        ...selectorFields(expr.selector),
        ...durationFields('range', expr.range),
      };
    case 'subquery': {
      const { range, step, shift, input } = expr;
      const durations = { ...durationFields('range', range), ...durationFields('step', step) };
      return { type: 'subquery', expr: syntaxTree(input), ...durations, ...shiftFields(shift) };
    }
    case 'aggregation': {
      const { op, grouping, without, parameter, input } = expr;
      const param = parameter ? syntaxTree(parameter) : null;
      return { type: 'aggregation', op, expr: syntaxTree(input), param, grouping, without };
    }
    case 'call':
      return { type: 'call', func: functionFields(expr), args: expr.args.map(syntaxTree) };
    case 'binary': {
      const { op, left, right, returnBool } = expr;
      const sides = { lhs: syntaxTree(left), rhs: syntaxTree(right) };
      return { type: 'binaryExpr', op, ...sides, matching: matchingFields(expr), bool: returnBool };
    }
  }
}

function functionFields({ name }: Call): object {
  const { args = [], variadic = 0, result = 'vector' } = signatures.get(name) ?? {};
  return { name, argTypes: args, variadic, returnType: result };
}

/** Only vectors are matched. */
function matchingFields({ op, left, right, matching }: Binary): object | null {
  if (typeOf(left) !== 'vector' || typeOf(right) !== 'vector') return null;
  const { group, labels, on, include, fillLeft = null, fillRight = null } = matching;
  const cards = { left: 'many-to-one', right: 'one-to-many' } as const;
  const card = setOps.has(op) ? 'many-to-many' : group ? cards[group] : 'one-to-one';
  return { card, labels, on, include, fillValues: { lhs: fillLeft, rhs: fillRight } };
}

function selectorFields(selector: VectorSelector): object {
  const types = selectorMatchers(selector).map(({ label, op, value }) => ({ name: label, value, type: op }));
  const { name, extension, shift } = selector;
  const extensions = { anchored: extension === 'anchored', smoothed: extension === 'smoothed' };
  return { name, matchers: types, ...shiftFields(shift), ...extensions };
}

function shiftFields({ offset, at }: Shift): object {
  const startOrEnd = at && at.kind !== 'time' ? at.kind : null;
  return {
    ...durationFields('offset', offset),
    timestamp: at?.kind === 'time' ? at.timestampMs : null,
    startOrEnd,
  };
}

/** A plain duration is whole milliseconds; one that is computed is a tree of its own. */
function durationFields(name: string, duration: Duration | undefined): Record<string, unknown> {
  const plain = duration === undefined || duration.kind === 'seconds';
  const ms = duration?.kind === 'seconds' ? Math.round(duration.value * 1000) : 0;
  return { [name]: ms, [`${name}Expr`]: plain ? null : durationTree(duration, false) };
}

function durationTree(duration: Duration, wrapped: boolean): object {
  const node = (op: string, lhs: Duration | undefined, rhs: Duration | undefined): object => ({
    ...{ type: 'durationExpr', op, wrapped },
    lhs: lhs ? durationTree(lhs, false) : null,
    rhs: rhs ? durationTree(rhs, false) : null,
  });
  switch (duration.kind) {
    case 'seconds':
      return { type: 'numberLiteral', val: printFloat(duration.value), duration: duration.duration };
    case 'group':
      return durationTree(duration.input, true);
    case 'step':
    case 'range':
      return node(duration.kind, undefined, undefined);
    case 'negative':
      return node('-', undefined, duration.input);
    case 'min_of':
    case 'max_of':
      return node(duration.kind, duration.left, duration.right);
    case 'arithmetic':
      return node(duration.op, duration.left, duration.right);
  }
}
