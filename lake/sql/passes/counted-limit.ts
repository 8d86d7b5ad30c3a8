import type { Node, SelectStmt } from 'libpg-query';
import { as } from '../ast.ts';

/** From so many rows on, the reader of the result counts them. */
const countedRowsMin = 10_000;

/**
 * Takes a large LIMIT off the outermost SELECT, for the reader to stop there. DuckDB would first look for the rows that
 * are within it, then join them with their columns and sort them, and give the first row when it has all of them: four
 * times the work, and the whole result in memory. Undefined: there is none, or one that DuckDB is good at.
 */
export function takeCountedLimit(
  statement: Node,
): { readonly select: Node; readonly rows: number } | undefined {
  const select = as(statement, 'SelectStmt');
  const rows = as(select?.limitCount, 'A_Const')?.ival?.ival ?? 0;
  if (!select || rows < countedRowsMin || select.limitOffset || select.sortClause?.length) return undefined;
  const { limitCount: _, ...rest } = select as SelectStmt;
  return { select: { SelectStmt: { ...rest, limitOption: 'LIMIT_OPTION_DEFAULT' } }, rows };
}
