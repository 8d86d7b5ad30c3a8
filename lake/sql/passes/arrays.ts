import type { Node } from 'libpg-query';
import { as, plainName, type Rule, textOf } from '../ast.ts';
import { SqlError } from '../errors.ts';

export type ArrayItem = string | null | readonly ArrayItem[];

/** Array constants in PostgreSQL's own notation, `'{a,b}'`, as lists. */
export const arrays: Rule = (node) => anyOf(node) ?? castToArray(node);

/** `x = ANY('{a,b}')` is `x IN ('a', 'b')`, whose items take the type of `x` as PostgreSQL's do. */
function anyOf(node: Node): Node | undefined {
  const expression = as(node, 'A_Expr');
  const any = expression?.kind === 'AEXPR_OP_ANY';
  if (!expression || !(any || expression.kind === 'AEXPR_OP_ALL')) return undefined;
  const symbol = plainName(expression.name);
  const constant = textOf(expression.rexpr);
  if (constant === undefined || symbol !== (any ? '=' : '<>')) return undefined;
  const items = listOf(parseArray(constant), undefined);
  if (items.length === 0) return { A_Const: { boolval: { boolval: !any }, location: -1 } };
  return { A_Expr: { ...expression, kind: 'AEXPR_IN', rexpr: { List: { items } } } };
}

function castToArray(node: Node): Node | undefined {
  const cast = as(node, 'TypeCast');
  const constant = cast?.typeName?.arrayBounds ? as(cast.arg, 'A_Const') : undefined;
  if (!cast?.typeName || !constant?.sval) return undefined;
  const { arrayBounds: _, ...itemType } = cast.typeName;
  const elements = listOf(parseArray(constant.sval.sval ?? ''), itemType);
  return { TypeCast: { ...cast, arg: { A_ArrayExpr: { elements, location: cast.location ?? -1 } } } };
}

type TypeFields = NonNullable<NonNullable<ReturnType<typeof as<'TypeCast'>>>['typeName']>;

function listOf(items: readonly ArrayItem[], type: TypeFields | undefined): Node[] {
  return items.map((item): Node => {
    if (item === null) return { A_Const: { isnull: true, location: -1 } };
    if (typeof item !== 'string') return { A_ArrayExpr: { elements: listOf(item, type), location: -1 } };
    const arg: Node = { A_Const: { sval: { sval: item }, location: -1 } };
    return type ? { TypeCast: { arg, typeName: type, location: -1 } } : arg;
  });
}

/** Reads `{a,"b c",NULL,{d}}`. Throws SqlError 22P02 on anything else. */
export function parseArray(literal: string): readonly ArrayItem[] {
  let at = 0;
  const malformed = (): SqlError => new SqlError('22P02', `malformed array literal: "${literal}"`);
  const space = (): void => {
    while (/\s/.test(literal[at] ?? '')) at++;
  };
  const items = parseItems();
  space();
  if (at !== literal.length) throw malformed();
  return items;

  function parseItems(): readonly ArrayItem[] {
    const found: ArrayItem[] = [];
    space();
    if (literal[at++] !== '{') throw malformed();
    space();
    if (literal[at] === '}') {
      at++;
      return found;
    }
    for (;;) {
      space();
      found.push(literal[at] === '{' ? parseItems() : literal[at] === '"' ? quoted() : bare());
      space();
      const next = literal[at++];
      if (next === '}') return found;
      if (next !== ',') throw malformed();
    }
  }

  function quoted(): string {
    let value = '';
    for (at++; literal[at] !== '"'; at++) {
      if (literal[at] === '\\') at++;
      if (at >= literal.length) throw malformed();
      value += literal[at];
    }
    at++;
    return value;
  }

  function bare(): string | null {
    let value = '';
    for (; at < literal.length && !/[,{}"]/.test(literal[at] ?? ''); at++) {
      if (literal[at] === '\\') at++;
      value += literal[at] ?? '';
    }
    value = value.trim();
    if (value === '') throw malformed();
    return value.toUpperCase() === 'NULL' ? null : value;
  }
}
