import type { Node } from 'libpg-query';
import { as, walk } from '../ast.ts';

/**
 * DuckDB's types that parameters have in PostgreSQL because an operator has a whole number on its other side: in
 * `$1 + 1`, of which DuckDB knows nothing before it has a value.
 */
export function assumedTypes(root: Node): readonly (string | undefined)[] {
  const types: (string | undefined)[] = [];
  walk(root, (node) => {
    const { kind, lexpr, rexpr } = as(node, 'A_Expr') ?? {};
    if (kind !== 'AEXPR_OP') return;
    assume(lexpr, rexpr);
    assume(rexpr, lexpr);
  });
  return types;

  function assume(side: Node | undefined, other: Node | undefined): void {
    const number = as(side, 'ParamRef')?.number;
    if (number !== undefined && as(other, 'A_Const')?.ival) types[number - 1] ??= 'INTEGER';
  }
}
