import type { Node, WindowDef } from 'libpg-query';
import { as, type Fields, namesOf } from '../ast.ts';
import { notSupported } from '../errors.ts';
import { identifier } from './expression.ts';
import type { Printer } from './printer.ts';

/** Calls of functions, aggregates and window functions. Names are already DuckDB's (passes/functions.ts). */
export function functionCall(p: Printer, call: Fields<'FuncCall'>): void {
  const names = namesOf(call.funcname);
  if (names.join('.') === nowFunction) {
    p.hole({ kind: 'now' });
    return;
  }
  if (call.func_variadic) throw notSupported('VARIADIC', p.positionOf(call.location));
  p.mark(call.location);
  p.text(names.map((name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : identifier(name))).join('.'));
  p.text('(');
  if (call.agg_distinct) p.text('DISTINCT ');
  if (call.agg_star) p.text('*');
  else p.list('', call.args ?? [], ', ', '');
  if (call.agg_within_group) {
    p.text(') WITHIN GROUP (');
    sortClause(p, 'ORDER BY ', call.agg_order);
  } else sortClause(p, ' ORDER BY ', call.agg_order);
  p.text(')');
  if (call.agg_filter) p.wrap(' FILTER (WHERE ', call.agg_filter, ')');
  if (call.over) {
    p.text(' OVER ');
    if (call.over.name) p.text(identifier(call.over.name));
    else windowDefinition(p, call.over);
  }
}

/** The function that stands for the hole `now`; no user can write its name, because it isn't a valid call before. */
export const nowFunction = 'firn now';

export function sortClause(p: Printer, lead: string, items: readonly Node[] | undefined): void {
  if (!items || items.length === 0) return;
  p.text(lead);
  items.forEach((item, index) => {
    if (index > 0) p.text(', ');
    const sort = as(item, 'SortBy');
    const descending = sort?.sortby_dir === 'SORTBY_DESC';
    if (sort?.sortby_dir === 'SORTBY_USING')
      throw notSupported('ORDER BY ... USING', p.positionOf(sort.location));
    p.expression(sort?.node);
    // DuckDB puts NULLs last in both directions, PostgreSQL first when descending.
    const nullsFirst =
      sort?.sortby_nulls === 'SORTBY_NULLS_FIRST' ||
      (sort?.sortby_nulls !== 'SORTBY_NULLS_LAST' && descending);
    p.text(`${descending ? ' DESC' : ' ASC'} NULLS ${nullsFirst ? 'FIRST' : 'LAST'}`);
  });
}

/** Bits of `frameOptions`, from PostgreSQL's parsenodes.h. */
const frame = {
  nonDefault: 0x1,
  range: 0x2,
  rows: 0x4,
  startUnboundedPreceding: 0x20,
  endUnboundedFollowing: 0x100,
  startCurrentRow: 0x200,
  endCurrentRow: 0x400,
  startOffsetPreceding: 0x800,
  endOffsetPreceding: 0x1000,
  excludeCurrentRow: 0x8000,
  excludeGroup: 0x10000,
  excludeTies: 0x20000,
} as const;

export function windowDefinition(p: Printer, window: WindowDef): void {
  const options = window.frameOptions ?? 0;
  const has = (bit: number): boolean => (options & bit) !== 0;
  p.text('(');
  if (window.refname) p.text(`${identifier(window.refname)} `);
  if (window.partitionClause) p.list('PARTITION BY ', window.partitionClause, ', ', ' ');
  sortClause(p, 'ORDER BY ', window.orderClause);
  if (has(frame.nonDefault)) {
    p.text(has(frame.rows) ? ' ROWS BETWEEN ' : has(frame.range) ? ' RANGE BETWEEN ' : ' GROUPS BETWEEN ');
    if (has(frame.startUnboundedPreceding)) p.text('UNBOUNDED PRECEDING');
    else if (has(frame.startCurrentRow)) p.text('CURRENT ROW');
    else p.wrap('', window.startOffset, has(frame.startOffsetPreceding) ? ' PRECEDING' : ' FOLLOWING');
    p.text(' AND ');
    if (has(frame.endUnboundedFollowing)) p.text('UNBOUNDED FOLLOWING');
    else if (has(frame.endCurrentRow)) p.text('CURRENT ROW');
    else p.wrap('', window.endOffset, has(frame.endOffsetPreceding) ? ' PRECEDING' : ' FOLLOWING');
    if (has(frame.excludeCurrentRow)) p.text(' EXCLUDE CURRENT ROW');
    if (has(frame.excludeGroup)) p.text(' EXCLUDE GROUP');
    if (has(frame.excludeTies)) p.text(' EXCLUDE TIES');
  }
  p.text(')');
}
