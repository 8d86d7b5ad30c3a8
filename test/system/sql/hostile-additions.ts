// More of hostile-statements.ts: what temporary tables and DuckDB's own SQL might be used for.

/** Statements, one a line, that must fail with one of these codes. */
export type Group = readonly [sqlstate: RegExp, statements: string];

export const hostileAdditions: readonly Group[] = [
  [
    /^(25006|42501|42883|42P01|0A000|42P16|42601)$/, // by way of temporary tables
    `
    CREATE TEMP TABLE stolen AS SELECT * FROM read_text('/etc/passwd')
    CREATE TEMP TABLE stolen AS SELECT * FROM "$VICTIM/lake/metrics/data/x.parquet"
    CREATE TEMP TABLE stolen AS SELECT * FROM acme.public.metrics
    CREATE TEMP TABLE stolen AS SELECT * FROM duckdb_tables()
    CREATE TEMP TABLE stolen (LIKE sqlite_master)
    CREATE TEMP TABLE stolen (LIKE "/etc/passwd")
    CREATE TEMP TABLE stolen (a text DEFAULT getenv('HOME'))
    CREATE TEMP TABLE stolen (a text DEFAULT (SELECT content FROM read_text('/etc/passwd')))
    CREATE TEMP TABLE stolen (a text CHECK (a = (SELECT content FROM "/etc/passwd")))
    CREATE TEMP TABLE stolen (a int REFERENCES metrics)
    CREATE TEMP TABLE public.stolen (a int)
    CREATE TEMP TABLE firn_catalog.stolen (a int)
    CREATE TABLE firn_temp_1.stolen (a int)
    SELECT * INTO TEMP stolen FROM read_csv('/etc/passwd')
    SELECT * FROM firn_temp_1.t
    SELECT * FROM firn_temp_2."mine firn~1"
    SELECT * FROM "firn_temp_2"."mine firn~1"
    SELECT * FROM pg_temp.theirs
    SELECT * FROM pg_temp_1.theirs
    INSERT INTO firn_temp_2."mine firn~1" VALUES (1)
    INSERT INTO mine SELECT content FROM read_text('/etc/passwd')
    INSERT INTO mine SELECT * FROM sqlite_master
    INSERT INTO mine VALUES (getenv('HOME'))
    INSERT INTO mine VALUES ((SELECT content FROM read_blob('/etc/passwd')))
    INSERT INTO mine VALUES ('x') RETURNING read_text('/etc/passwd')
    UPDATE mine SET a = getenv('HOME')
    UPDATE mine SET a = o.content FROM read_text('/etc/passwd') o
    DELETE FROM mine USING duckdb_settings() s
    DELETE FROM mine WHERE a = (SELECT content FROM read_text('/etc/passwd'))
    INSERT INTO pg_class VALUES (1)
    DELETE FROM pg_catalog.pg_class
    UPDATE information_schema.tables SET table_name = 'x'
    DROP TABLE firn_catalog.pg_class
    DROP TABLE pg_class
    DROP SCHEMA firn_temp_1 CASCADE
    COPY mine FROM '/etc/passwd'
    COPY mine FROM PROGRAM 'cat /etc/passwd'
    COPY mine TO '/tmp/firn-stolen.csv'
    CREATE TEMP VIEW v AS SELECT * FROM read_text('/etc/passwd')
    CREATE INDEX i ON pg_class (relname)
    PREPARE stolen AS SELECT * FROM read_text('/etc/passwd')
    PREPARE stolen AS INSERT INTO metrics VALUES (1)
    CREATE TEMP TABLE stolen AS EXECUTE mine
    `,
  ],
  [
    /^(42501|42883|42P01|0A000|42601)$/, // what only DuckDB's parser accepts
    `
    FROM '$VICTIM/lake/metrics/data/x.parquet'
    SELECT * FROM '$VICTIM/lake/metrics/data/*.parquet'
    FROM metrics SELECT getenv('HOME')
    FROM metrics SELECT [read_text(x) for x in ['/etc/passwd']]
    FROM metrics SELECT list_transform(['/etc/passwd'], x -> read_text(x))
    FROM metrics SELECT list_reduce([1, 2], lambda a, b: getenv('HOME'))
    FROM metrics QUALIFY row_number() OVER (ORDER BY getenv('HOME')) = 1
    FROM metrics SELECT COLUMNS(c -> getenv(c) IS NOT NULL)
    FROM metrics SELECT * REPLACE (getenv('HOME') AS name)
    FROM metrics ASOF JOIN duckdb_settings() s ON s.name >= metrics.name
    FROM metrics POSITIONAL JOIN read_text('/etc/passwd')
    FROM metrics SEMI JOIN sqlite_master USING (name)
    FROM metrics UNION ALL BY NAME FROM read_csv('/etc/passwd')
    FROM (FROM (FROM read_blob('/etc/shadow')))
    FROM (SUMMARIZE sqlite_master)
    SUMMARIZE '/etc/passwd'
    SUMMARIZE '$VICTIM/lake/metrics/data/x.parquet'
    SUMMARIZE FROM read_csv('/etc/passwd')
    DESCRIBE FROM read_csv('/etc/passwd')
    DESCRIBE '/etc/passwd'
    DESCRIBE TABLE '/etc/passwd'
    SHOW ALL TABLES
    PIVOT read_csv('/etc/passwd') ON a IN ('x') USING count(*)
    PIVOT metrics ON name IN (FROM read_csv('/etc/passwd')) USING sum(value)
    UNPIVOT (FROM duckdb_settings()) ON name
    WITH a AS (FROM read_text('/etc/passwd')) FROM a
    WITH a AS MATERIALIZED (FROM sqlite_master) FROM a
    WITH RECURSIVE a AS (FROM glob('/*') UNION ALL FROM a) FROM a
    WITH "/etc/passwd" AS (FROM metrics) FROM "/etc/passwd"
    WITH t AS (FROM metrics) FROM main.t
    FROM (WITH t AS (FROM metrics) FROM t), t
    FROM memory.main.sqlite_master
    FROM memory.firn_catalog.pg_class
    FROM system.main.duckdb_tables
    FROM system.information_schema.tables
    FROM temp.information_schema.tables
    FROM firn_temp_1.t
    FROM acme.public.metrics
    FROM METRICS."/etc/passwd"
    FROM query('FROM metrics')
    FROM query_table(['metrics'])
    FROM query_table('/etc/passwd')
    FROM json_execute_serialized_sql(json_serialize_sql('select 1'))
    FROM pragma_database_list()
    FROM repeat_row(1, num_rows = 1000000000)
    FROM range(3) t(i) SELECT firn_catalog.version()
    FROM range(3) t(i) SELECT system.main.getenv('HOME')
    FROM range(3) t(i) SELECT range(10000000000)
    FROM range(3) t(i) SELECT list_resize([1], 10000000000)
    FROM range(3) t(i) SELECT format('{:2000000000}', 1)
    FROM range(3) t(i) SELECT printf('%2000000000d', 1)
    FROM range(3) t(i) SELECT nextval('s')
    FROM range(3) t(i) SELECT current_setting('temp_directory')::ENUM('x'), getvariable('firn_user')
    FROM metrics AT (VERSION => 1)
    FROM metrics SELECT $path
    COPY (FROM metrics) TO '/tmp/firn-stolen.parquet'
    COPY FROM DATABASE memory TO x
    INSERT INTO metrics BY NAME FROM metrics
    INSERT INTO mine FROM read_text('/etc/passwd')
    CREATE OR REPLACE TEMP TABLE stolen AS FROM read_text('/etc/passwd')
    CREATE TEMP MACRO m(a) AS getenv(a)
    CREATE TEMP TABLE stolen AS FROM duckdb_settings()
    SET VARIABLE x = getenv('HOME')
    FROM metrics; ATTACH '/tmp/x.db'
    `,
  ],
  [
    /^(25006|42501|42883|42P01|42P02|42P16|42601|0A000|22023|42704)$/, // by way of views, sequences, ALTER TABLE, EXPLAIN and PREPARE
    `
    CREATE TEMP VIEW stolen AS SELECT getenv('HOME')
    CREATE TEMP VIEW stolen AS SELECT * FROM "/etc/passwd"
    CREATE TEMP VIEW stolen AS SELECT * FROM "$VICTIM/lake/metrics/data/x.parquet"
    CREATE TEMP VIEW stolen AS SELECT * FROM firn_catalog.pg_class
    CREATE TEMP VIEW stolen AS SELECT * FROM acme.public.metrics
    CREATE TEMP VIEW stolen AS SELECT * FROM firn_temp_2."mine firn~1"
    CREATE TEMP VIEW stolen AS SELECT $1
    CREATE TEMP VIEW stolen AS VALUES (query('FROM metrics'))
    CREATE TEMP VIEW public.stolen AS SELECT 1
    CREATE VIEW stolen AS SELECT 1
    SELECT nextval('firn_temp_2."mine firn~1"')
    SELECT nextval(getenv('HOME'))
    SELECT nextval('mine')
    SELECT nextval('s')
    SELECT currval('s')
    SELECT nextval('a' || 'b')
    SELECT currval((SELECT content FROM read_text('/etc/passwd')))
    SELECT setval('s', 1)
    CREATE SEQUENCE stolen
    CREATE TEMP SEQUENCE stolen INCREMENT 0
    CREATE TEMP SEQUENCE stolen START 1.5
    ALTER TABLE mine ADD COLUMN b text DEFAULT getenv('HOME')
    ALTER TABLE mine ADD COLUMN b text DEFAULT (SELECT content FROM read_text('/etc/passwd'))
    ALTER TABLE mine ALTER a TYPE text USING getenv('HOME')
    ALTER TABLE mine ALTER a TYPE text USING (SELECT content FROM read_text('/etc/passwd'))
    ALTER TABLE mine ADD CONSTRAINT c CHECK (a <> getenv('HOME'))
    ALTER TABLE mine ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES metrics (name)
    ALTER TABLE firn_temp_2."mine firn~1" ADD COLUMN b int
    ALTER TABLE metrics ADD COLUMN b int
    ALTER TABLE metrics RENAME TO other
    ALTER TABLE metrics RENAME COLUMN value TO other
    ALTER TABLE pg_class ADD COLUMN b int
    ALTER TABLE mine SET SCHEMA public
    ALTER TABLE mine OWNER TO root
    ALTER TABLE mine ATTACH PARTITION metrics FOR VALUES IN (1)
    DROP VIEW pg_class
    DROP VIEW firn_catalog.pg_class
    DROP SEQUENCE firn_temp_1.s
    EXPLAIN SELECT * FROM read_text('/etc/passwd')
    EXPLAIN ANALYZE SELECT getenv('HOME')
    EXPLAIN (FORMAT JSON) SELECT * FROM "/etc/passwd"
    EXPLAIN DELETE FROM metrics
    PREPARE stolen (text) AS SELECT read_text($1)
    DECLARE stolen CURSOR FOR SELECT * FROM read_text('/etc/passwd')
    DECLARE stolen SCROLL CURSOR WITH HOLD FOR SELECT getenv('HOME')
    FETCH ALL FROM firn_temp_2."mine firn~1"
    CREATE TEMP FUNCTION m() RETURNS text LANGUAGE sql AS 'select 1'
    SELECT U&"\\0067etenv"('HOME')
    SELECT "getenv"/*x*/('HOME')
    SELECT/**/read_text/**/('/etc/passwd')
    SELECT $$a$$ FROM $$b$$
    WITH x AS (INSERT INTO metrics VALUES (1) RETURNING *) SELECT * FROM x
    WITH x AS (DELETE FROM mine RETURNING *) SELECT * FROM x
    COPY (DELETE FROM mine RETURNING *) TO PROGRAM 'cat'
    COPY mine FROM STDIN (FORMAT parquet)
    UPDATE mine SET (a) = (SELECT content FROM read_text('/etc/passwd'))
    INSERT INTO mine VALUES (1); ATTACH '/tmp/x.db'
    `,
  ],
];
