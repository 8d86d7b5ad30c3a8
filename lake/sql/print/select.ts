import type { Alias, Node, SelectStmt } from 'libpg-query';
import type { TableName } from '../../model/table-name.ts';
import { as, type Fields, namesOf, tagOf } from '../ast.ts';
import { notSupported } from '../errors.ts';
import { languageSchema } from '../passes/language-calls.ts';
import { sortClause, windowDefinition } from './call.ts';
import { identifier } from './expression.ts';
import type { Printer } from './printer.ts';

/** The schema that passes/relations.ts gives to Firn's own tables; a reference to it becomes a hole. */
export const tableSchema = 'firn_public';
/** The same for tables that a tenant loaded itself. */
export const userTableSchema = 'firn_user';
/** And for temporary tables of the session. */
export const tempTableSchema = 'firn_temp';

export function printSelect(p: Printer, select: SelectStmt): void {
  if (select.withClause) withClause(p, select.withClause);
  if (select.intoClause) throw notSupported('SELECT INTO');
  if (select.larg || select.rarg) setOperation(p, select);
  else if (select.valuesLists) {
    // PostgreSQL calls the columns column1, column2, ...
    const width = as(select.valuesLists[0], 'List')?.items?.length ?? 0;
    p.text('SELECT * FROM (VALUES ');
    select.valuesLists.forEach((row, index) => {
      p.list(index > 0 ? ', (' : '(', as(row, 'List')?.items ?? [], ', ', ')');
    });
    p.text(`) AS v(${Array.from({ length: width }, (_, index) => `column${index + 1}`).join(', ')})`);
  } else selectBody(p, select);
  sortClause(p, ' ORDER BY ', select.sortClause);
  if (select.limitOption === 'LIMIT_OPTION_WITH_TIES') throw notSupported('WITH TIES');
  if (select.limitCount && !as(select.limitCount, 'A_Const')?.isnull)
    p.wrap(' LIMIT ', select.limitCount, '');
  if (select.limitOffset) p.wrap(' OFFSET ', select.limitOffset, '');
  // FOR UPDATE and FOR SHARE lock rows that nobody can write here, so they change nothing.
}

export function withClause(
  p: Printer,
  { ctes = [], recursive }: NonNullable<SelectStmt['withClause']>,
): void {
  p.text(recursive ? 'WITH RECURSIVE ' : 'WITH ');
  ctes.forEach((node, index) => {
    const cte = as(node, 'CommonTableExpr');
    if (index > 0) p.text(', ');
    if (cte?.search_clause || cte?.cycle_clause)
      throw notSupported('SEARCH and CYCLE', p.positionOf(cte.location));
    p.text(`${identifier(cte?.ctename ?? '')}${columnNames(cte?.aliascolnames)} AS `);
    if (cte?.ctematerialized === 'CTEMaterializeAlways') p.text('MATERIALIZED ');
    if (cte?.ctematerialized === 'CTEMaterializeNever') p.text('NOT MATERIALIZED ');
    p.text('(');
    p.select(as(cte?.ctequery, 'SelectStmt'));
    p.text(')');
  });
  p.text(' ');
}

function setOperation(p: Printer, { op, all, larg, rarg }: SelectStmt): void {
  p.text('(');
  p.select(larg);
  const word = op === 'SETOP_UNION' ? 'UNION' : op === 'SETOP_INTERSECT' ? 'INTERSECT' : 'EXCEPT';
  p.text(`) ${word}${all ? ' ALL' : ''} (`);
  p.select(rarg);
  p.text(')');
}

function selectBody(p: Printer, select: SelectStmt): void {
  p.text('SELECT ');
  if (select.distinctClause) {
    const on = select.distinctClause.filter((node) => Object.keys(node).length > 0);
    if (on.length > 0) p.list('DISTINCT ON (', on, ', ', ') ');
    else p.text('DISTINCT ');
  }
  (select.targetList ?? []).forEach((node, index) => {
    const target = as(node, 'ResTarget');
    if (index > 0) p.text(', ');
    p.expression(target?.val);
    if (target?.name !== undefined) p.text(` AS ${identifier(target.name)}`);
    else if (target?.indirection) excludeColumns(p, target.indirection);
  });
  if (!select.targetList) throw notSupported('SELECT without columns');
  (select.fromClause ?? []).forEach((node, index) => {
    p.text(index > 0 ? ', ' : ' FROM ');
    fromItem(p, node);
  });
  if (select.whereClause) p.wrap(' WHERE ', select.whereClause, '');
  if (select.groupClause) {
    p.text(' GROUP BY ');
    grouping(p, select.groupClause);
  }
  if (select.havingClause) p.wrap(' HAVING ', select.havingClause, '');
  (select.windowClause ?? []).forEach((node, index) => {
    const window = as(node, 'WindowDef');
    p.text(`${index > 0 ? ', ' : ' WINDOW '}${identifier(window?.name ?? '')} AS `);
    if (window) windowDefinition(p, window);
  });
}

/** A star that leaves columns out (passes/aliases.ts says which, as column references). */
function excludeColumns(p: Printer, columns: readonly Node[]): void {
  p.list(' EXCLUDE (', columns, ', ', ')');
}

function grouping(p: Printer, items: readonly Node[]): void {
  items.forEach((item, index) => {
    if (index > 0) p.text(', ');
    const set = as(item, 'GroupingSet');
    const content = set?.content ?? [];
    if (!set) p.expression(item);
    else if (set.kind === 'GROUPING_SET_ROLLUP') p.list('ROLLUP (', content, ', ', ')');
    else if (set.kind === 'GROUPING_SET_CUBE') p.list('CUBE (', content, ', ', ')');
    else if (set.kind === 'GROUPING_SET_SETS') groupingSets(p, content);
    else p.text('()');
  });
}

function groupingSets(p: Printer, sets: readonly Node[]): void {
  p.text('GROUPING SETS (');
  sets.forEach((set, index) => {
    if (index > 0) p.text(', ');
    const row = as(set, 'RowExpr');
    if (row) p.list('(', row.args ?? [], ', ', ')');
    else if (as(set, 'GroupingSet')) grouping(p, [set]);
    else p.wrap('(', set, ')');
  });
  p.text(')');
}

export function fromItem(p: Printer, node: Node | undefined): void {
  const table = as(node, 'RangeVar');
  const subselect = as(node, 'RangeSubselect');
  const join = as(node, 'JoinExpr');
  const call = as(node, 'RangeFunction');
  if (table) {
    p.mark(table.location);
    if (table.schemaname === tableSchema)
      p.hole({ kind: 'table', table: table.relname as TableName, location: table.location });
    else if (table.schemaname === userTableSchema) p.hole({ kind: 'user-table', name: table.relname ?? '' });
    else if (table.schemaname === tempTableSchema) p.hole({ kind: 'temp-table', name: table.relname ?? '' });
    else if (table.schemaname === languageSchema) p.hole({ kind: 'language', index: Number(table.relname) });
    else
      p.text(
        [table.schemaname, table.relname]
          .filter((name) => name)
          .map((name) => identifier(name ?? ''))
          .join('.'),
      );
    alias(p, table.alias ?? { aliasname: table.relname ?? '' });
  } else if (subselect) {
    p.text(subselect.lateral ? 'LATERAL (' : '(');
    p.select(as(subselect.subquery, 'SelectStmt'));
    p.text(')');
    alias(p, subselect.alias);
  } else if (join) joined(p, join);
  else if (call) tableFunction(p, call);
  else throw notSupported(node === undefined ? 'an empty FROM' : `${tagOf(node)} in FROM`);
}

function tableFunction(p: Printer, call: Fields<'RangeFunction'>): void {
  const functions = call.functions ?? [];
  if (call.is_rowsfrom || functions.length !== 1 || call.coldeflist) throw notSupported('ROWS FROM');
  if (call.lateral) p.text('LATERAL ');
  p.expression(as(functions[0], 'List')?.items?.[0]);
  if (call.ordinality) p.text(' WITH ORDINALITY');
  alias(p, call.alias);
}

function joined(p: Printer, join: Fields<'JoinExpr'>): void {
  const kinds: Record<string, string> = { JOIN_LEFT: 'LEFT ', JOIN_RIGHT: 'RIGHT ', JOIN_FULL: 'FULL ' };
  const cross = join.jointype === 'JOIN_INNER' && !join.quals && !join.usingClause && !join.isNatural;
  if (join.alias || join.join_using_alias) throw notSupported('an alias of a join');
  p.text('(');
  fromItem(p, join.larg);
  p.text(
    cross ? ' CROSS JOIN ' : ` ${join.isNatural ? 'NATURAL ' : ''}${kinds[join.jointype ?? ''] ?? ''}JOIN `,
  );
  fromItem(p, join.rarg);
  if (join.usingClause) p.text(` USING (${namesOf(join.usingClause).map(identifier).join(', ')})`);
  if (join.quals) p.wrap(' ON ', join.quals, '');
  p.text(')');
}

function alias(p: Printer, name: Alias | undefined): void {
  if (name) p.text(` AS ${identifier(name.aliasname ?? '')}${columnNames(name.colnames)}`);
}

function columnNames(names: readonly Node[] | undefined): string {
  return names ? `(${namesOf(names).map(identifier).join(', ')})` : '';
}
