// What somebody might try who has a key of one tenant and wants another's data, the host's files, or the server's time.
// Each statement with what it must come to: an SQLSTATE, or the only rows that it may give.

import { type Group, hostileAdditions } from './hostile-additions.ts';

type Outcome = { readonly sqlstate: RegExp } | { readonly rows: readonly (readonly unknown[])[] };

/** Groups of statements that must fail with one of these codes. `$VICTIM` is the other tenant's folder, `$SECRET` its metric. */
const refused: readonly Group[] = [
  ...hostileAdditions,
  [
    /^(42501|42883)$/, // functions that read
    `
    SELECT * FROM read_parquet('$VICTIM/**/*.parquet')
    SELECT * FROM read_parquet(ARRAY['$VICTIM/lake/metrics/data/x.parquet'])
    SELECT * FROM parquet_scan('$VICTIM/**/*.parquet')
    SELECT * FROM parquet_metadata('$VICTIM/**/*.parquet')
    SELECT * FROM parquet_schema('$VICTIM/**/*.parquet')
    SELECT * FROM parquet_kv_metadata('$VICTIM/**/*.parquet')
    SELECT * FROM parquet_file_metadata('$VICTIM/**/*.parquet')
    SELECT * FROM parquet_bloom_probe('$VICTIM/x.parquet', 'name', 'x')
    SELECT * FROM read_csv('/etc/passwd')
    SELECT * FROM read_csv_auto('/etc/passwd')
    SELECT * FROM sniff_csv('/etc/passwd')
    SELECT * FROM read_text('/etc/passwd')
    SELECT * FROM read_blob('/etc/shadow')
    SELECT * FROM read_json('/etc/passwd')
    SELECT * FROM read_json_auto('/etc/passwd')
    SELECT * FROM read_json_objects('/etc/passwd')
    SELECT * FROM read_ndjson('/etc/passwd')
    SELECT * FROM read_ndjson_objects('/etc/passwd')
    SELECT * FROM read_duckdb('/tmp/x.db')
    SELECT * FROM read_xlsx('/tmp/x.xlsx')
    SELECT * FROM read_avro('$VICTIM/lake/metrics/metadata/x.avro')
    SELECT * FROM glob('$VICTIM/**')
    SELECT * FROM glob('/etc/*')
    SELECT * FROM iceberg_scan('$VICTIM/lake/metrics')
    SELECT * FROM iceberg_metadata('$VICTIM/lake/metrics')
    SELECT * FROM iceberg_snapshots('$VICTIM/lake/metrics')
    SELECT * FROM delta_scan('/tmp/x')
    SELECT * FROM sqlite_scan('/tmp/x.db', 't')
    SELECT * FROM sqlite_query('/tmp/x.db', 'select 1')
    SELECT * FROM postgres_scan('host=localhost', 'public', 't')
    SELECT * FROM postgres_query('x', 'select 1')
    SELECT * FROM mysql_query('x', 'select 1')
    SELECT * FROM st_read('/etc/passwd')
    SELECT * FROM load_aws_credentials()
    SELECT * FROM which_secret('s3://x/y', 's3')
    SELECT read_text('/etc/passwd')
    SELECT "read_text"('/etc/passwd')
    SELECT "READ_TEXT"('/etc/passwd')
    SELECT pg_catalog.read_text('/etc/passwd')
    SELECT main.read_text('/etc/passwd')
    SELECT system.main.read_text('/etc/passwd')
    SELECT public.glob('/*')
    SELECT firn_catalog.series(1, 2)
    SELECT pg_read_file('/etc/passwd')
    SELECT pg_read_binary_file('/etc/passwd')
    SELECT * FROM pg_ls_dir('/')
    SELECT * FROM pg_ls_logdir()
    SELECT lo_import('/etc/passwd')
    SELECT lo_export(1, '/tmp/x')
    SELECT * FROM dblink('host=localhost', 'select 1')
    SELECT getenv('HOME')
    SELECT getvariable('firn_user')
    SELECT copy_database('a')
    SELECT json_execute_serialized_sql('{}')
    SELECT * FROM json_execute_serialized_sql('{}')
    SELECT json_serialize_sql('select 1')
    SELECT * FROM query('select 1')
    SELECT * FROM query_table('metrics')
    SELECT * FROM query_table('sqlite_master')
    SELECT * FROM duckdb_settings()
    SELECT * FROM duckdb_tables()
    SELECT * FROM duckdb_columns()
    SELECT * FROM duckdb_views()
    SELECT * FROM duckdb_functions()
    SELECT * FROM duckdb_secrets()
    SELECT * FROM duckdb_extensions()
    SELECT * FROM duckdb_databases()
    SELECT * FROM duckdb_memory()
    SELECT * FROM duckdb_temporary_files()
    SELECT * FROM duckdb_variables()
    SELECT * FROM duckdb_logs()
    SELECT * FROM pragma_database_list()
    SELECT * FROM pragma_table_info('metrics')
    SELECT * FROM pragma_storage_info('metrics')
    SELECT * FROM pragma_show('metrics')
    SELECT * FROM pragma_database_size()
    SELECT * FROM pragma_user_agent()
    SELECT * FROM seq_scan('metrics')
    SELECT * FROM arrow_scan(1, 2, 3)
    SELECT * FROM arrow_scan_dumb(1, 2, 3)
    SELECT * FROM pandas_scan(1)
    SELECT * FROM test_all_types()
    SELECT * FROM checkpoint()
    SELECT * FROM force_checkpoint()
    SELECT write_log('x')
    SELECT * FROM enable_logging()
    SELECT * FROM enable_profiling()
    SELECT * FROM repeat_row(1, num_rows => 1000000000)
    SELECT * FROM http_get('http://127.0.0.1/')
    SELECT http_post('http://127.0.0.1/', '{}')
    SELECT current_query()
    SELECT in_search_path('a', 'b')
    SELECT txid_snapshot_xmin(1)
    SELECT pg_sleep(1000)
    SELECT pg_terminate_backend(1)
    SELECT pg_cancel_backend(1)
    SELECT pg_reload_conf()
    SELECT pg_switch_wal()
    SELECT * FROM pg_stat_file('/etc/passwd')
    SELECT error('boom')
    SELECT system('id')
    SELECT shell('id')
    SELECT CASE WHEN true THEN (SELECT content FROM read_text('/etc/passwd')) END
    SELECT list_transform(ARRAY[1], read_text('/etc/passwd'))
    SELECT count(*) FILTER (WHERE read_text('/etc/passwd') IS NULL) FROM metrics
    SELECT value FROM metrics ORDER BY read_text('/etc/passwd')
    SELECT value FROM metrics GROUP BY value, getenv('PATH')
    SELECT value FROM metrics LIMIT getvariable('firn_user')
    SELECT 1 WHERE EXISTS (SELECT * FROM read_blob('/etc/passwd'))
    WITH a AS (SELECT * FROM read_csv('/etc/passwd')) SELECT * FROM a
    WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT getenv('A')::int FROM a) SELECT * FROM a
    SELECT (SELECT (SELECT content FROM read_text('/etc/passwd')))
    COPY (SELECT * FROM read_text('/etc/passwd')) TO STDOUT
    EXPLAIN SELECT * FROM read_text('/etc/passwd')
    EXPLAIN ANALYZE SELECT * FROM glob('/*')
    DECLARE c CURSOR FOR SELECT * FROM read_text('/etc/passwd')
    `,
  ],
  [
    /^42P01$/, // names of files, of other tenants' tables and of the engine's own
    `
    SELECT * FROM "$VICTIM/lake/metrics/data/x.parquet"
    SELECT * FROM "/etc/passwd"
    SELECT * FROM "/etc/passwd.csv"
    SELECT * FROM "file:///etc/passwd"
    SELECT * FROM "https://127.0.0.1/x.parquet"
    SELECT * FROM "s3://bucket/x.parquet"
    SELECT * FROM "$VICTIM"
    SELECT * FROM acme.metrics
    SELECT * FROM "acme"."metrics"
    SELECT * FROM main.metrics
    SELECT * FROM temp.metrics
    SELECT * FROM system.metrics
    SELECT * FROM sqlite_master
    SELECT * FROM sqlite_temp_master
    SELECT * FROM duckdb_tables
    SELECT * FROM duckdb_columns
    SELECT * FROM duckdb_constraints
    SELECT * FROM pragma_database_list
    SELECT * FROM firn_catalog.pg_class
    SELECT * FROM demo.firn_public.metrics
    SELECT * FROM firn_public.metrics
    SELECT * FROM "firn_public"."metrics"
    SELECT * FROM information_schema.duckdb_tables
    SELECT * FROM pg_catalog.duckdb_tables
    SELECT * FROM pg_shadow
    SELECT * FROM pg_hba_file_rules
    SELECT * FROM "metrics; SELECT 1"
    SELECT * FROM "metrics"" , ""sqlite_master"
    SELECT * FROM "metrics' UNION SELECT 1 --"
    SELECT * FROM metrics, LATERAL (SELECT * FROM sqlite_master) x
    SELECT * FROM metrics m JOIN duckdb_tables d ON true
    SELECT (SELECT count(*) FROM sqlite_master)
    TABLE sqlite_master
    WITH sqlite_master AS (SELECT 1) SELECT * FROM main.sqlite_master
    `,
  ],
  [
    /^(25006|42501|0A000|42601)$/, // statements that do something else than read
    `
    COPY metrics TO '/tmp/firn-stolen.csv'
    SELECT list_transform([1], x -> read_text('/etc/passwd'))
    SELECT * FROM acme.public.metrics
    SELECT * FROM memory.main.metrics
    SELECT value FROM system.information_schema.tables
    COPY (SELECT 1) TO '/tmp/firn-stolen.parquet' (FORMAT parquet)
    COPY (SELECT 1) TO PROGRAM 'id > /tmp/firn-stolen'
    COPY metrics FROM '/etc/passwd'
    COPY metrics FROM PROGRAM 'cat /etc/passwd'
    COPY metrics FROM STDIN
    EXPORT DATABASE '/tmp/firn-stolen'
    IMPORT DATABASE '$VICTIM'
    ATTACH '/tmp/x.db' AS x
    ATTACH DATABASE ':memory:' AS x
    ATTACH 'host=localhost' AS pg (TYPE postgres)
    DETACH memory
    USE memory
    INSTALL httpfs
    LOAD httpfs
    LOAD '/tmp/evil.duckdb_extension'
    FORCE INSTALL spatial
    UPDATE EXTENSIONS
    PRAGMA database_list
    PRAGMA enable_external_access
    PRAGMA memory_limit='100GB'
    PRAGMA add_parquet_key('k', '0123456789112345')
    CALL pragma_version()
    CALL duckdb_settings()
    CHECKPOINT
    FORCE CHECKPOINT
    CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')
    DROP SECRET s
    CREATE MACRO m(a) AS a + 1
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'
    CREATE EXTENSION plpython3u
    CREATE TABLE t AS SELECT 1
    CREATE VIEW v AS SELECT * FROM metrics
    CREATE OR REPLACE VIEW firn_catalog.pg_class AS SELECT 1
    CREATE SCHEMA s
    CREATE SEQUENCE s
    CREATE TYPE mood AS ENUM ('a')
    CREATE INDEX i ON metrics (name)
    CREATE ROLE root SUPERUSER
    ALTER TABLE metrics ADD COLUMN x int
    ALTER SYSTEM SET memory_limit = '100GB'
    ALTER ROLE ann SUPERUSER
    DROP TABLE metrics
    DROP SCHEMA firn_catalog CASCADE
    INSERT INTO metrics (value) VALUES (1)
    UPDATE metrics SET value = 0
    DELETE FROM metrics
    TRUNCATE metrics
    MERGE INTO metrics USING logs ON true WHEN MATCHED THEN DELETE
    GRANT ALL ON metrics TO public
    DO $$ BEGIN PERFORM 1; END $$
    SELECT * INTO stolen FROM metrics
    WITH x AS (INSERT INTO metrics (value) VALUES (1) RETURNING 1) SELECT * FROM x
    WITH x AS (DELETE FROM metrics RETURNING *) SELECT * FROM x
    PREPARE p AS DELETE FROM metrics
    EXPLAIN DELETE FROM metrics
    EXPLAIN ANALYZE INSERT INTO metrics (value) VALUES (1)
    DECLARE c CURSOR FOR DELETE FROM metrics
    PIVOT metrics ON name USING sum(value)
    SET VARIABLE firn_user = 'root'
    RESET VARIABLE firn_user
    LOCK TABLE metrics
    NOTIFY x
    REFRESH MATERIALIZED VIEW v
    REINDEX DATABASE x
    CLUSTER metrics
    IMPORT FOREIGN SCHEMA public FROM SERVER s INTO public
    SECURITY LABEL ON TABLE metrics IS 'x'
    `,
  ],
  [
    /^(42704|55P02|0A000|42601)$/, // settings of the engine
    `
    SET memory_limit = '100GB'
    SET enable_external_access = true
    SET lock_configuration = false
    SET allowed_directories = ['/']
    SET allowed_paths = ['/etc/passwd']
    SET temp_directory = '/tmp'
    SET threads = 1000
    SET autoinstall_known_extensions = true
    SET autoload_known_extensions = true
    SET custom_extension_repository = 'http://127.0.0.1'
    SET allow_unsigned_extensions = true
    SET home_directory = '/'
    SET secret_directory = '/tmp'
    SET file_search_path = '/'
    SET disabled_filesystems = ''
    SET GLOBAL memory_limit = '1GB'
    SET SESSION memory_limit = '1GB'
    SET LOCAL memory_limit = '1GB'
    RESET memory_limit
    SHOW memory_limit
    SHOW secret_directory
    SET is_superuser = on
    SET server_version = '9.0'
    SELECT set_config('memory_limit', '100GB', false)
    SELECT current_setting('temp_directory')
    SELECT current_setting('secret_directory')
    SELECT current_setting('data_directory')
    `,
  ],
];

/** What may be asked, and may tell only what is the asker's own. */
const harmless: readonly (readonly [statement: string, rows: readonly (readonly unknown[])[]])[] = [
  ["SELECT count(*) FROM metrics WHERE name = '$SECRET'", [['0']]],
  ["SELECT count(*) FROM metrics WHERE labels::text LIKE '%$SECRET%'", [['0']]],
  ["SELECT count(*) FROM metrics FOR SYSTEM_TIME AS OF now() WHERE name = '$SECRET'", [['0']]],
  ['SELECT datname FROM pg_database', [['demo']]],
  ['SELECT count(*) FROM pg_stat_activity', [['1']]],
  ["SELECT count(*) FROM pg_class WHERE relname LIKE '%acme%'", [['0']]],
  ['SELECT count(*) FROM pg_roles', [['1']]],
  [
    "SELECT DISTINCT table_schema FROM information_schema.tables WHERE table_type = 'BASE TABLE'",
    [['public']],
  ],
  ["SELECT count(*) FROM pg_settings WHERE name LIKE '%director%'", [['0']]],
  ['VACUUM', []],
  ['ANALYZE metrics', []],
  ["FROM metrics SELECT count(*) WHERE name = '$SECRET'", [['0']]],
  ["FROM (SUMMARIZE metrics) SELECT count(*) WHERE concat(min, max) LIKE '%$SECRET%'", [['0']]],
  ["FROM (DESCRIBE metrics) SELECT count(*) WHERE column_name LIKE '%$SECRET%'", [['0']]],
  ['FROM metrics SELECT DISTINCT current_database()', [['demo']]],
  ["FROM (SELECT 1) SELECT '; ATTACH ''x''; --'", [["; ATTACH 'x'; --"]]],
  ['WITH metrics AS (SELECT 4 AS a) FROM metrics', [['4']]],
  ["SELECT '; DROP TABLE metrics; --'", [['; DROP TABLE metrics; --']]],
  [`SELECT 1 AS "a"" , (SELECT 1) AS ""b"`, [['1']]],
  [`WITH "x'; SELECT 1 --" AS (SELECT 2 AS a) SELECT * FROM "x'; SELECT 1 --"`, [['2']]],
  [`WITH "/etc/passwd" AS (SELECT 3 AS a) SELECT * FROM "/etc/passwd"`, [['3']]],
  [`SELECT E'\\\\x41', 'a''; SELECT 2; --'`, [['\\x41', "a'; SELECT 2; --"]]],
  ['SELECT $$read_text(1)$$', [['read_text(1)']]],
  ['SELECT 1 /* ; DELETE FROM metrics */ -- ; DROP TABLE x', [['1']]],
];

/** What would take all memory, all time or all the stack: it ends by itself, or when its time is up. */
const heavy: readonly (readonly [sqlstate: RegExp, statement: string])[] = [
  [
    /^57014$/,
    'SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.a % 7 = b.b % 11',
  ],
  [/^57014$/, 'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r'],
  [
    /^(57014|53200)$/,
    'WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n * 2 % 1000003 FROM r, (VALUES (1), (2)) v) SELECT count(*) FROM r',
  ],
  [/^(57014|53200)$/, "SELECT string_agg(repeat('x', 1000000), '') FROM generate_series(1, 100000)"],
  [
    /^(57014|53200)$/,
    'SELECT array_agg(md5(a::text) || b) FROM generate_series(1, 100000) a, generate_series(1, 1000) b',
  ],
  [
    /^(57014|53200)$/,
    'SELECT md5(a::text), count(*) FROM generate_series(1, 100000) a, generate_series(1, 1000) b GROUP BY 1, b',
  ],
  [
    /^(57014|53200)$/,
    'SELECT a FROM generate_series(1, 100000) a, generate_series(1, 10000) b ORDER BY md5(a::text || b::text) LIMIT 1 OFFSET 900000000',
  ],
  [/^(22023|XX000|54000|22003)$/, "SELECT repeat('x', 2000000000)"],
  [/^(22023|XX000|54000|22003)$/, "SELECT lpad('x', 2000000000, 'y')"],
  [/^(22023|XX000|54000|22003)$/, 'SELECT array_length(array(SELECT generate_series(1, 10000000000)), 1)'],
  [/^(54001|54000)$/, `SELECT ${'('.repeat(30_000)}1${')'.repeat(30_000)}`],
  [/^(54001|54000)$/, `SELECT ${'NOT '.repeat(60_000)}true`],
  [/^(54001|54000)$/, `SELECT 1 ${'+ 1 '.repeat(100_000)}`],
  [/^(54001|54000|53200)$/, `SELECT * FROM ${'(SELECT * FROM '.repeat(5000)}metrics${') x'.repeat(5000)}`],
  [/^54000$/, `SELECT '${'x'.repeat(1_200_000)}'`],
];

/** Regular expressions that take others forever: RE2 answers them at once, or refuses them. */
const regexes: readonly string[] = [
  "SELECT repeat('a', 50000) ~ '(a+)+$b'",
  "SELECT repeat('a', 50000) ~ '(a|a)*c'",
  "SELECT repeat('a', 30) ~ '(a?){30}a{30}'",
  "SELECT 'x' ~ '((((((a{100}){100}){100}){100}){100}){100})'",
];

export interface HostileStatement {
  readonly text: string;
  readonly outcome: Outcome;
}

/** The same attack as DuckDB would have it and PostgreSQL's parser would not; undefined when there is no other way to say it. */
function inDuckdb(text: string): string | undefined {
  const from = /^SELECT \* (FROM .*)$/.exec(text)?.[1];
  if (from !== undefined) return from;
  const values = /^SELECT ((?!.*\bFROM\b).*)$/.exec(text)?.[1];
  return values === undefined ? undefined : `FROM (SELECT 1) SELECT ${values}`;
}

export function hostileStatements(names: { readonly victim: string; readonly secret: string }): {
  readonly quick: readonly HostileStatement[];
  readonly heavy: readonly HostileStatement[];
  readonly regexes: readonly string[];
} {
  const filled = (text: string): string =>
    text.replaceAll('$VICTIM', names.victim).replaceAll('$SECRET', names.secret);
  const failing = refused.flatMap(([sqlstate, text]) =>
    text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .map((line): HostileStatement => ({ text: filled(line), outcome: { sqlstate } })),
  );
  const native = failing.flatMap(({ text, outcome }): HostileStatement[] => {
    const said = inDuckdb(text);
    if (said === undefined || !('sqlstate' in outcome)) return [];
    // Some of PostgreSQL's functions are not there.
    return [{ text: said, outcome: { sqlstate: new RegExp(`${outcome.sqlstate.source}|^42883$`) } }];
  });
  const answered = harmless.map(
    ([text, rows]): HostileStatement => ({ text: filled(text), outcome: { rows } }),
  );
  return {
    quick: [...failing, ...native, ...answered],
    heavy: heavy.map(([sqlstate, text]) => ({ text, outcome: { sqlstate } })),
    regexes,
  };
}
