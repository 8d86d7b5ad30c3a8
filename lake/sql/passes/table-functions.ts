import type { Node } from 'libpg-query';
import { as, call, type Fields, namesOf, string, walk } from '../ast.ts';
import { catalogTableFunctions } from '../catalog/functions.ts';

/**
 * Functions in FROM. PostgreSQL lets any function stand there; one that is no table to DuckDB becomes a subquery of one
 * row. A function with one column is a table whose column has the table's alias as its name.
 */
export function tableFunctionRule(node: Node): Node | undefined {
  const range = as(node, 'RangeFunction');
  const first = as(range?.functions?.[0], 'List')?.items?.[0];
  if (!range || !first || range.functions?.length !== 1 || range.is_rowsfrom || range.coldeflist)
    return undefined;
  const name = namesOf(as(first, 'FuncCall')?.funcname).at(-1);
  if (name !== undefined && catalogTableFunctions.has(name)) return undefined;
  const shown = name === undefined || name === 'unnest' ? originalName(first) : name;
  const alias = range.alias?.aliasname ?? shown;
  // PostgreSQL's elements of JSON are a column `value`; under an alias they are more often called by that.
  const column = namesOf(range.alias?.colnames)[0] ?? alias;
  if (name === 'unnest') return listRows(range, first, alias, column);
  const target = { ResTarget: { name: column, val: first, location: -1 } };
  return {
    RangeSubselect: {
      lateral: true,
      subquery: {
        SelectStmt: { targetList: [target], limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
      } as Node,
      alias: { aliasname: alias },
    },
  };
}

const names: Readonly<Record<string, string>> = {
  series: 'generate_series',
  json_extract: 'value',
  json_extract_string: 'value',
  json_keys: 'json_object_keys',
};

/** What the function was called before it became the elements of a list. */
function originalName(node: Node): string {
  const inner = namesOf(as(as(node, 'FuncCall')?.args?.[0], 'FuncCall')?.funcname).at(-1);
  return names[inner ?? ''] ?? 'unnest';
}

function listRows(range: Fields<'RangeFunction'>, first: Node, alias: string, column: string): Node {
  const lists = as(first, 'FuncCall')?.args ?? [];
  if (lists.length > 1) return zipped(range, lists, alias);
  const [list] = lists;
  const series = as(list, 'FuncCall');
  const colnames = range.alias?.colnames ?? [string(column)];
  // As a table function a series is made bit by bit, as a list all at once; but only a list may depend on other tables.
  const streamed = namesOf(series?.funcname).at(-1) === 'series' && !hasColumns(series?.args ?? []);
  const items: Node[] = [streamed ? call('generate_series', series?.args ?? [], series?.location) : first];
  return {
    RangeFunction: {
      ...range,
      functions: [{ List: { items } }],
      alias: { ...range.alias, aliasname: alias, colnames },
    },
  };
}

/** Several lists side by side, NULL where one is shorter. */
function zipped(range: Fields<'RangeFunction'>, lists: readonly Node[], alias: string): Node {
  const isPairs = namesOf(as(lists[0], 'FuncCall')?.funcname).at(-1) === 'json_keys';
  const names = namesOf(range.alias?.colnames);
  const shown = isPairs ? ['key', 'value'] : lists.map(() => 'unnest');
  const targetList = lists.map(
    (list, index): Node => ({
      ResTarget: {
        name: names[index] ?? shown[index] ?? 'unnest',
        val: call('unnest', [list]),
        location: -1,
      },
    }),
  );
  const aliasname = range.alias?.aliasname ?? (isPairs ? 'json_each' : alias);
  return {
    RangeSubselect: {
      lateral: true,
      subquery: {
        SelectStmt: { targetList, limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
      } as Node,
      alias: { aliasname },
    },
  };
}

function hasColumns(nodes: readonly Node[]): boolean {
  let found = false;
  walk(nodes, (node) => {
    if (as(node, 'ColumnRef') || as(node, 'SubLink')) found = true;
  });
  return found;
}
