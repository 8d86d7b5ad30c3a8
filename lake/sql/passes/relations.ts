import type { Node, RangeVar, WithClause } from 'libpg-query';
import { tableNames } from '../../model/table-name.ts';
import { as, isNode, namesOf, type Rule, walk } from '../ast.ts';
import { catalogRelationOf } from '../catalog/catalog.ts';
import { ownTableFunctions } from '../catalog/user-relations.ts';
import { catalogSchema } from '../catalog/view.ts';
import { notSupported, SqlError } from '../errors.ts';
import { tableSchema, tempTableSchema, userTableSchema } from '../print/select.ts';
import { languageSchema } from './language-calls.ts';

/** What the name of a table may mean. */
interface KnownNames {
  /** The one that a name in three parts may start with. */
  readonly database: string;
  readonly userTables?: readonly string[];
  readonly tempTables?: readonly string[];
  /** How many calls of other languages the statement has. */
  readonly calls?: number;
}

/** How SQL names the schema of the session's temporary tables. */
export const tempSchema = 'pg_temp';

/**
 * Names of tables: Firn's own become references to `tableSchema` (holes, when printed), those of PostgreSQL's catalog the
 * views of the same name, names of WITH stay; there is nothing else that a statement may read.
 */
export function relationRules(
  root: Node,
  positionOf: (location: number | undefined) => number | undefined,
  { database, userTables = [], tempTables = [], calls = 0 }: KnownNames,
): readonly Rule[] {
  const common = commonReferences(root);
  return [
    (node) => {
      const table = as(node, 'RangeVar');
      if (!table) return undefined;
      const { schemaname: schema, relname: name = '' } = table;
      if (table.catalogname !== undefined && table.catalogname !== database) {
        throw notSupported(
          `a reference to another database, "${table.catalogname}.${schema}.${name}",`,
          positionOf(table.location),
        );
      }
      if (table.location !== undefined && common.has(table.location)) return undefined;
      if (schema === languageSchema && /^\d+$/.test(name) && Number(name) < calls) return undefined;
      // As on PostgreSQL's search path, a temporary table hides a lasting one of its name.
      if ((schema === undefined || schema === tempSchema) && tempTables.includes(name))
        return renamed(table, tempTableSchema, name);
      if ((schema === undefined || schema === 'public') && (tableNames as readonly string[]).includes(name)) {
        return renamed(table, tableSchema, name);
      }
      if ((schema === undefined || schema === 'public') && userTables.includes(name))
        return renamed(table, userTableSchema, name);
      const view = catalogRelationOf(schema, name);
      if (view) {
        const [viewSchema = '', viewName = ''] = view.replaceAll('"', '').split('.');
        return renamed(table, viewSchema, viewName);
      }
      const full = schema === undefined ? name : `${schema}.${name}`;
      throw new SqlError('42P01', `relation "${full}" does not exist`, {
        position: positionOf(table.location),
        hint: `the tables are ${[...tableNames, ...userTables, ...tempTables].join(', ')}`,
      });
    },
  ];
}

/** Whether a statement names anything but Firn's tables and the catalog: a name of WITH, a table of the tenant's, or nothing. */
export function namesOthers(root: Node): boolean {
  let found = false;
  walk(root, (node) => {
    const { schemaname, relname } = as(node, 'RangeVar') ?? {};
    if (relname === undefined || schemaname === languageSchema || catalogRelationOf(schemaname, relname))
      return;
    found ||= !(tableNames as readonly string[]).includes(relname);
  });
  return found;
}

/** Whether a statement whose passes are done asks PostgreSQL's catalog, which lists the tenant's tables, too. */
export function asksCatalog(root: Node): boolean {
  let found = false;
  walk(root, (node) => {
    found ||= as(node, 'RangeVar')?.schemaname === catalogSchema;
    const [schema, name = ''] = namesOf(as(node, 'FuncCall')?.funcname);
    found ||= schema === catalogSchema && ownTableFunctions.has(name);
  });
  return found;
}

/** The same table under the alias that the statement knows it by. */
function renamed(table: RangeVar, schemaname: string, relname: string): Node {
  const alias = table.alias ?? { aliasname: table.relname ?? '' };
  const { catalogname: _, ...rest } = table;
  return { RangeVar: { ...rest, schemaname, relname, alias } };
}

/**
 * Locations of the references to names of WITH, each where SQL lets it be seen: by the queries after it and by the main
 * one. Any other use of the name must not reach DuckDB, which would look for a file or a view of its own called so.
 */
export function commonReferences(root: Node): ReadonlySet<number> {
  const found = new Set<number>();
  const visit = (value: unknown, scope: ReadonlySet<string>): void => {
    if (typeof value !== 'object' || value === null) return;
    const table = isNode(value) ? as(value, 'RangeVar') : undefined;
    const visible = table !== undefined && table.schemaname === undefined && scope.has(table.relname ?? '');
    if (visible && table.location !== undefined) found.add(table.location);
    const { withClause, ...rest } = value as { readonly withClause?: WithClause };
    const inner = withClause ? declare(withClause, scope) : scope;
    for (const child of Object.values(rest)) visit(child, inner);
  };
  const declare = ({ ctes = [], recursive }: WithClause, outer: ReadonlySet<string>): ReadonlySet<string> => {
    let scope = outer;
    for (const node of ctes) {
      const { ctename = '', ctequery } = as(node, 'CommonTableExpr') ?? {};
      const after = new Set([...scope, ctename]);
      visit(ctequery, recursive ? after : scope);
      scope = after;
    }
    return scope;
  };
  visit(root, new Set());
  return found;
}
