import type { Node, RangeVar } from 'libpg-query';
import { signals } from '../../model/batch.ts';
import { as, type Rule, walk } from '../ast.ts';
import { catalogRelationOf } from '../catalog/catalog.ts';
import { SqlError } from '../errors.ts';
import { tableSchema } from '../print/select.ts';

/**
 * Names of tables: Firn's own become references to `tableSchema` (holes, when printed), those of PostgreSQL's catalog the
 * views of the same name, names of WITH stay; there is nothing else that a statement may read.
 */
export function relationRules(
  root: Node,
  positionOf: (location: number | undefined) => number | undefined,
): readonly Rule[] {
  const common = commonTables(root);
  return [
    (node) => {
      const table = as(node, 'RangeVar');
      if (!table) return undefined;
      const { schemaname: schema, relname: name = '' } = table;
      if (schema === undefined && common.has(name)) return undefined;
      if ((schema === undefined || schema === 'public') && (signals as readonly string[]).includes(name)) {
        return renamed(table, tableSchema, name);
      }
      const view = catalogRelationOf(schema, name);
      if (view) {
        const [viewSchema = '', viewName = ''] = view.replaceAll('"', '').split('.');
        return renamed(table, viewSchema, viewName);
      }
      const full = schema === undefined ? name : `${schema}.${name}`;
      throw new SqlError('42P01', `relation "${full}" does not exist`, {
        position: positionOf(table.location),
        hint: `the tables are ${signals.join(' and ')}`,
      });
    },
  ];
}

/** The same table under the alias that the statement knows it by. */
function renamed(table: RangeVar, schemaname: string, relname: string): Node {
  const alias = table.alias ?? { aliasname: table.relname ?? '' };
  const { catalogname: _, ...rest } = table;
  return { RangeVar: { ...rest, schemaname, relname, alias } };
}

/** Names that WITH gives anywhere in a statement. One that hides a table hides it everywhere, which is stricter than SQL. */
function commonTables(root: Node): ReadonlySet<string> {
  const names = new Set<string>();
  walk(root, (node) => {
    const name = as(node, 'CommonTableExpr')?.ctename;
    if (name !== undefined) names.add(name);
  });
  return names;
}
