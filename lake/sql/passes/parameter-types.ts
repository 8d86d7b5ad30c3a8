import type { Node } from 'libpg-query';
import { as, plainName, walk } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { printType } from '../print/types.ts';

/**
 * DuckDB's types of $1, $2, ... where the statement's syntax says them as it does to PostgreSQL: `$1::float8`, and `$1 + 1`. What
 * the client has declared comes first.
 */
export function parameterTypesOf(
  root: Node,
  declared: readonly (string | null)[],
): readonly (string | null)[] {
  const types = [...declared];
  const learn = (node: Node | undefined, type: () => string | undefined): void => {
    const index = (as(node, 'ParamRef')?.number ?? 0) - 1;
    if (index >= 0) types[index] ??= type() ?? null;
  };
  walk(root, (node) => {
    const cast = as(node, 'TypeCast');
    learn(cast?.arg, () => typeOf(cast?.typeName));
    const operation = as(node, 'A_Expr');
    if (operation?.kind !== 'AEXPR_OP' || !/^[-+*/%]$/.test(plainName(operation.name) ?? '')) return;
    const { lexpr, rexpr } = operation;
    if (as(rexpr, 'A_Const')?.ival) learn(lexpr, () => 'INTEGER');
    if (as(lexpr, 'A_Const')?.ival) learn(rexpr, () => 'INTEGER');
  });
  return Array.from(types, (type) => type ?? null);
}

/** Undefined for a type that is none of DuckDB's, as regclass. */
function typeOf(name: Parameters<typeof printType>[0]): string | undefined {
  try {
    return printType(name, () => undefined).type;
  } catch (error) {
    if (error instanceof SqlError) return undefined;
    throw error;
  }
}
