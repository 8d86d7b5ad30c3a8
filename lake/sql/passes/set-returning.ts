import type { Node } from 'libpg-query';
import { as, call, namesOf, plainName, type Rule, string } from '../ast.ts';
import { catalogTableFunctions } from '../catalog/functions.ts';

/** Functions that return rows of one column; DuckDB's namesakes return a list where they stand in a SELECT list. */
const rowFunctions: ReadonlySet<string> = new Set([
  'generate_series',
  'generate_subscripts',
  'regexp_split_to_table',
]);
/** Functions that DuckDB itself takes in FROM. */
const fromFunctions: ReadonlySet<string> = new Set([
  'generate_series',
  'range',
  'unnest',
  'json_each',
  'json_tree',
]);

/** Functions in FROM: the alias of one with a single column names the column too; a plain function is a row. */
export const setReturning: Rule = (node) => fromFunction(node) ?? selectedSeries(node);

function fromFunction(node: Node): Node | undefined {
  const range = as(node, 'RangeFunction');
  const found = as(as(range?.functions?.[0], 'List')?.items?.[0], 'FuncCall');
  const single = as(range?.functions?.[0], 'List')?.items?.[0];
  if (!range || !single || range.functions?.length !== 1) return undefined;
  const name = found ? (namesOf(found.funcname).at(-1) ?? '') : '';
  const aliasName = range.alias?.aliasname ?? (name || 'value');
  if (!fromFunctions.has(name)) {
    const target: Node = { ResTarget: { name: aliasName, val: single, location: -1 } };
    const subquery: Node = {
      SelectStmt: { targetList: [target], limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
    };
    return { RangeSubselect: { subquery, alias: { ...range.alias, aliasname: aliasName } } };
  }
  if (range.alias?.colnames || name.startsWith('json_') || catalogTableFunctions.has(name)) return undefined;
  return { RangeFunction: { ...range, alias: { aliasname: aliasName, colnames: [string(aliasName)] } } };
}

function selectedSeries(node: Node): Node | undefined {
  const target = as(node, 'ResTarget');
  const found = as(target?.val, 'FuncCall');
  const name = plainName(found?.funcname);
  if (!target?.val || name === undefined || !rowFunctions.has(name)) return undefined;
  return { ResTarget: { ...target, name: target.name ?? name, val: call('unnest', [target.val]) } };
}
