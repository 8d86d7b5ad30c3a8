import { namespaces, relations } from './relation-table.ts';
import { fromOwnColumns, fromOwnOf, fromOwnTables, schemaOfOwn } from './user-relations.ts';
import type { View } from './view.ts';

// The views of the SQL standard's information schema. In the engine their names have the schema's as a prefix.

const database = { sql: 'firn_catalog.current_database()' };
const user = { sql: 'firn_catalog.current_user()' };
const place = `table_catalog name, table_schema name 'public', table_name name`;
const constraint = 'constraint_catalog name, constraint_schema name, constraint_name name';
const routine = 'specific_catalog name, specific_schema name, specific_name name';

const columns: View = {
  name: 'columns',
  columns: `${place}, column_name name, ordinal_position int4, column_default text, is_nullable text,
    data_type text, character_maximum_length int4, character_octet_length int4, numeric_precision int4,
    numeric_precision_radix int4, numeric_scale int4, datetime_precision int4, interval_type text,
    interval_precision int4, character_set_catalog name, character_set_schema name, character_set_name name,
    collation_catalog name, collation_schema name, collation_name name, domain_catalog name, domain_schema name,
    domain_name name, udt_catalog name, udt_schema name 'pg_catalog', udt_name name, scope_catalog name,
    scope_schema name, scope_name name, maximum_cardinality int4, dtd_identifier text, is_self_referencing text 'NO',
    is_identity text 'NO', identity_generation text, identity_start text, identity_increment text,
    identity_maximum text, identity_minimum text, identity_cycle text 'NO', is_generated text 'NEVER',
    generation_expression text, is_updatable text 'NO'`,
  rows: relations.flatMap((relation) =>
    relation.columns.map(({ number, name, type, notNull }) => ({
      table_catalog: database,
      table_name: relation.name,
      column_name: name,
      ordinal_position: number,
      is_nullable: notNull ? 'NO' : 'YES',
      data_type: type.title,
      character_octet_length: type.category === 'S' ? 1_073_741_824 : null,
      numeric_precision: type.category === 'N' ? (type.name === 'float8' ? 53 : 64) : null,
      numeric_precision_radix: type.category === 'N' ? 2 : null,
      numeric_scale: type.name === 'int8' ? 0 : null,
      datetime_precision: type.category === 'D' ? 6 : null,
      udt_catalog: database,
      udt_name: type.name,
      dtd_identifier: String(number),
    })),
  ),
  more: {
    from: fromOwnColumns,
    row: {
      ...{
        table_catalog: database.sql,
        table_schema: schemaOfOwn,
        table_name: 't.name',
        column_name: 'c.name',
      },
      ...{ ordinal_position: 'c.number', dtd_identifier: 'c.number', is_nullable: "'YES'" },
      ...{ data_type: 'c.title', udt_catalog: database.sql, udt_name: 'c.type' },
      character_octet_length: "if(c.category = 'S', 1073741824, NULL)",
      numeric_precision: "if(c.category = 'N', if(c.type = 'float8', 53, 64), NULL)",
      numeric_precision_radix: "if(c.category = 'N', 2, NULL)",
      numeric_scale: "if(c.type = 'int8', 0, NULL)",
      datetime_precision: "if(c.category = 'D', if(c.type = 'date', 0, 6), NULL)",
    },
  },
};

const grants = `grantor name 'firn', grantee name, ${place}, privilege_type text 'SELECT', is_grantable text 'NO',
  with_hierarchy text 'YES'`;
const grantRows = relations.map(({ name }) => ({ grantee: user, table_catalog: database, table_name: name }));
const moreGrants = {
  from: fromOwnTables,
  row: { grantee: user.sql, table_catalog: database.sql, table_schema: schemaOfOwn, table_name: 't.name' },
};

const views: readonly View[] = [
  columns,
  {
    name: 'tables',
    columns: `${place}, table_type text, self_referencing_column_name name, reference_generation text,
      user_defined_type_catalog name, user_defined_type_schema name, user_defined_type_name name,
      is_insertable_into text 'NO', is_typed text 'NO', commit_action text`,
    rows: relations.map(({ name }) => ({
      table_catalog: database,
      table_name: name,
      table_type: 'BASE TABLE',
    })),
    more: {
      from: `(SELECT t FROM ${fromOwnTables} WHERE t.kind <> 'S')`,
      row: {
        ...{ table_catalog: database.sql, table_schema: schemaOfOwn, table_name: 't.name' },
        table_type:
          "CASE WHEN t.kind = 'v' THEN 'VIEW' WHEN t.is_temp THEN 'LOCAL TEMPORARY' ELSE 'BASE TABLE' END",
        is_insertable_into: "if(t.is_temp AND t.kind = 'r', 'YES', 'NO')",
      },
    },
  },
  {
    name: 'views',
    columns: `${place}, view_definition text, check_option text 'NONE', is_updatable text 'NO',
      is_insertable_into text 'NO', is_trigger_updatable text 'NO', is_trigger_deletable text 'NO',
      is_trigger_insertable_into text 'NO'`,
    rows: [],
    more: {
      from: fromOwnOf('v'),
      row: {
        ...{ table_catalog: database.sql, table_schema: schemaOfOwn, table_name: 't.name' },
        view_definition: 't.definition',
      },
    },
  },
  {
    name: 'schemata',
    columns: `catalog_name name, schema_name name, schema_owner name, default_character_set_catalog name,
      default_character_set_schema name, default_character_set_name name, sql_path text`,
    rows: Object.keys(namespaces).map((name) => ({
      catalog_name: database,
      schema_name: name,
      schema_owner: user,
    })),
  },
  { name: 'role_table_grants', columns: grants, rows: grantRows, more: moreGrants },
  { name: 'table_privileges', columns: grants, rows: grantRows, more: moreGrants },
  {
    name: 'character_sets',
    columns: `character_set_catalog name, character_set_schema name, character_set_name name 'UTF8',
      character_repertoire name 'UCS', form_of_use name 'UTF8', default_collate_catalog name,
      default_collate_schema name, default_collate_name name`,
    rows: [{ default_collate_catalog: database }],
  },
  {
    name: 'information_schema_catalog_name',
    columns: 'catalog_name name',
    rows: [{ catalog_name: database }],
  },
  {
    name: 'enabled_roles',
    columns: 'role_name name',
    rows: [{ role_name: user }],
  },
];

/** Columns of the views that have no rows. */
const empty: Readonly<Record<string, string>> = {
  check_constraints: `${constraint}, check_clause text`,
  applicable_roles: 'grantee name, role_name name, is_grantable text',
  administrable_role_authorizations: 'grantee name, role_name name, is_grantable text',
  attributes: `udt_catalog name, udt_schema name, udt_name name, attribute_name name, ordinal_position int4,
    data_type text`,
  check_constraint_routine_usage: `${constraint}, ${routine}`,
  collations: 'collation_catalog name, collation_schema name, collation_name name, pad_attribute text',
  column_column_usage: `${place}, column_name name, dependent_column name`,
  column_domain_usage: `domain_catalog name, domain_schema name, domain_name name, ${place}, column_name name`,
  column_options: `${place}, column_name name, option_name name, option_value text`,
  column_udt_usage: `udt_catalog name, udt_schema name, udt_name name, ${place}, column_name name`,
  domain_constraints: `${constraint}, domain_catalog name, domain_schema name, domain_name name, is_deferrable text,
    initially_deferred text`,
  domain_udt_usage: `udt_catalog name, udt_schema name, udt_name name, domain_catalog name, domain_schema name,
    domain_name name`,
  data_type_privileges: `object_catalog name, object_schema name, object_name name, object_type text,
    dtd_identifier text`,
  foreign_data_wrappers: `foreign_data_wrapper_catalog name, foreign_data_wrapper_name name,
    authorization_identifier name, library_name text, foreign_data_wrapper_language text`,
  foreign_servers: `foreign_server_catalog name, foreign_server_name name, foreign_data_wrapper_catalog name,
    foreign_data_wrapper_name name, foreign_server_type text, foreign_server_version text,
    authorization_identifier name`,
  foreign_tables: `foreign_table_catalog name, foreign_table_schema name, foreign_table_name name,
    foreign_server_catalog name, foreign_server_name name`,
  role_column_grants: `grantor name, grantee name, ${place}, column_name name, privilege_type text, is_grantable text`,
  role_routine_grants: `grantor name, grantee name, ${routine}, routine_catalog name, routine_schema name,
    routine_name name, privilege_type text, is_grantable text`,
  role_udt_grants: `grantor name, grantee name, udt_catalog name, udt_schema name, udt_name name, privilege_type text,
    is_grantable text`,
  role_usage_grants: `grantor name, grantee name, object_catalog name, object_schema name, object_name name,
    object_type text, privilege_type text, is_grantable text`,
  routine_privileges: `grantor name, grantee name, ${routine}, routine_catalog name, routine_schema name,
    routine_name name, privilege_type text, is_grantable text`,
  sql_features: `feature_id text, feature_name text, sub_feature_id text, sub_feature_name text, is_supported text,
    is_verified_by text, comments text`,
  sql_implementation_info: `implementation_info_id text, implementation_info_name text, integer_value int4,
    character_value text, comments text`,
  sql_parts: `feature_id text, feature_name text, is_supported text, is_verified_by text, comments text`,
  sql_sizing: 'sizing_id int4, sizing_name text, supported_value int4, comments text',
  triggered_update_columns: `trigger_catalog name, trigger_schema name, trigger_name name, event_object_catalog name,
    event_object_schema name, event_object_table name, event_object_column name`,
  udt_privileges: `grantor name, grantee name, udt_catalog name, udt_schema name, udt_name name, privilege_type text,
    is_grantable text`,
  usage_privileges: `grantor name, grantee name, object_catalog name, object_schema name, object_name name,
    object_type text, privilege_type text, is_grantable text`,
  user_defined_types: `user_defined_type_catalog name, user_defined_type_schema name, user_defined_type_name name,
    user_defined_type_category text, is_instantiable text, data_type text`,
  user_mappings: `authorization_identifier name, foreign_server_catalog name, foreign_server_name name`,
  view_column_usage: `view_catalog name, view_schema name, view_name name, ${place}, column_name name`,
  view_routine_usage: `table_catalog name, table_schema name, table_name name, ${routine}`,
  column_privileges: `grantor name, grantee name, ${place}, column_name name, privilege_type text, is_grantable text`,
  constraint_column_usage: `${place}, column_name name, ${constraint}`,
  constraint_table_usage: `${place}, ${constraint}`,
  domains: 'domain_catalog name, domain_schema name, domain_name name, data_type text, domain_default text',
  element_types: `object_catalog name, object_schema name, object_name name, object_type text,
    collection_type_identifier text, data_type text, udt_schema name, udt_name name`,
  key_column_usage: `${constraint}, ${place}, column_name name, ordinal_position int4,
    position_in_unique_constraint int4`,
  parameters: `${routine}, ordinal_position int4, parameter_mode text, parameter_name name, data_type text,
    udt_schema name, udt_name name, parameter_default text`,
  referential_constraints: `${constraint}, unique_constraint_catalog name, unique_constraint_schema name,
    unique_constraint_name name, match_option text, update_rule text, delete_rule text`,
  routines: `${routine}, routine_catalog name, routine_schema name, routine_name name, routine_type text,
    data_type text, type_udt_schema name, type_udt_name name, routine_body text, routine_definition text,
    external_language text, is_deterministic text, security_type text`,
  sequences: `sequence_catalog name, sequence_schema name, sequence_name name, data_type text, start_value text,
    minimum_value text, maximum_value text, increment text, cycle_option text`,
  table_constraints: `${constraint}, ${place}, constraint_type text, is_deferrable text, initially_deferred text,
    enforced text, nulls_distinct text`,
  triggers: `trigger_catalog name, trigger_schema name, trigger_name name, event_manipulation text,
    event_object_schema name, event_object_table name, action_statement text, action_timing text`,
  view_table_usage: `view_catalog name, view_schema name, view_name name, ${place}`,
};

export const informationSchemaPrefix = 'information_schema_';

export const informationSchemaViews: readonly View[] = [
  ...views,
  ...Object.entries(empty).map(([name, columns]) => ({ name, columns, rows: [] })),
].map((view) => ({ ...view, name: `${informationSchemaPrefix}${view.name}` }));
