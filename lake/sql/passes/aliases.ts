import type { Node, SelectStmt } from 'libpg-query';
import { type TableName, tableNames } from '../../model/table-name.ts';
import { as, namesOf, type Rule, string } from '../ast.ts';
import { tableSchema } from '../print/select.ts';
import { columnAliases } from '../tables.ts';

/** `*` and `t.*` leave out second names of columns (`time`, `message`, ...): each column comes once. Runs after relations. */
export const aliasRules: readonly Rule[] = [
  (node) => {
    const select = as(node, 'SelectStmt');
    if (!select?.targetList?.some(isStar)) return undefined;
    const tables = tablesOf(select.fromClause ?? []);
    if (tables.length === 0) return undefined;
    const targetList = select.targetList.map((target) =>
      isStar(target) ? withoutAliases(target, tables) : target,
    );
    return { SelectStmt: { ...(select as SelectStmt), targetList } } as Node;
  },
];

interface NamedTable {
  readonly table: TableName;
  readonly alias: string;
}

const starOf = (node: Node): string[] => namesOf(as(as(node, 'ResTarget')?.val, 'ColumnRef')?.fields);
const isStar = (node: Node): boolean => starOf(node).at(-1) === '*';

function tablesOf(from: readonly Node[]): NamedTable[] {
  return from.flatMap((node): NamedTable[] => {
    const join = as(node, 'JoinExpr');
    if (join) return tablesOf([join.larg, join.rarg].filter((side) => side !== undefined));
    const table = as(node, 'RangeVar');
    const signal = tableNames.find((name) => name === table?.relname);
    if (table?.schemaname !== tableSchema || !signal) return [];
    return [{ table: signal, alias: table.alias?.aliasname ?? signal }];
  });
}

function withoutAliases(target: Node, tables: readonly NamedTable[]): Node {
  const qualifier = starOf(target).at(-2);
  const meant = qualifier === undefined ? tables : tables.filter(({ alias }) => alias === qualifier);
  const names = new Set(meant.flatMap(({ table }) => Object.keys(columnAliases[table])));
  if (names.size === 0) return target;
  const indirection = [...names].map(
    (name): Node => ({ ColumnRef: { fields: [string(name)], location: -1 } }),
  );
  return { ResTarget: { ...as(target, 'ResTarget'), indirection } } as Node;
}
