import type { Node, RangeVar, WithClause } from 'libpg-query';
import { as, type Fields } from '../ast.ts';
import { notSupported } from '../errors.ts';
import { identifier } from './expression.ts';
import type { Printer } from './printer.ts';
import { fromItem, withClause } from './select.ts';

// INSERT, UPDATE and DELETE. Their table is a temporary one, which statements/modify.ts has made sure of.

/** Prints the statement; false when it is none of these. */
export function printModification(p: Printer, node: Node): boolean {
  const insert = as(node, 'InsertStmt');
  const update = as(node, 'UpdateStmt');
  const remove = as(node, 'DeleteStmt');
  if (insert) printInsert(p, insert);
  else if (update) printUpdate(p, update);
  else if (remove) printDelete(p, remove);
  return insert !== undefined || update !== undefined || remove !== undefined;
}

function printInsert(p: Printer, statement: Fields<'InsertStmt'>): void {
  target(p, statement.withClause, 'INSERT INTO ', statement.relation);
  const columns = (statement.cols ?? []).map((node) => as(node, 'ResTarget')?.name ?? '');
  if (columns.length > 0) p.text(` (${columns.map(identifier).join(', ')})`);
  const select = as(statement.selectStmt, 'SelectStmt');
  if (!select) p.text(' DEFAULT VALUES');
  else if (select.valuesLists && !select.sortClause && !select.limitCount && !select.withClause) {
    // As they are, so that DEFAULT may stand among them and parameters get the columns' types.
    select.valuesLists.forEach((row, index) => {
      p.text(index > 0 ? ', (' : ' VALUES (');
      (as(row, 'List')?.items ?? []).forEach((value, place) => {
        if (place > 0) p.text(', ');
        valueOrDefault(p, value);
      });
      p.text(')');
    });
  } else {
    p.text(' ');
    p.select(select);
  }
  const conflict = statement.onConflictClause;
  if (conflict) onConflict(p, conflict);
  returning(p, statement.returningClause?.exprs);
}

type ConflictClause = NonNullable<Fields<'InsertStmt'>['onConflictClause']>;

function onConflict(p: Printer, { action, infer, targetList, whereClause, location }: ConflictClause): void {
  if (infer?.whereClause) throw notSupported('ON CONFLICT with a condition', p.positionOf(location));
  const columns = (infer?.indexElems ?? []).map((node) => as(node, 'IndexElem')?.name);
  if (columns.includes(undefined)) throw notSupported('ON CONFLICT of an expression', p.positionOf(location));
  p.text(' ON CONFLICT');
  if (columns.length > 0) p.text(` (${columns.map((name) => identifier(name ?? '')).join(', ')})`);
  if (action !== 'ONCONFLICT_UPDATE') {
    p.text(' DO NOTHING');
    return;
  }
  p.text(' DO UPDATE SET ');
  assignments(p, targetList);
  if (whereClause) p.wrap(' WHERE ', whereClause, '');
}

function printUpdate(p: Printer, statement: Fields<'UpdateStmt'>): void {
  target(p, statement.withClause, 'UPDATE ', statement.relation);
  p.text(' SET ');
  assignments(p, statement.targetList);
  others(p, ' FROM ', statement.fromClause);
  if (statement.whereClause) p.wrap(' WHERE ', statement.whereClause, '');
  returning(p, statement.returningClause?.exprs);
}

function printDelete(p: Printer, statement: Fields<'DeleteStmt'>): void {
  target(p, statement.withClause, 'DELETE FROM ', statement.relation);
  others(p, ' USING ', statement.usingClause);
  if (statement.whereClause) p.wrap(' WHERE ', statement.whereClause, '');
  returning(p, statement.returningClause?.exprs);
}

function target(
  p: Printer,
  common: WithClause | undefined,
  words: string,
  relation: RangeVar | undefined,
): void {
  if (common) withClause(p, common);
  p.text(words);
  const name = relation?.relname ?? '';
  p.hole({ kind: 'temp-table', name });
  p.text(` AS ${identifier(relation?.alias?.aliasname ?? name)}`);
}

function others(p: Printer, word: string, from: readonly Node[] | undefined): void {
  (from ?? []).forEach((node, index) => {
    p.text(index > 0 ? ', ' : word);
    fromItem(p, node);
  });
}

function assignments(p: Printer, targets: readonly Node[] | undefined): void {
  (targets ?? []).forEach((node, index) => {
    const { name = '', val: given, indirection, location } = as(node, 'ResTarget') ?? {};
    const several = as(given, 'MultiAssignRef');
    // `(a, b) = (1, 2)`: each of them has the row, and its own place in it.
    const val = several ? as(several.source, 'RowExpr')?.args?.[(several.colno ?? 1) - 1] : given;
    if (indirection || (several && !val))
      throw notSupported('SET of a part of a column, or of several by a query,', p.positionOf(location));
    p.text(`${index > 0 ? ', ' : ''}${identifier(name)} = `);
    valueOrDefault(p, val);
  });
}

function valueOrDefault(p: Printer, value: Node | undefined): void {
  if (as(value, 'SetToDefault')) p.text('DEFAULT');
  else p.expression(value);
}

function returning(p: Printer, list: readonly Node[] | undefined): void {
  (list ?? []).forEach((node, index) => {
    const { name, val } = as(node, 'ResTarget') ?? {};
    p.text(index > 0 ? ', ' : ' RETURNING ');
    p.expression(val);
    if (name !== undefined) p.text(` AS ${identifier(name)}`);
  });
}
