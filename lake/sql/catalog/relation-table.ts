import { type TableName, tableNames } from '../../model/table-name.ts';
import { type ColumnType, tableSchemas } from '../../schema/tables.ts';
import { columnAliases, jsonColumns } from '../tables.ts';
import { type PgType, pgType } from './type-table.ts';

// Firn's tables as PostgreSQL's catalog knows them. Object ids start where PostgreSQL's own for users do.

export interface Relation {
  readonly oid: number;
  /** Of the relation's row type, and of arrays of it. */
  readonly rowTypeOid: number;
  readonly rowArrayOid: number;
  readonly name: TableName;
  readonly comment: string;
  readonly columns: readonly RelationColumn[];
}

interface RelationColumn {
  /** 1-based. */
  readonly number: number;
  readonly name: string;
  readonly type: PgType;
  readonly notNull: boolean;
  readonly comment: string;
}

const typeNames: Readonly<Record<ColumnType, string>> = {
  long: 'int8',
  double: 'float8',
  string: 'text',
  timestamptz: 'timestamptz',
};

export const namespaces = { pg_catalog: 11, public: 2200, information_schema: 13_000 } as const;
export const userOid = 10;
export const databaseOid = 16_383;
const firstOid = 16_384;

export const relations: readonly Relation[] = tableNames.map((name, index) => ({
  oid: firstOid + index * 3,
  rowArrayOid: firstOid + index * 3 + 1,
  rowTypeOid: firstOid + index * 3 + 2,
  name,
  comment: tableSchemas[name].doc,
  columns: columnsOf(name),
}));

/** The schema's columns, then their second names. */
function columnsOf(table: TableName): RelationColumn[] {
  const own = tableSchemas[table].columns.map((column, index) => ({
    number: index + 1,
    name: column.name,
    type: pgType(jsonColumns.has(column.name) ? 'json' : typeNames[column.type]),
    notNull: column.required,
    comment: column.doc,
  }));
  const second = Object.entries(columnAliases[table]).flatMap(([alias, name], index) => {
    const meant = own.find((column) => column.name === name);
    const comment = `Another name of ${name}`;
    return meant ? [{ ...meant, number: own.length + index + 1, name: alias, comment }] : [];
  });
  return [...own, ...second];
}

/** Object ids of the catalog's own tables, which clients write as `'pg_class'::regclass`. */
const catalogOids: Readonly<Record<string, number>> = {
  pg_type: 1247,
  pg_attribute: 1249,
  pg_proc: 1255,
  pg_class: 1259,
  pg_authid: 1260,
  pg_auth_members: 1261,
  pg_database: 1262,
  pg_tablespace: 1213,
  pg_attrdef: 2604,
  pg_cast: 2605,
  pg_constraint: 2606,
  pg_conversion: 2607,
  pg_description: 2609,
  pg_index: 2610,
  pg_language: 2612,
  pg_namespace: 2615,
  pg_opclass: 2616,
  pg_operator: 2617,
  pg_rewrite: 2618,
  pg_trigger: 2620,
  pg_extension: 3079,
  pg_foreign_data_wrapper: 2328,
  pg_foreign_server: 1417,
  pg_collation: 3456,
  pg_event_trigger: 3466,
  pg_policy: 3256,
  pg_publication: 6104,
  pg_roles: 12_000,
  pg_tables: 12_001,
};

/** Object ids of relations by their name as it may be written: bare, qualified, quoted. */
export const relationOids: ReadonlyMap<string, number> = new Map([
  ...relations.flatMap(({ name, oid }) => spelled('public', name, oid)),
  ...Object.entries(catalogOids).flatMap(([name, oid]) => spelled('pg_catalog', name, oid)),
]);

function spelled(schema: string, name: string, oid: number): (readonly [string, number])[] {
  return spellingsOf(schema, name).map((spelling) => [spelling, oid] as const);
}

/** How the name of a relation may be written: bare, qualified, quoted. */
export function spellingsOf(schema: string, name: string): string[] {
  return [name, `"${name}"`, `${schema}.${name}`, `"${schema}"."${name}"`, `${schema}."${name}"`];
}

/** Names of relations as regclass prints them, by object id. */
export const relationNames: readonly (readonly [number, string])[] = [
  ...relations.map(({ name, oid }) => [oid, name] as const),
  ...Object.entries(catalogOids).map(([name, oid]) => [oid, name] as const),
];
