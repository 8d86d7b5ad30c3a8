import type { Node } from 'libpg-query';
import { as, modificationOf, namesOf, type Rule, returningOf, rewrite } from '../ast.ts';

/** Gives each unnamed column of a result the name that PostgreSQL gives it (FigureColname in its parse_target.c). */
export const columnNameRules: readonly Rule[] = [
  (node) => {
    const select = as(node, 'SelectStmt');
    if (!select?.targetList) return undefined;
    return { SelectStmt: { ...select, targetList: select.targetList.map(namedTarget) } } as Node;
  },
  (node) => {
    const modification = modificationOf(node);
    if (!modification?.statement.returningClause) return undefined;
    const { tag, statement } = modification;
    const table = statement.relation?.alias?.aliasname ?? statement.relation?.relname;
    // DuckDB knows the columns of what was changed by their names alone.
    const unqualified: Rule = (each) => {
      const [qualifier, ...fields] = as(each, 'ColumnRef')?.fields ?? [];
      const isOfTable = fields.length === 1 && as(qualifier, 'String')?.sval === table;
      return isOfTable ? ({ ColumnRef: { ...as(each, 'ColumnRef'), fields } } as Node) : undefined;
    };
    const exprs = returningOf(statement).map((each) => rewrite(namedTarget(each), [unqualified]));
    return { [tag]: { ...statement, returningClause: { exprs } } } as unknown as Node;
  },
];

function namedTarget(target: Node): Node {
  const { name, val } = as(target, 'ResTarget') ?? {};
  // A column reference has its own name already, and a star has none.
  if (name !== undefined || !val || as(val, 'ColumnRef')) return target;
  return { ResTarget: { ...as(target, 'ResTarget'), name: nameOf(val) ?? '?column?' } } as Node;
}

function nameOf(node: Node | undefined): string | undefined {
  if (!node) return undefined;
  const column = as(node, 'ColumnRef');
  if (column) return namesOf(column.fields).findLast((name) => name !== '*');
  const indirection = as(node, 'A_Indirection');
  if (indirection)
    return namesOf(indirection.indirection).findLast((name) => name !== '') ?? nameOf(indirection.arg);
  const call = as(node, 'FuncCall');
  if (call) return namesOf(call.funcname).at(-1);
  const cast = as(node, 'TypeCast');
  if (cast) return (isStrong(cast.arg) && nameOf(cast.arg)) || namesOf(cast.typeName?.names).at(-1);
  const collate = as(node, 'CollateClause');
  if (collate) return nameOf(collate.arg);
  const link = as(node, 'SubLink');
  if (link) return nameOfSubquery(link);
  if (as(node, 'A_Expr')?.kind === 'AEXPR_NULLIF') return 'nullif';
  const otherwise = as(node, 'CaseExpr')?.defresult;
  if (as(node, 'CaseExpr')) return (isStrong(otherwise) && nameOf(otherwise)) || 'case';
  if (as(node, 'GroupingFunc')) return 'grouping';
  if (as(node, 'A_ArrayExpr')) return 'array';
  if (as(node, 'RowExpr')) return 'row';
  if (as(node, 'CoalesceExpr')) return 'coalesce';
  const value = as(node, 'SQLValueFunction')?.op;
  if (value)
    return value
      .replace(/^SVFOP_/, '')
      .replace(/_N$/, '')
      .toLowerCase();
  const least = as(node, 'MinMaxExpr');
  return least && (least.op === 'IS_LEAST' ? 'least' : 'greatest');
}

/** Casts and CASE have names of last resort, which a cast or CASE around them does not keep. */
function isStrong(node: Node | undefined): boolean {
  const cast = as(node, 'TypeCast');
  if (cast) return isStrong(cast.arg);
  const choice = as(node, 'CaseExpr');
  return choice ? isStrong(choice.defresult) : nameOf(node) !== undefined;
}

function nameOfSubquery(link: NonNullable<ReturnType<typeof as<'SubLink'>>>): string | undefined {
  if (link.subLinkType === 'EXISTS_SUBLINK') return 'exists';
  if (link.subLinkType === 'ARRAY_SUBLINK') return 'array';
  if (link.subLinkType !== 'EXPR_SUBLINK') return undefined;
  const [first] = as(link.subselect, 'SelectStmt')?.targetList ?? [];
  const target = as(first, 'ResTarget');
  return target?.name ?? nameOf(target?.val);
}
