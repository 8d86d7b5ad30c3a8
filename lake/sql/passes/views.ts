import type { Node, RangeVar } from 'libpg-query';
import { tableNames } from '../../model/table-name.ts';
import { as, rewrite, string } from '../ast.ts';
import { catalogRelationOf } from '../catalog/catalog.ts';
import { SqlError } from '../errors.ts';
import type { TempTables } from '../temp-tables.ts';
import type { TempView } from '../temp-views.ts';
import { commonReferences, tempSchema } from './relations.ts';

// Views are queries that stand in the place of their names.

/** Queries that a statement may have in the places of views; each may stand there often. */
const expansionsMax = 200;

/**
 * The statement with the queries of views in the places of their names. Locations in them are beyond every text, so that errors say no
 * place, and different from each other. Throws SqlError 54001 when they are too many.
 */
export function expandViews(root: Node, temp: TempTables): Node {
  if (temp.views.list().length === 0) return root;
  let expansions = 0;
  const expanded = (statement: Node): Node => {
    const common = commonReferences(statement);
    return rewrite(statement, [
      (node) => {
        const table = as(node, 'RangeVar');
        const view = table && !common.has(table.location ?? -1) ? meant(table, temp) : undefined;
        if (!table || !view) return undefined;
        if (++expansions > expansionsMax)
          throw new SqlError('54001', `a statement may use ${expansionsMax} views (expansionsMax)`);
        return subselect(table, view, expanded(relocated(view.query, expansions)));
      },
    ]);
  };
  return expanded(root);
}

/** A temporary table hides a view never, for they can't have one name. */
function meant(
  { schemaname, catalogname, relname = '' }: RangeVar,
  { views }: TempTables,
): TempView | undefined {
  const isNear = catalogname === undefined && (schemaname === undefined || schemaname === tempSchema);
  return isNear ? views.find(relname) : undefined;
}

function subselect(table: RangeVar, { name, aliases }: TempView, query: Node): Node {
  const named: Node = {
    RangeSubselect: {
      subquery: query,
      alias: { aliasname: name, ...(aliases.length > 0 && { colnames: aliases.map(string) }) },
    },
  };
  if (!table.alias) return named;
  const all: Node = { ResTarget: { val: { ColumnRef: { fields: [{ A_Star: {} }] } } } };
  const subquery: Node = {
    SelectStmt: {
      ...{ targetList: [all], fromClause: [named] },
      ...{ limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
    },
  };
  return { RangeSubselect: { subquery, alias: table.alias } };
}

/** Texts are far shorter. */
const firstPlace = 2 ** 40;
const placesOfView = 2 ** 30;

/** Whether a location is in a statement's own text, and not in a view's. */
export const isOwnLocation = (location: number): boolean => location < firstPlace;

function relocated(query: Node, expansion: number): Node {
  const base = firstPlace + expansion * placesOfView;
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([field, child]) => [
        field,
        field === 'location' && typeof child === 'number' && child >= 0
          ? base + (child % placesOfView)
          : visit(child),
      ]),
    );
  };
  return visit(query) as Node;
}

/**
 * The query of a view, each name with the schema in which it has been found: what is made afterwards under that name is another thing.
 * Throws SqlError 42P01.
 */
export function settledNames(query: Node, temp: TempTables, userTables: readonly string[]): Node {
  const common = commonReferences(query);
  const lasting = new Set<string>([...tableNames, ...userTables]);
  return rewrite(query, [
    (node) => {
      const table = as(node, 'RangeVar');
      const { schemaname, relname = '', location = -1 } = table ?? {};
      if (!table || schemaname !== undefined || common.has(location)) return undefined;
      const isTemp = temp.find(relname) ?? temp.views.find(relname);
      const schema = isTemp
        ? tempSchema
        : lasting.has(relname)
          ? 'public'
          : catalogRelationOf(undefined, relname) && 'pg_catalog';
      return schema ? { RangeVar: { ...table, schemaname: schema } } : undefined;
    },
  ]);
}
