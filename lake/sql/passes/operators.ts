import type { Node } from 'libpg-query';
import { as, call, namesOf, type Rule, string, text, textOf } from '../ast.ts';
import { catalogSchema } from '../names.ts';
import { parseArray } from './arrays.ts';

/** Operators that DuckDB lacks, or reads in another way. Those qualified by pg_catalog lose the qualifier. */
export const operators: Rule = (node) => {
  const expression = as(node, 'A_Expr');
  if (expression?.kind !== 'AEXPR_OP' || !expression.rexpr) return undefined;
  const names = namesOf(expression.name);
  if (names.length > 1 && names[0] !== 'pg_catalog') return undefined;
  const symbol = names.at(-1) ?? '';
  const { lexpr: left, rexpr: right, location } = expression;
  if (left) {
    const rewritten = binary(symbol, left, right, location);
    if (rewritten) return rewritten;
  }
  return names.length > 1 ? { A_Expr: { ...expression, name: [string(symbol)] } } : undefined;
};

function binary(symbol: string, left: Node, right: Node, location: number | undefined): Node | undefined {
  switch (symbol) {
    // DuckDB's own `~` wants the whole text to match, and its `!~` and `~*` differ likewise.
    case '~':
      return call('regexp_matches', [left, right], location);
    case '~*':
      return call('regexp_matches', [left, right, text('i')], location);
    case '!~':
      return not(call('regexp_matches', [left, right], location));
    case '!~*':
      return not(call('regexp_matches', [left, right, text('i')], location));
    // Integers divide to an integer here, to a double in DuckDB.
    case '/':
      return call([catalogSchema, 'div'], [left, right], location);
    case '#':
      return call('xor', [left, right], location);
    case '->':
    case '->>':
      return jsonStep(symbol, left, right, location);
    case '#>':
    case '#>>': {
      const path = textOf(right);
      if (path === undefined) return undefined;
      const steps = parseArray(path).map((step) => (typeof step === 'string' ? pathStep(step) : ''));
      const name = symbol === '#>' ? 'json_extract' : 'json_extract_string';
      return call(name, [left, text(`$${steps.join('')}`)], location);
    }
    default:
      return undefined;
  }
}

/** DuckDB reads a key that starts with `$` or `/`, or is `*`, as a path; as a quoted step it is only a key. */
function jsonStep(symbol: string, left: Node, right: Node, location: number | undefined): Node | undefined {
  const key = textOf(right);
  if (key === undefined) return undefined;
  return {
    A_Expr: {
      kind: 'AEXPR_OP',
      name: [string(symbol)],
      lexpr: left,
      rexpr: text(`$."${escapeKey(key)}"`, as(right, 'A_Const')?.location),
      ...(location === undefined ? {} : { location }),
    },
  };
}

const escapeKey = (key: string): string => key.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
const pathStep = (step: string): string => (/^-?\d+$/.test(step) ? `[${step}]` : `."${escapeKey(step)}"`);
const not = (arg: Node): Node => ({ BoolExpr: { boolop: 'NOT_EXPR', args: [arg], location: -1 } });
