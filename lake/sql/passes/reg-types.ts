import type { Node } from 'libpg-query';
import { as, call, namesOf, plainName, type Rule, textOf } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';

// PostgreSQL's reg* types are object ids that print as names. DuckDB has no such type, so an expression is one or the
// other here: a text cast to regclass becomes the id, an id cast to it becomes the name, as a client would see it.

const kinds = ['regclass', 'regtype', 'regproc', 'regprocedure', 'regnamespace', 'regrole'] as const;
type Kind = (typeof kinds)[number];

export const regTypes: Rule = (node) => {
  const cast = as(node, 'TypeCast');
  if (!cast?.arg || cast.typeName?.arrayBounds) return undefined;
  const type = plainName(cast.typeName?.names) ?? '';
  const inner = regCallOf(cast.arg);
  if (inner) {
    if (type === 'oid' || type === inner.kind || type === 'int4' || type === 'int8') {
      return inner.gives === 'id' || type === inner.kind ? cast.arg : inner.arg;
    }
    return inner.gives === 'id' ? nameOf(inner.kind, cast.arg) : undefined;
  }
  const kind = kinds.find((name) => name === type);
  if (!kind) return undefined;
  const constant = textOf(cast.arg);
  if (constant !== undefined && /^\d+$/.test(constant))
    return nameOf(kind, { A_Const: { fval: { fval: constant }, location: -1 } });
  return givesText(cast.arg)
    ? call([catalogSchema, `${macroOf(kind)}_oid`], [cast.arg], cast.location)
    : nameOf(kind, cast.arg);
};

/** In a result an id shows as its name. */
export const regResults: Rule = (node) => {
  const target = as(node, 'ResTarget');
  const reg = target?.val ? regCallOf(target.val) : undefined;
  if (!target?.val || reg?.gives !== 'id') return undefined;
  return { ResTarget: { ...target, val: nameOf(reg.kind, target.val) } };
};

const macroOf = (kind: Kind): string => (kind === 'regprocedure' ? 'regproc' : kind);

const nameOf = (kind: Kind, id: Node): Node => call([catalogSchema, `${macroOf(kind)}_name`], [id]);

function regCallOf(node: Node): { kind: Kind; gives: 'id' | 'name'; arg: Node } | undefined {
  const found = as(node, 'FuncCall');
  const [schema, name = ''] = namesOf(found?.funcname);
  const [, kind, gives] = /^(reg[a-z]+)_(oid|name)$/.exec(name) ?? [];
  const arg = found?.args?.[0];
  const known = kinds.find((candidate) => candidate === kind);
  if (schema !== catalogSchema || !known || !arg) return undefined;
  return { kind: known, gives: gives === 'oid' ? 'id' : 'name', arg };
}

function givesText(node: Node): boolean {
  if (textOf(node) !== undefined || as(node, 'FuncCall') || as(node, 'ParamRef')) return true;
  const operator = as(node, 'A_Expr');
  if (operator) return plainName(operator.name) === '||';
  const cast = as(node, 'TypeCast');
  return cast !== undefined && ['text', 'varchar', 'name'].includes(plainName(cast.typeName?.names) ?? '');
}
