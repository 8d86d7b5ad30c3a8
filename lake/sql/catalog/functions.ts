import { createParameters } from '../parameters.ts';
import { literal } from '../print/expression.ts';
import { namespaces, relationNames, relationOids, relations, userOid } from './relation-table.ts';
import { pgTypes, typeOids } from './type-table.ts';
import { procOids } from './types.ts';
import { firstUserOid, ownDefinition, ownName, ownOid, tempNamespace } from './user-relations.ts';
import { valueFunctions } from './value-functions.ts';
import { catalogSchema, type Macro, mapSql } from './view.ts';

// PostgreSQL's functions that DuckDB hasn't, or has with another meaning, as macros. What they look up is small and
// constant, so it stands in the macro as a MAP: a macro with a subquery could not be used in an outer join's condition.

const userVariable = `coalesce(CAST(getvariable('firn_user') AS VARCHAR), 'firn')`;
const relationOidList = `[${relations.map(({ oid }) => oid).join(', ')}]`;
const schemaOids = mapSql(Object.entries(namespaces));
const schemaNames = mapSql(
  [...Object.entries(namespaces), [tempNamespace.name, tempNamespace.oid] as const].map(([name, oid]) => [
    oid,
    name,
  ]),
);

const constant = (sql: string): Macro => [['', sql]];
const text = (body = 'CAST(NULL AS VARCHAR)', ...parameters: readonly string[]): Macro =>
  parameters.map((each) => [each, body]);

const formatted = mapSql([
  ...pgTypes.map(({ oid, title }) => [oid, title] as const),
  ...pgTypes.flatMap(({ arrayOid, title }) => (arrayOid > 0 ? [[arrayOid, `${title}[]`] as const] : [])),
  ...relations.flatMap((each) => [
    [each.rowTypeOid, each.name] as const,
    [each.rowArrayOid, `${each.name}[]`] as const,
  ]),
]);
/** typmod is the length + 4, the precision and scale, or the digits of a second. */
const formatType = `CASE WHEN typmod IS NULL OR typmod < 0 THEN ${formatted}[type]
  WHEN type = 1700 THEN 'numeric(' || ((typmod - 4) >> 16) || ',' || ((typmod - 4) & 65535) || ')'
  WHEN type IN (1042, 1043) THEN ${formatted}[type] || '(' || (typmod - 4) || ')'
  WHEN type IN (1083, 1114, 1184, 1266) THEN replace(${formatted}[type], ' with', '(' || typmod || ') with')
  ELSE coalesce(${formatted}[type], '???') END`;

const granted = `regexp_matches(upper(CAST(privilege AS VARCHAR)), 'SELECT|USAGE|CONNECT|EXECUTE|TEMP')`;
const privilege: Macro = [
  ['object, privilege', granted],
  ['role, object, privilege', granted],
];
const columnPrivilege: Macro = [
  ['object, col, privilege', granted],
  ['role, object, col, privilege', granted],
];

const parameters = mapSql(
  createParameters('')
    .all()
    .map(({ name, value }) => [name.toLowerCase(), value] as const),
);
/** A session may tell what was SET in it as a map by lower-case name; the defaults are known here. */
const setting = `coalesce(CAST(getvariable('firn_parameters') AS MAP(VARCHAR, VARCHAR))[lower(name)], ${parameters}[lower(name)])`;

/** A MAP's value, or an error in PostgreSQL's words. `by` is the expression that is looked up. */
const lookUp = (map: ReadonlyMap<string, number>, by: string, what: string, first = 'NULL'): string =>
  `CASE WHEN ${by} IS NULL THEN NULL ELSE coalesce(${first}, CAST(${mapSql([...map])}[${by}] AS UINTEGER),
    TRY_CAST(${by} AS UINTEGER), error('${what} "' || ${by} || '" does not exist')) END`;
/** A name in three parts begins with the database; typeorm writes it so. */
const inDatabase = String.raw`regexp_replace(CAST(name AS VARCHAR),
  '^("[^"]+"|[^".]+)\.(("[^"]+"|[^".]+)\.("[^"]+"|[^".]+))$', '\2')`;
const unqualified = String.raw`regexp_replace(CAST(name AS VARCHAR), '^("pg_catalog"|pg_catalog)\."?([^"]*)"?$', '\2')`;

const named = (map: string, otherwise = 'NULL'): string => `CASE WHEN CAST(oid AS BIGINT) = 0 THEN '-'
  ELSE coalesce(${map}[CAST(oid AS BIGINT)], ${otherwise}, CAST(oid AS VARCHAR)) END`;

/** The reg* types: text to object id, and object id to text. passes/casts.ts calls them. */
const objectNames: Readonly<Record<string, Macro>> = {
  regclass_oid: [['name', lookUp(relationOids, inDatabase, 'relation', ownOid(inDatabase))]],
  regtype_oid: [['name', lookUp(typeOids, unqualified, 'type')]],
  regproc_oid: [['name', lookUp(procOids, unqualified, 'function')]],
  regnamespace_oid: [
    ['name', lookUp(new Map(Object.entries(namespaces)), 'CAST(name AS VARCHAR)', 'schema')],
  ],
  regrole_oid: [
    [
      'name',
      `CASE WHEN name = ${userVariable} THEN ${userOid} ELSE error('role "' || name || '" does not exist') END`,
    ],
  ],
  regclass_name: [['oid', named(mapSql(relationNames), ownName('CAST(oid AS BIGINT)'))]],
  regtype_name: [['oid', named(formatted)]],
  regproc_name: [['oid', named(mapSql([...procOids].map(([name, oid]) => [oid, name])))]],
  regnamespace_name: [['oid', named(schemaNames)]],
  regrole_name: [['oid', `CASE WHEN oid = ${userOid} THEN ${userVariable} ELSE CAST(oid AS VARCHAR) END`]],
  to_regclass: [
    [
      'name',
      `coalesce(${ownOid(inDatabase)}, CAST(${mapSql([...relationOids])}[${inDatabase}] AS UINTEGER))`,
    ],
  ],
  to_regtype: [['name', `CAST(${mapSql([...typeOids])}[${unqualified}] AS UINTEGER)`]],
  to_regnamespace: [['name', `CAST(${schemaOids}[CAST(name AS VARCHAR)] AS UINTEGER)`]],
};

const comments = mapSql(relations.map(({ oid, comment }) => [oid, comment]));
const columnComments = mapSql(
  relations.flatMap(({ oid, columns }) =>
    columns.map((column) => [`${oid}.${column.number}`, column.comment] as const),
  ),
);

const sessionFacts: Readonly<Record<string, Macro>> = {
  version: constant(`'PostgreSQL ' || ${parameters}['server_version'] || ' (Firn, DuckDB)'`),
  current_user: constant(userVariable),
  current_role: constant(userVariable),
  session_user: constant(userVariable),
  user: constant(userVariable),
  current_schema: constant(`'public'`),
  current_schemas: [['implicit', `CASE WHEN implicit THEN ['pg_catalog', 'public'] ELSE ['public'] END`]],
  current_setting: [
    ['name', `coalesce(${setting}, error('unrecognized configuration parameter "' || name || '"'))`],
    [
      'name, missing_ok',
      `coalesce(${setting}, CASE WHEN missing_ok THEN NULL ELSE error('unrecognized configuration parameter "' || name || '"') END)`,
    ],
  ],
  pg_backend_pid: constant('1'),
  // Nobody can lock by numbers here, so there is nothing to unlock: pools ask for it when they take a connection back.
  pg_advisory_unlock_all: constant(`''`),
  pg_is_in_recovery: constant('false'),
  pg_is_wal_replay_paused: constant('false'),
  pg_client_encoding: constant(`'UTF8'`),
  getdatabaseencoding: constant(`'UTF8'`),
  pg_export_snapshot: constant(`'00000001-00000001-1'`),
  pg_encoding_to_char: [['encoding', `CASE encoding WHEN 6 THEN 'UTF8' WHEN 0 THEN 'SQL_ASCII' ELSE '' END`]],
  pg_char_to_encoding: [['name', `CASE WHEN upper(name) IN ('UTF8', 'UTF-8') THEN 6 ELSE -1 END`]],
  pg_postmaster_start_time: constant('CAST(NULL AS TIMESTAMPTZ)'),
  pg_conf_load_time: constant('CAST(NULL AS TIMESTAMPTZ)'),
  pg_my_temp_schema: constant(`CAST(${tempNamespace.oid} AS UINTEGER)`),
  pg_is_other_temp_schema: [['oid', 'false']],
  inet_server_addr: constant('CAST(NULL AS VARCHAR)'),
  inet_server_port: constant('CAST(NULL AS INTEGER)'),
  inet_client_addr: constant('CAST(NULL AS VARCHAR)'),
  inet_client_port: constant('CAST(NULL AS INTEGER)'),
  txid_current: constant('CAST(1 AS BIGINT)'),
  pg_get_userbyid: [
    ['oid', `CASE WHEN oid = ${userOid} THEN ${userVariable} ELSE 'unknown (OID=' || oid || ')' END`],
  ],
};

const definitions: Readonly<Record<string, Macro>> = {
  format_type: [['type, typmod', formatType]],
  obj_description: [
    ['oid', `${comments}[oid]`],
    ['oid, catalog', `CASE WHEN catalog = 'pg_class' THEN ${comments}[oid] END`],
  ],
  col_description: [['oid, number', `${columnComments}[oid || '.' || number]`]],
  shobj_description: text(undefined, 'oid, catalog'),
  pg_get_expr: text(undefined, 'expression, relation', 'expression, relation, pretty'),
  pg_get_indexdef: text(undefined, 'index', 'index, col, pretty'),
  pg_get_constraintdef: text(undefined, 'oid', 'oid, pretty'),
  pg_get_viewdef: text(ownDefinition('CAST(relation AS BIGINT)'), 'relation', 'relation, pretty'),
  pg_get_ruledef: text(undefined, 'oid', 'oid, pretty'),
  pg_get_triggerdef: text(undefined, 'oid', 'oid, pretty'),
  pg_get_functiondef: text(undefined, 'oid'),
  pg_get_function_sqlbody: text(undefined, 'oid'),
  pg_get_function_result: text(undefined, 'oid'),
  pg_get_function_arguments: text(`''`, 'oid'),
  pg_get_function_identity_arguments: text(`''`, 'oid'),
  pg_get_partkeydef: text(undefined, 'oid'),
  pg_get_serial_sequence: text(undefined, 'relation, col'),
  pg_get_statisticsobjdef_columns: text(undefined, 'oid'),
  pg_get_statisticsobjdef: text(undefined, 'oid'),
  pg_tablespace_location: text(`''`, 'oid'),
  pg_relation_is_publishable: [['relation', 'false']],
  pg_table_is_visible: [
    [
      'oid',
      `list_contains(${relationOidList}, CAST(oid AS BIGINT)) OR CAST(oid AS BIGINT) >= ${firstUserOid}`,
    ],
  ],
  pg_type_is_visible: [['oid', `${formatted}[oid] IS NOT NULL`]],
  ...Object.fromEntries(
    [
      ...['function', 'operator', 'opclass', 'opfamily', 'collation', 'conversion', 'statistics_obj'],
      ...['ts_config', 'ts_dict', 'ts_parser', 'ts_template'],
    ].map((kind) => [`pg_${kind}_is_visible`, [['oid', 'true']] as Macro]),
  ),
  pg_relation_size: [
    ['relation', 'CAST(0 AS BIGINT)'],
    ['relation, fork', 'CAST(0 AS BIGINT)'],
  ],
  pg_table_size: [['relation', 'CAST(0 AS BIGINT)']],
  pg_total_relation_size: [['relation', 'CAST(0 AS BIGINT)']],
  pg_indexes_size: [['relation', 'CAST(0 AS BIGINT)']],
  pg_database_size: [['name', 'CAST(0 AS BIGINT)']],
  pg_stat_get_numscans: [['oid', 'CAST(0 AS BIGINT)']],
  pg_size_pretty: [
    [
      'size',
      `CASE WHEN abs(size) < 10240 THEN CAST(size AS BIGINT) || ' bytes'
        WHEN abs(size) < 10485760 THEN CAST(round(size / 1024.0) AS BIGINT) || ' kB'
        WHEN abs(size) < 10737418240 THEN CAST(round(size / 1048576.0) AS BIGINT) || ' MB'
        WHEN abs(size) < 10995116277760 THEN CAST(round(size / 1073741824.0) AS BIGINT) || ' GB'
        ELSE CAST(round(size / 1099511627776.0) AS BIGINT) || ' TB' END`,
    ],
  ],
  ...Object.fromEntries(
    [
      'table',
      'any_column',
      'schema',
      'database',
      'function',
      'sequence',
      'type',
      'language',
      'tablespace',
    ].map((kind) => [`has_${kind}_privilege`, privilege]),
  ),
  has_server_privilege: privilege,
  has_foreign_data_wrapper_privilege: privilege,
  has_column_privilege: columnPrivilege,
  pg_has_role: [
    ['role, privilege', 'true'],
    ['member, role, privilege', 'true'],
  ],
};

const macros: Readonly<Record<string, Macro>> = {
  ...sessionFacts,
  ...definitions,
  ...objectNames,
  ...valueFunctions,
};

/** What a session that names no database gets to see is the database that the engine is for. */
const databaseMacros = (database: string): Readonly<Record<string, Macro>> => {
  const current = constant(`coalesce(CAST(getvariable('firn_database') AS VARCHAR), ${literal(database)})`);
  return { current_database: current, current_catalog: current };
};

/** Names of the macros, which passes/functions.ts sends calls to. */
export const catalogFunctions: ReadonlySet<string> = new Set(
  Object.keys({ ...macros, ...databaseMacros('') }),
);

/** Macros that are rows, for FROM. */
export const catalogTableFunctions: ReadonlySet<string> = new Set(['pg_get_keywords']);

export const macroStatements = (database: string): readonly string[] => [
  ...Object.entries({ ...macros, ...databaseMacros(database) }).map(
    ([name, overloads]) =>
      `CREATE OR REPLACE MACRO ${catalogSchema}."${name}" ` +
      overloads.map(([names, body]) => `(${names}) AS ${body}`).join(', '),
  ),
  `CREATE OR REPLACE MACRO ${catalogSchema}.pg_get_keywords() AS TABLE SELECT keyword_name AS word,
    CASE keyword_category WHEN 'reserved' THEN 'R' WHEN 'unreserved' THEN 'U' WHEN 'column_name' THEN 'C' ELSE 'T' END
    AS catcode, keyword_category AS catdesc FROM duckdb_keywords()`,
];
