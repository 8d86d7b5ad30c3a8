import type { Node } from 'libpg-query';
import { as, namesOf, walk } from '../ast.ts';
import { jsonColumns } from '../tables.ts';

const extractions = new Set(['json_extract', 'json_extract_string']);

/**
 * Whether a statement whose passes are done mentions columns of JSON only where something is extracted from them. Then they
 * may as well be text: to DuckDB a cast to JSON is reading the whole document, which extracting does again.
 */
export function onlyExtractsJson(root: Node): boolean {
  const extracted = new Set<Node | undefined>();
  const rows = new Set<string>();
  const columns: string[][] = [];
  let only = true;
  // A call is seen before its arguments.
  walk(root, (node) => {
    const call = as(node, 'FuncCall');
    const [name = '', ...more] = namesOf(call?.funcname);
    if (more.length === 0 && extractions.has(name)) extracted.add(call?.args?.[0]);
    const table = as(node, 'RangeVar');
    if (table) rows.add((table.alias?.aliasname ?? table.relname ?? '').toLowerCase());
    const join = as(node, 'JoinExpr');
    // Under another name a column can't be followed.
    if (table?.alias?.colnames || join?.isNatural || join?.usingClause) only = false;
    const column = as(node, 'ColumnRef');
    if (column && !extracted.has(node))
      columns.push(namesOf(column.fields).map((each) => each.toLowerCase()));
  });
  const isWhole = (names: readonly string[]): boolean =>
    names.some((name) => name === '*' || jsonColumns.has(name)) ||
    // A table's name alone is a whole row of it.
    (names.length === 1 && rows.has(names[0] ?? ''));
  return only && !columns.some(isWhole);
}
