import type { UserTableInfo } from '../../tables.ts';
import { literal } from '../print/expression.ts';
import { spellingsOf } from './relation-table.ts';
import { type PgType, pgType } from './type-table.ts';

// Tables that the tenant loaded itself, and temporary ones of a session, in PostgreSQL's catalog. They come and go, so they
// are no constants: a statement that asks for them finds them in a variable of its connection. A session that may not see
// them has none.

const variable = 'firn_own_tables';
const columnType =
  'STRUCT(number INTEGER, name VARCHAR, oid BIGINT, type VARCHAR, title VARCHAR, category VARCHAR, length INTEGER)';
const tableType = `STRUCT(oid BIGINT, name VARCHAR, is_temp BOOLEAN, kind VARCHAR, definition VARCHAR, spellings VARCHAR[], columns ${columnType}[])`;
const tables = `CAST(getvariable('${variable}') AS ${tableType}[])`;

/** FROM text that yields a table as `t`, a view or a sequence (kind `v`, `S`), too, and each of its columns as `c`. */
export const fromOwnTables = `(SELECT unnest(${tables}) AS t)`;
export const fromOwnColumns = `(SELECT t, unnest(t.columns) AS c FROM ${fromOwnTables})`;
/** Those of a kind. */
export const fromOwnOf = (kind: string): string =>
  `(SELECT t FROM ${fromOwnTables} WHERE t.kind = '${kind}')`;
/** A row when there is a temporary table. */
export const fromTempTables = `(SELECT 1 WHERE len(list_filter(${tables}, lambda each: each.is_temp)) > 0)`;

/** The object id of what is written so, and the name of what has this id; NULL for others. No subquery: these stand in macros. */
export const ownOid = (spelling: string): string =>
  `CAST((list_filter(${tables}, lambda each: list_contains(each.spellings, ${spelling}))[1]).oid AS UINTEGER)`;
const ownFact = (oid: string, field: string): string =>
  `(list_filter(${tables}, lambda each: each.oid = ${oid})[1]).${field}`;
export const ownName = (oid: string): string => ownFact(oid, 'name');
/** The query of a view. */
export const ownDefinition = (oid: string): string => ownFact(oid, 'definition');
/** Macros of the catalog that look these tables up. */
export const ownTableFunctions: ReadonlySet<string> = new Set([
  'regclass_oid',
  'regclass_name',
  'to_regclass',
  'pg_get_viewdef',
]);

/** Their object ids are these and after, far from all others. */
export const firstUserOid = 2 ** 30;

/** The schema of temporary tables, of which a session sees its own. */
export const tempNamespace = { name: 'pg_temp_1', oid: 13_100 } as const;

/** SQL for the schema of a table `t`. */
export const schemaOfOwn = `if(t.is_temp, '${tempNamespace.name}', 'public')`;

const pgNames: Readonly<Record<string, string>> = {
  ...{
    BOOLEAN: 'bool',
    TINYINT: 'int2',
    UTINYINT: 'int2',
    SMALLINT: 'int2',
    USMALLINT: 'int4',
    INTEGER: 'int4',
  },
  ...{ UINTEGER: 'oid', BIGINT: 'int8', UBIGINT: 'numeric', HUGEINT: 'numeric', UHUGEINT: 'numeric' },
  ...{
    FLOAT: 'float4',
    DOUBLE: 'float8',
    DECIMAL: 'numeric',
    BLOB: 'bytea',
    BIT: 'varbit',
    UUID: 'uuid',
    JSON: 'json',
    ENUM: 'char',
  },
  ...{
    DATE: 'date',
    TIME: 'time',
    'TIME WITH TIME ZONE': 'timetz',
    TIMESTAMP: 'timestamp',
    INTERVAL: 'interval',
  },
  ...{ TIMESTAMPTZ: 'timestamptz', 'TIMESTAMP WITH TIME ZONE': 'timestamptz' },
};

/** PostgreSQL's type for DuckDB's name of one. */
function pgTypeOfDuckdb(duckdb: string): PgType {
  const element = duckdb.replace(/(\[\d*\])+$/, '');
  const type = pgType(pgNames[element.replace(/\(.*\)$/, '')] ?? 'text');
  if (element === duckdb) return type;
  const title = `${type.title}[]`;
  return { ...type, oid: type.arrayOid, name: `_${type.name}`, title, category: 'A', length: -1 };
}

/** What stands in the catalog beside Firn's own tables. */
export interface OwnRelation extends UserTableInfo {
  readonly isTemp: boolean;
  /** pg_class.relkind: a table, a view, a sequence. */
  readonly kind: 'r' | 'v' | 'S';
  /** The query of a view. */
  readonly definition?: string;
}

/** The statement that makes them known to a connection. A name alone means the first that has it. */
export const showOwnTables = (relations: readonly OwnRelation[]): string =>
  `SET VARIABLE ${variable} = CAST([${relations.map(relationSql).join(', ')}] AS ${tableType}[])`;

function relationSql({ name, columns, isTemp, kind, definition = '' }: OwnRelation): string {
  const list = columns.map((column, index) => {
    const { oid, name: type, title, category, length }: PgType = pgTypeOfDuckdb(column.type);
    const texts = `'name': ${literal(column.name)}, 'type': ${literal(type)}, 'title': ${literal(title)}`;
    return `{'number': ${index + 1}, ${texts}, 'oid': ${oid}, 'category': ${literal(category)}, 'length': ${length}}`;
  });
  const oid = oidOf(isTemp ? `pg_temp.${name}` : name);
  const schemas = isTemp ? ['pg_temp', tempNamespace.name] : ['public'];
  const spellings = schemas.flatMap((schema) => spellingsOf(schema, name)).map(literal);
  const facts = `'is_temp': ${isTemp}, 'kind': '${kind}', 'definition': ${literal(definition)}`;
  return `{'oid': ${oid}, 'name': ${literal(name)}, ${facts}, 'spellings': [${spellings.join(', ')}], 'columns': [${list.join(', ')}]}`;
}

/** The same for a name always, also when others come and go (FNV-1a). Of the row's type it is one more. */
function oidOf(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return firstUserOid + (hash % 2 ** 29) * 2;
}
