import type { Node } from 'libpg-query';

// PostgreSQL's syntax tree as libpg-query gives it: a node is an object with one key, its tag. Values that are zero,
// false or empty are left out, so absent and zero are the same.

/** The fields of a node by its tag. */
export type Fields<K extends string> =
  Extract<Node, Record<K, unknown>> extends Record<K, infer F> ? F : never;

/** A rewrite of one node whose children are rewritten already; undefined leaves it as it is. */
export type Rule = (node: Node) => Node | undefined;

export const isNode = (value: unknown): value is Node => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length === 1 && /^[A-Z]/.test(keys[0] ?? '');
};

export const tagOf = (node: Node): string => Object.keys(node)[0] ?? '';

/** The fields of `node` if it has this tag. */
export function as<K extends string>(node: Node | undefined, tag: K): Fields<K> | undefined {
  return node === undefined ? undefined : (node as unknown as Record<K, Fields<K> | undefined>)[tag];
}

type Modification = Fields<'InsertStmt'> | Fields<'UpdateStmt'> | Fields<'DeleteStmt'>;

/** INSERT, UPDATE and DELETE; undefined for any other node. */
export function modificationOf(
  node: Node,
):
  | { readonly tag: 'InsertStmt' | 'UpdateStmt' | 'DeleteStmt'; readonly statement: Modification }
  | undefined {
  for (const tag of ['InsertStmt', 'UpdateStmt', 'DeleteStmt'] as const) {
    const statement = as(node, tag);
    if (statement) return { tag, statement };
  }
  return undefined;
}

/** What a modification gives back. */
export const returningOf = ({ returningClause }: Modification): readonly Node[] =>
  returningClause?.exprs ?? [];

/** The tree with every rule applied to every node, children first, rules in order. The input is left as it is. */
export function rewrite(root: Node, rules: readonly Rule[]): Node {
  return visit(root) as Node;

  function visit(value: unknown, key?: string): unknown {
    if (Array.isArray(value)) return value.map((item) => visit(item));
    if (typeof value !== 'object' || value === null) return value;
    const copy: Record<string, unknown> = {};
    for (const [name, child] of Object.entries(value)) copy[name] = visit(child, name);
    // The two sides of a set operation are the only statements that stand without their tag.
    if ((key === 'larg' || key === 'rarg') && !isNode(copy)) {
      return as(apply({ SelectStmt: copy } as Node), 'SelectStmt');
    }
    return isNode(copy) ? apply(copy) : copy;
  }

  function apply(node: Node): Node {
    let current = node;
    for (const rule of rules) current = rule(current) ?? current;
    return current;
  }
}

/** Calls `see` for every node, parents first. */
export function walk(root: unknown, see: (node: Node) => void): void {
  if (Array.isArray(root)) for (const item of root) walk(item, see);
  else if (typeof root === 'object' && root !== null) {
    if (isNode(root)) see(root);
    for (const child of Object.values(root)) walk(child, see);
  }
}

/** Strings of a qualified name: of functions, operators, types, columns (`*` for a star). */
export function namesOf(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map((node) => as(node, 'String')?.sval ?? (as(node, 'A_Star') ? '*' : ''));
}

/** A name without `pg_catalog.`; undefined if it has another qualifier. */
export function plainName(nodes: readonly Node[] | undefined): string | undefined {
  const names = namesOf(nodes);
  if (names.length === 2 && names[0] === 'pg_catalog') return names[1];
  return names.length === 1 ? names[0] : undefined;
}

/** The value of a string constant, also with a cast to a text type around it. */
export function textOf(node: Node | undefined): string | undefined {
  const constant = as(node, 'A_Const');
  if (constant) return constant.sval ? (constant.sval.sval ?? '') : undefined;
  const cast = as(node, 'TypeCast');
  if (cast && !cast.typeName?.arrayBounds && !cast.typeName?.typmods) {
    const type = plainName(cast.typeName?.names);
    if (type === 'text' || type === 'varchar' || type === 'name') return textOf(cast.arg);
  }
  return undefined;
}

export const string = (sval: string): Node => ({ String: { sval } });
export const text = (sval: string, location = -1): Node => ({ A_Const: { sval: { sval }, location } });
export const integer = (ival: number): Node => ({ A_Const: { ival: { ival }, location: -1 } });

/** A call; the printer writes its name as it is given, so names of Firn's macros may be qualified. */
export function call(name: string | readonly string[], args: readonly Node[], location = -1): Node {
  const funcname = (typeof name === 'string' ? [name] : name).map(string);
  return { FuncCall: { funcname, args: [...args], funcformat: 'COERCE_EXPLICIT_CALL', location } };
}

/** `arg::type`, with PostgreSQL's name of the type. */
export function castTo(arg: Node, type: string, location = -1): Node {
  return { TypeCast: { arg, typeName: { names: [string(type)], typemod: -1 }, location } };
}
