import { namespaces, relations, userOid } from './relation-table.ts';
import {
  fromOwnColumns,
  fromOwnOf,
  fromOwnTables,
  fromTempTables,
  schemaOfOwn,
  tempNamespace,
} from './user-relations.ts';
import type { View } from './view.ts';

// pg_namespace, pg_class, pg_attribute and what hangs on them.

const heapOid = 2;
const pgClassOid = 1259;

export const relationViews: readonly View[] = [
  {
    name: 'pg_namespace',
    columns: 'oid oid, nspname name, nspowner oid 10, nspacl text[]',
    rows: Object.entries(namespaces).map(([nspname, oid]) => ({ oid, nspname })),
    more: {
      from: fromTempTables,
      row: { oid: String(tempNamespace.oid), nspname: `'${tempNamespace.name}'` },
    },
  },
  {
    name: 'pg_class',
    columns: `oid oid, relname name, relnamespace oid 2200, reltype oid, reloftype oid 0, relowner oid 10,
      relam oid 2, relfilenode oid 0, reltablespace oid 0, relpages int4 0, reltuples float4 -1, relallvisible int4 0,
      reltoastrelid oid 0, relhasindex bool false, relisshared bool false, relpersistence char 'p', relkind char 'r',
      relnatts int2, relchecks int2 0, relhasrules bool false, relhastriggers bool false, relhassubclass bool false,
      relrowsecurity bool false, relforcerowsecurity bool false, relispopulated bool true, relreplident char 'd',
      relispartition bool false, relrewrite oid 0, relfrozenxid oid 0, relminmxid oid 0, relacl text[],
      reloptions text[], relpartbound text, relhasoids bool false, xmin oid 0, tableoid oid 1259`,
    rows: relations.map(({ oid, name, rowTypeOid, columns }) => ({
      oid,
      relname: name,
      reltype: rowTypeOid,
      relnatts: columns.length,
    })),
    more: {
      from: fromOwnTables,
      row: {
        ...{ oid: 't.oid', relname: 't.name', reltype: 't.oid + 1', relnatts: 'len(t.columns)' },
        relnamespace: `if(t.is_temp, ${tempNamespace.oid}, ${namespaces.public})`,
        relpersistence: "if(t.is_temp, 't', 'p')",
        relkind: 't.kind',
        relam: `if(t.kind = 'r', ${heapOid}, 0)`,
      },
    },
  },
  {
    name: 'pg_attribute',
    columns: `attrelid oid, attname name, atttypid oid, attlen int2, attnum int2, attcacheoff int4 -1,
      atttypmod int4 -1, attndims int2 0, attbyval bool false, attalign char 'i', attstorage char 'p',
      attcompression char '', attnotnull bool, atthasdef bool false, atthasmissing bool false, attidentity char '',
      attgenerated char '', attisdropped bool false, attislocal bool true, attinhcount int2 0, attstattarget int2 -1,
      attcollation oid 0, attacl text[], attoptions text[], attfdwoptions text[], attmissingval text`,
    rows: relations.flatMap(({ oid, columns }) =>
      columns.map(({ number, name, type, notNull }) => ({
        attrelid: oid,
        attname: name,
        atttypid: type.oid,
        attlen: type.length,
        attnum: number,
        attbyval: type.length > 0 && type.length <= 8,
        attstorage: type.length < 0 ? 'x' : 'p',
        attnotnull: notNull,
        attcollation: type.category === 'S' ? 100 : 0,
      })),
    ),
    more: {
      from: fromOwnColumns,
      row: {
        ...{
          attrelid: 't.oid',
          attname: 'c.name',
          atttypid: 'c.oid',
          attlen: 'c.length',
          attnum: 'c.number',
        },
        attbyval: 'c.length BETWEEN 1 AND 8',
        attstorage: "if(c.length < 0, 'x', 'p')",
        attnotnull: 'false',
        attcollation: "if(c.category = 'S', 100, 0)",
      },
    },
  },
  {
    name: 'pg_description',
    columns: `objoid oid, classoid oid ${pgClassOid}, objsubid int4 0, description text`,
    rows: relations.flatMap(({ oid, comment, columns }) => [
      { objoid: oid, description: comment },
      ...columns.map((column) => ({ objoid: oid, objsubid: column.number, description: column.comment })),
    ]),
  },
  {
    name: 'pg_am',
    columns: 'oid oid, amname name, amhandler oid 0, amtype char',
    rows: [
      { oid: heapOid, amname: 'heap', amtype: 't' },
      { oid: 403, amname: 'btree', amtype: 'i' },
    ],
  },
  {
    name: 'pg_tables',
    columns: `schemaname name 'public', tablename name, tableowner name 'firn', tablespace name,
      hasindexes bool false, hasrules bool false, hastriggers bool false, rowsecurity bool false`,
    rows: relations.map(({ name }) => ({ tablename: name })),
    more: { from: fromOwnOf('r'), row: { schemaname: schemaOfOwn, tablename: 't.name' } },
  },
  {
    name: 'pg_views',
    columns: `schemaname name, viewname name, viewowner name 'firn', definition text`,
    rows: [],
    more: {
      from: fromOwnOf('v'),
      row: { schemaname: schemaOfOwn, viewname: 't.name', definition: 't.definition' },
    },
  },
  ...['pg_stat_user_tables', 'pg_stat_all_tables'].map((name) => ({
    name,
    columns: `relid oid, schemaname name 'public', relname name, seq_scan int8 0, last_seq_scan timestamptz,
      seq_tup_read int8 0, idx_scan int8, idx_tup_fetch int8, n_tup_ins int8 0, n_tup_upd int8 0, n_tup_del int8 0,
      n_live_tup int8 0, n_dead_tup int8 0, n_mod_since_analyze int8 0, last_vacuum timestamptz,
      last_autovacuum timestamptz, last_analyze timestamptz, last_autoanalyze timestamptz`,
    rows: relations.map(({ oid, name: relname }) => ({ relid: oid, relname })),
  })),
  ...['pg_statio_user_tables', 'pg_statio_all_tables'].map((name) => ({
    name,
    columns: `relid oid, schemaname name 'public', relname name, heap_blks_read int8 0, heap_blks_hit int8 0,
      idx_blks_read int8, idx_blks_hit int8, toast_blks_read int8, toast_blks_hit int8`,
    rows: relations.map(({ oid, name: relname }) => ({ relid: oid, relname })),
  })),
  {
    name: 'pg_collation',
    columns: `oid oid, collname name, collnamespace oid 11, collowner oid ${userOid}, collprovider char 'c',
      collisdeterministic bool true, collencoding int4 -1, collcollate text, collctype text, colliculocale text,
      collicurules text, collversion text`,
    rows: [
      { oid: 100, collname: 'default', collprovider: 'd' },
      { oid: 950, collname: 'C', collcollate: 'C', collctype: 'C' },
      { oid: 951, collname: 'POSIX', collcollate: 'POSIX', collctype: 'POSIX' },
    ],
  },
];
