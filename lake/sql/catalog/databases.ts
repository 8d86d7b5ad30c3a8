import { createParameters } from '../parameters.ts';
import { databaseOid, userOid } from './relation-table.ts';
import type { View } from './view.ts';

// What is there once for a server: databases, roles, settings, sessions. A tenant sees its own database and one role.

/** Of the session that reads the catalog. */
const user = { sql: 'firn_catalog.current_user()' };
const database = { sql: 'firn_catalog.current_database()' };

const role = `rolname name, rolsuper bool false, rolinherit bool true, rolcreaterole bool false,
  rolcreatedb bool false, rolcanlogin bool true, rolreplication bool false, rolconnlimit int4 -1, rolpassword text,
  rolvaliduntil timestamptz, rolbypassrls bool false`;

export const databaseViews: readonly View[] = [
  {
    name: 'pg_database',
    columns: `oid oid, datname name, datdba oid 10, encoding int4 6, datlocprovider char 'c',
      datistemplate bool false, datallowconn bool true, datconnlimit int4 -1, datfrozenxid oid 0, datminmxid oid 0,
      dattablespace oid 1663, datcollate text 'C', datctype text 'C', daticulocale text, daticurules text,
      datlocale text, datcollversion text, datacl text[]`,
    rows: [{ oid: databaseOid, datname: database }],
  },
  {
    name: 'pg_roles',
    columns: `oid oid, ${role}, rolconfig text[]`,
    rows: [{ oid: userOid, rolname: user }],
  },
  { name: 'pg_authid', columns: `oid oid, ${role}`, rows: [{ oid: userOid, rolname: user }] },
  {
    name: 'pg_user',
    columns: `usename name, usesysid oid 10, usecreatedb bool false, usesuper bool false, userepl bool false,
      usebypassrls bool false, passwd text, valuntil timestamptz, useconfig text[]`,
    rows: [{ usename: user }],
  },
  {
    name: 'pg_tablespace',
    columns: 'oid oid, spcname name, spcowner oid 10, spcacl text[], spcoptions text[]',
    rows: [{ oid: 1663, spcname: 'pg_default' }],
  },
  {
    name: 'pg_settings',
    columns: `name text, setting text, unit text, category text 'Firn', short_desc text '', extra_desc text,
      context text 'user', vartype text 'string', source text 'default', min_val text, max_val text, enumvals text[],
      boot_val text, reset_val text, sourcefile text, sourceline int4, pending_restart bool false`,
    rows: createParameters('')
      .all()
      .map(({ name, value }) => ({
        name,
        setting: { sql: `firn_catalog.current_setting('${name}')` },
        boot_val: value,
        reset_val: value,
      })),
  },
  {
    name: 'pg_stat_activity',
    columns: `datid oid ${databaseOid}, datname name, pid int4 1, leader_pid int4, usesysid oid 10, usename name,
      application_name text '', client_addr text, client_hostname text, client_port int4, backend_start timestamptz,
      xact_start timestamptz, query_start timestamptz, state_change timestamptz, wait_event_type text,
      wait_event text, state text 'active', backend_xid oid, backend_xmin oid, query_id int8, query text '',
      backend_type text`,
    rows: [{ datname: database, usename: user, backend_type: 'client backend' }],
  },
  {
    name: 'pg_stat_database',
    columns: `datid oid ${databaseOid}, datname name, numbackends int4 1, xact_commit int8 0, xact_rollback int8 0,
      blks_read int8 0, blks_hit int8 0, tup_returned int8 0, tup_fetched int8 0, tup_inserted int8 0,
      tup_updated int8 0, tup_deleted int8 0, conflicts int8 0, temp_files int8 0, temp_bytes int8 0,
      deadlocks int8 0, stats_reset timestamptz`,
    rows: [{ datname: database }],
  },
  {
    name: 'pg_language',
    columns: `oid oid, lanname name, lanowner oid 10, lanispl bool false, lanpltrusted bool true,
      lanplcallfoid oid 0, laninline oid 0, lanvalidator oid 0, lanacl text[], tableoid oid 2612`,
    rows: [
      { oid: 12, lanname: 'internal' },
      { oid: 14, lanname: 'sql' },
    ],
  },
];
