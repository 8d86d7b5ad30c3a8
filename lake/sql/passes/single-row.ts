import type { Node } from 'libpg-query';
import { as, namesOf, walk } from '../ast.ts';

/** DuckDB's functions that make several rows of one. */
const severalRows = new Set(['unnest', 'unlist', 'generate_subscripts', 'regexp_split_to_table']);

/** Whether a statement whose passes are done is a SELECT that has no FROM, and so one row at most. */
export function isSingleRow(root: Node): boolean {
  const select = as(root, 'SelectStmt');
  if (!select || select.fromClause?.length || select.valuesLists?.length || select.op !== 'SETOP_NONE')
    return false;
  let isSingle = true;
  walk(root, (node) => {
    const name = namesOf(as(node, 'FuncCall')?.funcname).at(-1);
    if (name !== undefined && severalRows.has(name)) isSingle = false;
  });
  return isSingle;
}
