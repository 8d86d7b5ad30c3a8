import type { Node } from 'libpg-query';
import { as, call, type Fields, namesOf, plainName, string, text, textOf } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';
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
    return membership(expression, symbol);
  }
  if (expression.kind === 'AEXPR_SIMILAR') return similar(expression);
  if (expression.kind !== 'AEXPR_OP') return undefined;
  const { lexpr: left, rexpr: right } = expression;
  if (!right) return undefined;
  if (!left)
    return symbol === '|/' ? call('sqrt', [right]) : symbol === '||/' ? call('cbrt', [right]) : undefined;
  return binary(symbol, left, right, expression, position);
}

/**
 * `x = ANY(list)` as a function: DuckDB makes a subquery of ANY, which can't stand in the condition of an outer join. A
 * list with constants stays for passes/casts.ts, which makes an IN of it.
 */
function membership({ kind, lexpr, rexpr, location }: Expression, symbol: string): Node | undefined {
  const known = as(rexpr, 'ColumnRef') ?? as(rexpr, 'FuncCall');
  if (!lexpr || !rexpr || !known) return undefined;
  if (kind === 'AEXPR_OP_ANY' && symbol === '=') return call('list_contains', [rexpr, lexpr], location);
  if (kind === 'AEXPR_OP_ALL' && symbol === '<>') return not(call('list_contains', [rexpr, lexpr], location));
  return undefined;
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
    case '||':
      return listPlusItem(left, right);
    case '%':
      return divided(expression, symbol, left, right);
    case '#':
      return call('xor', [left, right], location);
    case '/':
      // Of two integers PostgreSQL's quotient is an integer, DuckDB's is not.
      return divided(expression, isInteger(left) && isInteger(right) ? '//' : '/', left, right);
    default:
      return undefined;
  }
}

/** A division by zero is an error; a divisor that is a constant is seen not to be zero. */
function divided(expression: Expression, symbol: string, left: Node, right: Node): Node | undefined {
  const constant = as(as(right, 'TypeCast')?.arg ?? right, 'A_Const');
  const number = constant?.ival?.ival ?? Number(constant?.fval?.fval ?? Number.NaN);
  const safe = (constant?.ival || constant?.fval) && number !== 0 && constant.ival?.ival !== undefined;
  const known = safe || (constant?.fval && number !== 0) || textOf(right) !== undefined;
  const rexpr = known ? right : call([catalogSchema, 'nonzero'], [right]);
  return { A_Expr: { ...expression, name: [string(symbol)], lexpr: left, rexpr } };
}

/** `array || element` and `element || array`, where it can be seen which is which. */
function listPlusItem(left: Node, right: Node): Node | undefined {
  if (isList(left) && isScalar(right)) return call('list_append', [left, right]);
  if (isScalar(left) && isList(right)) return call('list_prepend', [left, right]);
  return undefined;
}

const isList = (node: Node): boolean =>
  as(node, 'A_ArrayExpr') !== undefined || (as(node, 'TypeCast')?.typeName?.arrayBounds?.length ?? 0) > 0;
const isScalar = (node: Node): boolean =>
  as(node, 'A_Const') !== undefined ||
  (as(node, 'TypeCast') !== undefined && !as(node, 'TypeCast')?.typeName?.arrayBounds);

/** SIMILAR TO with a constant pattern, as a regular expression that the whole text must match. */
function similar({ name, lexpr, rexpr, location = -1 }: Expression): Node | undefined {
  const pattern = textOf(as(rexpr, 'FuncCall')?.args?.[0]);
  if (!lexpr || pattern === undefined || as(rexpr, 'FuncCall')?.args?.length !== 1) return undefined;
  const regex = pattern.replaceAll(/\\[\s\S]|\[[^\]]*\]|[%_.^$]/g, (part) =>
    part === '%' ? '.*' : part === '_' ? '.' : part.length > 1 ? part : `\\${part}`,
  );
  const matched = call('regexp_full_match', [lexpr, text(regex), text('s')], location);
  return plainName(name) === '!~' ? not(matched) : matched;
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
