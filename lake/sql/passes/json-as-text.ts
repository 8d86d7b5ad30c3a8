import type { Node } from 'libpg-query';
import { as, namesOf, walk } from '../ast.ts';
import { jsonColumns } from '../tables.ts';

const extractions = new Set(['json_extract', 'json_extract_string']);

/**
 * Whether a statement whose passes are done mentions columns of JSON only where something is extracted from them, or as
 * columns of its result. Then they may as well be text: to DuckDB a cast to JSON is reading the whole document, which
 * extracting does again, and which was done before the row was stored.
 */
export function needsNoJson(root: Node): boolean {
  const free = new Set(resultColumns(root));
  const rows = new Set<string>();
  const columns: string[][] = [];
  let isClear = true;
  // A call is seen before its arguments.
  walk(root, (node) => {
    const call = as(node, 'FuncCall');
    const [name = '', ...more] = namesOf(call?.funcname);
    if (more.length === 0 && extractions.has(name) && call?.args?.[0]) free.add(call.args[0]);
    const table = as(node, 'RangeVar');
    if (table) rows.add((table.alias?.aliasname ?? table.relname ?? '').toLowerCase());
    const join = as(node, 'JoinExpr');
    // Under another name a column can't be followed.
    if (table?.alias?.colnames || join?.isNatural || join?.usingClause) isClear = false;
    const column = as(node, 'ColumnRef');
    if (!column) return;
    const names = namesOf(column.fields).map((each) => each.toLowerCase());
    columns.push(names);
    if (!free.has(node) && names.some((each) => each === '*' || jsonColumns.has(each))) isClear = false;
  });
  // A table's name alone is a whole row of it.
  return isClear && !columns.some((names) => names.length === 1 && rows.has(names[0] ?? ''));
}

/** Those of the outermost SELECT that are columns of tables as they are. */
function resultColumns(root: Node): Node[] {
  const select = as(root, 'SelectStmt');
  if (select?.op !== 'SETOP_NONE') return [];
  return (select.targetList ?? []).flatMap((target) => as(target, 'ResTarget')?.val ?? []);
}
