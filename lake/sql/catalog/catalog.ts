import type { DuckDBConnection } from '@duckdb/node-api';
import { databaseViews } from './databases.ts';
import { emptyViews } from './empty.ts';
import { macroStatements } from './functions.ts';
import { informationSchemaPrefix, informationSchemaViews } from './information-schema.ts';
import { relationViews } from './relations.ts';
import { typeViews } from './types.ts';
import { catalogSchema, createCharType, createView } from './view.ts';

// PostgreSQL's catalog as views and macros in a schema of the tenant's engine, because clients ask it what there is.
// Its rows are constants made from the schema of Firn's tables; what belongs to a session comes from variables that
// the session sets: `firn_user`, `firn_database` and, when parameters were SET, `firn_parameters` (a MAP).

const views = [...relationViews, ...typeViews, ...databaseViews, ...emptyViews, ...informationSchemaViews];
const viewNames: ReadonlySet<string> = new Set(views.map(({ name }) => name));

/**
 * Makes the catalog in an engine; doing it again changes nothing. Sessions that name no database see
 * `identity.database`.
 */
export async function installCatalog(
  connection: DuckDBConnection,
  identity: { readonly database: string },
): Promise<void> {
  await connection.run(`CREATE SCHEMA IF NOT EXISTS ${catalogSchema}; ${createCharType}`);
  for (const macro of macroStatements(identity.database)) await connection.run(macro);
  for (const view of views) await connection.run(createView(view));
}

/**
 * The view for a relation of PostgreSQL's catalog, quoted for DuckDB: `pg_catalog.pg_class`, `pg_class` (pg_catalog is
 * on every search path) and `information_schema.columns`; undefined for anything else.
 */
export function catalogRelationOf(schema: string | undefined, name: string): string | undefined {
  const view = schema === 'information_schema' ? `${informationSchemaPrefix}${name}` : name;
  const inCatalog = schema === 'pg_catalog' || schema === undefined;
  if (schema !== 'information_schema' && !(inCatalog && name.startsWith('pg_'))) return undefined;
  return viewNames.has(view) ? `${catalogSchema}."${view}"` : undefined;
}
