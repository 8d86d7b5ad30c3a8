import type { Node } from 'libpg-query';
import { as, textOf } from '../ast.ts';

/** The elements of a constant array, `'{a,"b c",NULL}'` or `ARRAY['a']`, also with a cast around; undefined for others. */
export function arrayElements(node: Node | undefined): readonly (string | null)[] | undefined {
  const list = as(node, 'A_ArrayExpr');
  if (list) {
    const texts = (list.elements ?? []).map(elementOf);
    return texts.every((element) => element !== undefined) ? texts : undefined;
  }
  const cast = as(node, 'TypeCast');
  if (cast) return cast.typeName?.arrayBounds ? arrayElements(cast.arg) : undefined;
  const input = textOf(node);
  return input === undefined ? undefined : parseArray(input);
}

function elementOf(node: Node): string | null | undefined {
  const constant = as(node, 'A_Const');
  if (constant?.isnull) return null;
  if (constant?.ival) return String(constant.ival.ival ?? 0);
  return constant?.fval?.fval ?? textOf(node);
}

/** The text of a one-dimensional array of PostgreSQL's. Undefined when it is none. */
export function parseArray(input: string): readonly (string | null)[] | undefined {
  const inner = /^\s*\{([\s\S]*)\}\s*$/.exec(input)?.[1];
  if (inner === undefined) return undefined;
  if (inner.trim() === '') return [];
  const elements: (string | null)[] = [];
  const element = /\s*(?:"((?:[^"\\]|\\[\s\S])*)"|((?:[^",{}\\]|\\[\s\S])+))\s*(,|$)/y;
  for (;;) {
    const match = element.exec(inner);
    if (!match) return undefined;
    const [, quoted, bare = '', end] = match;
    const plain = (text: string): string => text.replace(/\\([\s\S])/g, '$1');
    if (quoted !== undefined) elements.push(plain(quoted));
    else elements.push(bare.trim().toUpperCase() === 'NULL' ? null : plain(bare.trim()));
    if (end === '') return elements;
  }
}
