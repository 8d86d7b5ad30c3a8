import type { Expr, VectorSelector } from './ast.ts';

/** Every selector of an expression, in the order of the text. */
export function selectorsOf(expr: Expr): readonly VectorSelector[] {
  switch (expr.kind) {
    case 'number':
    case 'string':
      return [];
    case 'vector':
      return [expr];
    case 'range':
      return [expr.selector];
    case 'subquery':
    case 'paren':
    case 'unary':
      return selectorsOf(expr.input);
    case 'aggregation':
      return [...(expr.parameter ? selectorsOf(expr.parameter) : []), ...selectorsOf(expr.input)];
    case 'binary':
      return [...selectorsOf(expr.left), ...selectorsOf(expr.right)];
    case 'call':
      return expr.args.flatMap(selectorsOf);
  }
}
