import type { Node } from 'libpg-query';
import { as, call, type Fields, namesOf, plainName, string, text, textOf } from '../ast.ts';
import { notSupported } from '../errors.ts';
import { arrayElements } from './arrays.ts';
import { isInteger } from './integers.ts';
import { jsonPathOf, jsonStep } from './json-path.ts';

type Expression = Fields<'A_Expr'>;

const not = (node: Node): Node => ({ BoolExpr: { boolop: 'NOT_EXPR', args: [node], location: -1 } });

/** PostgreSQL's operators whose symbol means something else to DuckDB, or nothing. */
export function operatorRule(
  node: Node,
  positionOf: (location: number | undefined) => number | undefined,
): Node | undefined {
  const expression = as(node, 'A_Expr');
  const symbol = plainName(expression?.name);
  if (!expression || symbol === undefined) return undefined;
  const position = positionOf(expression.location);
  if (expression.kind === 'AEXPR_OP_ANY' || expression.kind === 'AEXPR_OP_ALL') {
    if (/^!?~\*?$/.test(symbol)) throw notSupported(`${symbol} with ANY or ALL`, position);
    return undefined;
  }
  if (expression.kind !== 'AEXPR_OP') return undefined;
  const { lexpr: left, rexpr: right } = expression;
  if (!right) return undefined;
  if (!left)
    return symbol === '|/' ? call('sqrt', [right]) : symbol === '||/' ? call('cbrt', [right]) : undefined;
  return binary(symbol, left, right, expression, position);
}

function binary(
  symbol: string,
  left: Node,
  right: Node,
  expression: Expression,
  position: number | undefined,
): Node | undefined {
  const { location = -1 } = expression;
  switch (symbol) {
    // PostgreSQL searches, DuckDB's own `~` wants the whole text to match.
    case '~':
      return call('regexp_matches', [left, right], location);
    case '~*':
      return call('regexp_matches', [left, right, text('i')], location);
    case '!~':
      return not(call('regexp_matches', [left, right], location));
    case '!~*':
      return not(call('regexp_matches', [left, right, text('i')], location));
    case '~~':
    case '!~~':
      return { A_Expr: { ...expression, kind: 'AEXPR_LIKE', name: [string(symbol)] } };
    case '~~*':
    case '!~~*':
      return { A_Expr: { ...expression, kind: 'AEXPR_ILIKE', name: [string(symbol)] } };
    case '->':
      return call('json_extract', [left, jsonStep(right)], location);
    case '->>':
      return call('json_extract_string', [left, jsonStep(right)], location);
    case '#>':
      return call('json_extract', [left, pathOf(right, symbol, position)], location);
    case '#>>':
      return call('json_extract_string', [left, pathOf(right, symbol, position)], location);
    case '?':
      return call('json_exists', [left, jsonStep(right)], location);
    case '?|':
    case '?&':
      return keysExist(symbol, left, right, position);
    case '@>':
      return isJson(left) || isJson(right) ? call('json_contains', [left, right], location) : undefined;
    case '<@':
      return isJson(left) || isJson(right) ? call('json_contains', [right, left], location) : undefined;
    case '#':
      return call('xor', [left, right], location);
    case '/':
      // Of two integers PostgreSQL's quotient is an integer, DuckDB's is not.
      return isInteger(left) && isInteger(right)
        ? { A_Expr: { ...expression, name: [string('//')] } }
        : undefined;
    default:
      return undefined;
  }
}

function pathOf(node: Node, symbol: string, position: number | undefined): Node {
  const steps = arrayElements(node)?.map((step) => step ?? '');
  if (!steps) throw notSupported(`${symbol} with a path that is not constant`, position);
  return text(jsonPathOf(steps));
}

function keysExist(symbol: string, left: Node, right: Node, position: number | undefined): Node {
  const keys = arrayElements(right);
  if (!keys) throw notSupported(`${symbol} with keys that are not constant`, position);
  const args = keys.map((key) => call('json_exists', [left, jsonStep(text(key ?? ''))]));
  const boolop = symbol === '?|' ? 'OR_EXPR' : 'AND_EXPR';
  const otherwise = text(symbol === '?|' ? 'f' : 't');
  const [first = otherwise, ...others] = args;
  return others.length === 0 ? first : { BoolExpr: { boolop, args, location: -1 } };
}

/** By its looks: a cast to JSON, a column that holds JSON, or text that is a JSON object. */
function isJson(node: Node): boolean {
  const type = plainName(as(node, 'TypeCast')?.typeName?.names);
  if (type === 'json' || type === 'jsonb') return true;
  if (/^\s*\{\s*("|\}$)/.test(textOf(node) ?? '')) return true;
  return /^(labels|attributes)$/.test(namesOf(as(node, 'ColumnRef')?.fields).at(-1) ?? '');
}
