import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import knex from 'knex';
import { Kysely, PostgresDialect, sql } from 'kysely';
import { Client, Pool } from 'pg';
import postgres from 'postgres';
import { QueryTypes, Sequelize } from 'sequelize';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { postgresPrograms, startPostgres } from '../../harness/postgres.ts';
import { findProgram, pythonModule, sharedFolder } from '../../harness/programs.ts';
import { runClient, type SqlServer, startSqlServer } from '../../harness/sql-server.ts';

// The clients that people have, as they are installed, against the real dialect: connect, look around, ask, leave.

let server: SqlServer;
let folder: string;
beforeAll(async () => {
  server = await startSqlServer();
  folder = mkdtempSync(join(tmpdir(), 'firn-clients-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await server[Symbol.asyncDispose]();
});

const client = (program: string, args: readonly string[], stdin?: string): Promise<string> =>
  runClient(server, folder, program, args, stdin);

describe.skipIf(!findProgram('psql'))('psql', () => {
  const psql = (...commands: string[]): Promise<string> =>
    client('psql', ['-X', '-v', 'ON_ERROR_STOP=1', ...commands.flatMap((command) => ['-c', command])]);

  test('every command that describes something answers', async () => {
    const commands =
      '\\l \\l+ \\dn \\dn+ \\dt \\dt+ \\d \\df \\df+ \\dv \\di \\ds \\du \\dg \\dT \\da \\dx \\dp \\db \\do \\dC \\dD \\dO \\dy \\ddp \\drds \\des \\deu \\dew \\det \\dF \\dFd \\dFp \\dFt \\dL \\dm \\dE \\dRp \\dRs \\dX \\dc \\dd \\dl \\dAc \\dAf \\dP \\conninfo \\encoding';
    await psql(...commands.split(' '), '\\d metrics', '\\d+ metrics', '\\d logs', '\\dt pg_catalog.pg_class');
  });

  test('tables with their comments', async () => {
    expect(await psql('\\l')).toMatch(/demo .*\| ann .*\| UTF8/);
    expect(await psql('\\dt')).toMatch(/public \| metrics +\| table/);
    expect(await psql('\\d metrics')).toMatch(/timestamp +\| timestamp with time zone \| +\| not null/);
    expect(await psql('\\d+ metrics')).toContain('Metric name');
  });

  test('\\copy gives CSV and text', async () => {
    const file = join(folder, 'out.csv');
    await psql(
      `\\copy (SELECT name, value, NULL AS n, 'a,"b' AS q FROM metrics ORDER BY value LIMIT 2) TO '${file}' CSV HEADER`,
    );
    expect(readFileSync(file, 'utf8')).toBe(
      'name,value,n,q\nup,0,,"a,""b"\nhttp_requests_total,1,,"a,""b"\n',
    );
    expect(await psql(`\\copy (SELECT E'a\\tb\\\\c', NULL) TO STDOUT`)).toBe('a\\tb\\\\c\t\\N\n');
  });

  test('a large result in parts (FETCH_COUNT), and an error with its place', async () => {
    expect(await psql('\\set FETCH_COUNT 7', 'SELECT count(*) OVER () FROM metrics')).toMatch(/\(20 rows\)/);
    await expect(psql('SELECT value,\n nope FROM metrics')).rejects.toThrow(
      /LINE 2: {2}nope FROM metrics\n +\^/,
    );
  });
});

test.skipIf(!sharedFolder)(
  'every query that clients were seen to send at their start is answered',
  async () => {
    const lines = ['psql15-captured-queries.md', 'pg-clients-captured.txt'].flatMap((name) =>
      readFileSync(join(sharedFolder ?? '', 'protocols', name), 'utf8').split('\n'),
    );
    const texts = new Set(lines.filter((line) => line.startsWith('Q ')).map((line) => line.slice(2)));
    const wrong: string[] = [];
    for (const text of texts) {
      // A statement that another client had prepared, and the name of a table that the mock server made up.
      if (/^DEALLOCATE|'t'::/.test(text)) continue;
      const asked = new Client(server.connection);
      await asked.connect();
      await asked
        .query(text.replaceAll(/(?<=relname (?:=|like) )'t'/g, "'metrics'"))
        .catch((error: Error) => wrong.push(`${error.message}: ${text}`));
      await asked.end();
    }
    expect(wrong).toEqual([]);
    expect(texts.size).toBeGreaterThan(50);
  },
);

describe.skipIf(!pythonModule('psycopg') || !pythonModule('psycopg2'))('Python', () => {
  const python = async (script: string): Promise<string[]> =>
    (await client('/usr/bin/python3', ['-c', script])).trim().split('\n');

  test('psycopg 2: client-side parameters, a named cursor, COPY', async () => {
    const script = `
import psycopg2, io
c = psycopg2.connect("")
k = c.cursor()
k.execute("SELECT value FROM metrics WHERE name = %s AND value < %s ORDER BY 1", ("up", 7))
print(k.fetchall())
n = c.cursor("big", withhold=True)
n.itersize = 3
n.execute("SELECT value FROM metrics ORDER BY value")
print(sum(row[0] for row in n))
n.close()
out = io.StringIO()
k.copy_expert("COPY (SELECT 1 AS a, NULL AS b) TO STDOUT WITH CSV HEADER", out)
print(repr(out.getvalue()))
`;
    expect(await python(script)).toEqual(['[(0.0,), (3.0,), (6.0,)]', '190.0', "'a,b\\n1,\\n'"]);
  });

  test('psycopg 3: binary results of every type, prepared statements, pipelines, binary COPY', async () => {
    const script = `
import psycopg
c = psycopg.connect("")
q = """SELECT true, 1::int2, 2::int4, 3::int8, 1.5::float4, 2.5::float8, 12.34::numeric(10,2), 'ä'::text, '\\\\x00ff'::bytea,
  date '2024-02-29', time '12:34:56.5', timestamp '2024-02-29 01:02:03', timestamptz '2024-02-29 01:02:03+00',
  interval '1 day 2 hours', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '{"a": 1}'::json, ARRAY[1,2], ARRAY['x', NULL]"""
texts = c.cursor().execute(q).fetchone()
print(texts == c.cursor(binary=True).execute(q).fetchone())
print([type(v).__name__ for v in texts])
for i in range(8):
    assert c.execute("SELECT %s::int + 1, %b::float8", (i, i / 2)).fetchone() == (i + 1, i / 2)
with c.pipeline():
    print([k.fetchone()[0] for k in [c.execute("SELECT %s::text", (x,)) for x in "abc"]])
with c.cursor().copy("COPY (SELECT series_id, value, timestamp FROM metrics ORDER BY 1) TO STDOUT (FORMAT binary)") as copy:
    copy.set_types(["int8", "float8", "timestamptz"])
    print(sum(row[1] for row in copy.rows()))
`;
    expect(await python(script)).toEqual([
      'True',
      "['bool', 'int', 'int', 'int', 'float', 'float', 'Decimal', 'str', 'bytes', 'date', 'time', 'datetime', 'datetime', 'timedelta', 'UUID', 'dict', 'list', 'list']",
      "['a', 'b', 'c']",
      '190.0',
    ]);
  });

  test.skipIf(!pythonModule('sqlalchemy'))('SQLAlchemy reflects the tables and asks them', async () => {
    const script = `
import sqlalchemy as sa
e = sa.create_engine("postgresql+psycopg2://")
m = sa.MetaData()
m.reflect(e)
print(sorted(m.tables))
t = m.tables["metrics"]
print(t.c.timestamp.type.timezone, t.c.labels.type, t.comment is not None, t.c.name.nullable, t.c.name.comment)
i = sa.inspect(e)
print(i.get_schema_names(), i.get_view_names(), i.get_indexes("metrics"), i.get_pk_constraint("metrics")["constrained_columns"])
with e.connect() as c:
    print(c.execute(sa.select(sa.func.count(), sa.func.max(t.c.value)).where(t.c.name == "up")).fetchall())
`;
    expect(
      await python(
        script.replace(
          'sa.select(sa.func.count(), sa.func.max(t.c.value))',
          'sa.select([sa.func.count(), sa.func.max(t.c.value)])',
        ),
      ),
    ).toEqual([
      "['events', 'exemplars', 'gaps', 'logs', 'metrics', 'metrics_1m', 'metrics_rollup_1h', 'metrics_rollup_1m', 'spans']",
      'True JSON True False Metric name (the label __name__)',
      "['information_schema', 'public'] [] [] []",
      '[(7, 18.0)]',
    ]);
  });
});

const driverJar = '/usr/share/java/postgresql.jar';
test.skipIf(!findProgram('java') || !existsSync(driverJar))(
  'JDBC: metadata, a prepared statement in binary, rows in parts',
  async () => {
    const source = join(folder, 'Jdbc.java');
    writeFileSync(
      source,
      `import java.sql.*;
public class Jdbc {
  public static void main(String[] args) throws Exception {
    try (Connection c = DriverManager.getConnection(args[0], "ann", "pencil")) {
      DatabaseMetaData meta = c.getMetaData();
      System.out.println(meta.getDatabaseProductName());
      int tables = 0;
      try (ResultSet r = meta.getTables(null, "public", "%", new String[] {"TABLE"})) { while (r.next()) tables++; }
      int columns = 0;
      try (ResultSet r = meta.getColumns(null, "public", "metrics", "%")) { while (r.next()) columns++; }
      try (ResultSet r = meta.getPrimaryKeys(null, "public", "metrics")) { while (r.next()) tables++; }
      try (ResultSet r = meta.getSchemas()) { while (r.next()) { } }
      try (ResultSet r = meta.getTypeInfo()) { while (r.next()) { } }
      try (ResultSet r = meta.getIndexInfo(null, "public", "metrics", false, true)) { while (r.next()) { } }
      try (ResultSet r = meta.getImportedKeys(null, "public", "metrics")) { while (r.next()) { } }
      System.out.println(tables + " " + columns);
      try (PreparedStatement p = c.prepareStatement("SELECT value, timestamp, name FROM metrics WHERE value > ? AND name = ? ORDER BY 1")) {
        for (int i = 0; i < 8; i++) {
          p.setDouble(1, 10.0);
          p.setString(2, "up");
          int rows = 0;
          double sum = 0;
          try (ResultSet r = p.executeQuery()) { while (r.next()) { rows++; sum += r.getDouble(1); r.getTimestamp(2); } }
          if (rows != 3 || sum != 45.0) throw new Exception(rows + " rows, " + sum);
        }
      }
      c.setAutoCommit(false);
      try (Statement s = c.createStatement()) {
        s.setFetchSize(6);
        int rows = 0;
        try (ResultSet r = s.executeQuery("SELECT * FROM metrics")) { while (r.next()) rows++; }
        System.out.println(rows);
        s.execute("CREATE TEMP TABLE t (a int, b text)");
        try (PreparedStatement p = c.prepareStatement("INSERT INTO t VALUES (?, ?)")) {
          for (int i = 0; i < 20; i++) { p.setInt(1, i); p.setString(2, "b" + i); p.addBatch(); }
          int written = 0;
          for (int n : p.executeBatch()) written += n;
          System.out.println(written);
        }
        Savepoint point = c.setSavepoint();
        s.executeUpdate("DELETE FROM t");
        try { s.executeQuery("SELECT nope"); } catch (SQLException e) { System.out.println(e.getSQLState()); }
        c.rollback(point);
        try (ResultSet r = s.executeQuery("SELECT count(*) FROM t")) { r.next(); System.out.println(r.getInt(1)); }
      }
      c.commit();
    }
  }
}
`,
    );
    const url = `jdbc:postgresql://127.0.0.1:${server.port}/demo`;
    const out = await client('java', [
      '-XX:TieredStopAtLevel=1',
      '-Xshare:auto',
      '-cp',
      driverJar,
      source,
      url,
    ]);
    expect(out.trim().split('\n')).toEqual(['PostgreSQL', '9 12', '20', '20', '42703', '20']);
  },
);

test.skipIf(!findProgram('isql') || !existsSync('/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so'))(
  'psqlODBC through isql, with and without cursors',
  async () => {
    for (const declare of [0, 1]) {
      const dsn = `DRIVER=PostgreSQL Unicode;SERVER=127.0.0.1;PORT=${server.port};DATABASE=demo;UID=ann;PWD=pencil;UseDeclareFetch=${declare};Fetch=5`;
      const out = await client(
        'isql',
        ['-v', '-b', '-c', '-d;', '-k', dsn],
        'SELECT value FROM metrics ORDER BY 1\nhelp\n',
      );
      expect(out.split('\n').filter((line) => /^\d+$/.test(line))).toHaveLength(20);
      expect(out).toMatch(/;public;metrics;TABLE/);
    }
  },
);

test.skipIf(!findProgram('pgbench'))('pgbench: 32 clients, simple, extended and prepared', async () => {
  const script = join(folder, 'select.sql');
  writeFileSync(script, '\\set n random(1, 19)\nSELECT value FROM metrics WHERE series_id = :n;\n');
  for (const mode of ['simple', 'extended', 'prepared']) {
    const out = await client('pgbench', ['-n', '-f', script, '-M', mode, '-c', '32', '-j', '2', '-t', '2']);
    expect(out).toContain('actually processed: 64/64');
    expect(out).toMatch(/failed transactions: 0 /);
  }
});

describe('JavaScript', () => {
  test('pg: simple, with parameters, named', async () => {
    const asked = new Client(server.connection);
    await asked.connect();
    expect((await asked.query('SELECT 1 AS a; SELECT 2 AS b')) as unknown).toHaveLength(2);
    for (let time = 0; time < 2; time++) {
      const named = {
        name: 'n',
        text: 'SELECT value FROM metrics WHERE name = $1 AND value > $2 ORDER BY 1',
        values: ['up', 12],
      };
      expect((await asked.query(named)).rows).toEqual([{ value: 15 }, { value: 18 }]);
    }
    await asked.query('CREATE TEMP TABLE t (a int PRIMARY KEY, b text)');
    const insert = { text: 'INSERT INTO t VALUES ($1, $2), ($3, DEFAULT) RETURNING a', values: [1, 'x', 2] };
    expect(await asked.query(insert)).toMatchObject({
      command: 'INSERT',
      rowCount: 2,
      rows: [{ a: 1 }, { a: 2 }],
    });
    await expect(asked.query(insert)).rejects.toMatchObject({ code: '23505' });
    await asked.end();
  });

  test('postgres.js: its types query, a transaction with a savepoint, a cursor, arrays, COPY', async () => {
    const { host, port, user, password, database } = server.connection;
    const db = postgres({ host, port, user, password, database, max: 2, onnotice: () => undefined });
    expect(await db`SELECT value FROM metrics WHERE name = ${'up'} AND value < ${4} ORDER BY 1`).toEqual([
      { value: 0 },
      { value: 3 },
    ]);
    expect(
      await db`SELECT value FROM metrics WHERE name = ANY(${['up']}) AND value < 4 ORDER BY 1`,
    ).toHaveLength(2);
    await db.begin(async (tx) => {
      await tx.savepoint((inner) => inner`SELECT nope`).catch(() => undefined);
      expect(await tx`SELECT 1 AS a`).toEqual([{ a: 1 }]);
    });
    let rows = 0;
    for await (const part of db`SELECT * FROM metrics`.cursor(6)) rows += part.length;
    expect(rows).toBe(20);
    const pieces: string[] = [];
    for await (const piece of await db`COPY (SELECT 1 AS a) TO STDOUT (FORMAT csv)`.readable())
      pieces.push(String(piece));
    expect(pieces.join('')).toBe('1\n');
    await db.end();
  });

  test('knex and kysely: queries that they build, and what they ask of the catalog', async () => {
    const builder = knex({ client: 'pg', connection: server.connection });
    expect(await builder('metrics').where('name', 'up').max('value as top')).toEqual([{ top: 18 }]);
    expect(await builder.schema.hasTable('metrics')).toBe(true);
    expect(Object.keys(await builder('logs').columnInfo())).toContain('line');
    await builder.destroy();
    interface Lake {
      metrics: { name: string; value: number; timestamp: Date; labels: { service: string } };
    }
    const db = new Kysely<Lake>({
      dialect: new PostgresDialect({ pool: new Pool({ ...server.connection, max: 1 }) }),
    });
    const found = await db
      .selectFrom('metrics')
      .select(['name', sql<number>`count(*)`.as('n')])
      .groupBy('name')
      .orderBy('name')
      .execute();
    expect(found).toEqual([
      { name: 'http_requests_total', n: '13' },
      { name: 'up', n: '7' },
    ]);
    const tables = await db.introspection.getTables();
    expect(tables.find(({ name }) => name === 'metrics')?.columns.map(({ name }) => name)).toContain(
      'series_id',
    );
    await db.destroy();
  });

  test('sequelize: what it asks first, queries, tables and columns', async () => {
    const { host, port, user, password, database } = server.connection;
    const db = new Sequelize(database, user, password, { dialect: 'postgres', host, port, logging: false });
    await db.authenticate();
    const found = await db.query(
      'SELECT name, count(*)::int AS n FROM metrics WHERE name = :name GROUP BY name',
      {
        replacements: { name: 'up' },
        type: QueryTypes.SELECT,
      },
    );
    expect(found).toEqual([{ name: 'up', n: 7 }]);
    expect(await db.getQueryInterface().showAllTables()).toContain('metrics');
    expect(await db.getQueryInterface().describeTable('metrics')).toHaveProperty('series_id.type', 'BIGINT');
    await db.close();
  });

  test('typeorm: what it asks first, queries, and a table with its columns', async () => {
    const { host, port, user: username, password, database } = server.connection;
    const source = new DataSource({ type: 'postgres', host, port, username, password, database });
    await source.initialize();
    expect(await source.query('SELECT max(value) AS m FROM metrics WHERE name = $1', ['up'])).toEqual([
      { m: 18 },
    ]);
    const runner = source.createQueryRunner();
    const table = await runner.getTable('metrics');
    expect(table?.columns.find(({ name }) => name === 'timestamp')?.type).toBe('timestamp with time zone');
    await runner.release();
    await source.destroy();
  });
});

test.skipIf(!postgresPrograms)(
  'postgres_fdw of a real PostgreSQL reads the tables and pushes down',
  async () => {
    await using local = await startPostgres();
    const asked = new Client(local.connection);
    await asked.connect();
    await asked.query(`CREATE EXTENSION postgres_fdw;
    CREATE SERVER firn FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '${server.port}', dbname 'demo');
    CREATE USER MAPPING FOR postgres SERVER firn OPTIONS (user 'ann', password 'pencil');
    IMPORT FOREIGN SCHEMA public LIMIT TO (metrics, logs) FROM SERVER firn INTO public`);
    expect(
      (await asked.query(`SELECT count(*)::int, sum(value) FROM metrics WHERE name = 'up'`)).rows,
    ).toEqual([{ count: 7, sum: 63 }]);
    const joined = `SELECT l.line, m.value FROM logs l JOIN metrics m ON m.timestamp = l.timestamp ORDER BY 2`;
    expect((await asked.query(joined)).rows).toHaveLength(3);
    await asked.end();
  },
);

test('Grafana’s PostgreSQL data source: version, tables, columns, time filter and group', async () => {
  const asked = new Client(server.connection);
  await asked.connect();
  const rowsOf = async (text: string): Promise<unknown[]> => (await asked.query(text)).rows;
  expect(await rowsOf(`SELECT current_setting('server_version_num')::int/100 as version`)).toEqual([
    { version: 1600 },
  ]);
  expect(await rowsOf(`SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'`)).toEqual([]);
  const tables = `SELECT CASE WHEN quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
    FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
      string_to_array(current_setting('search_path'),',') s) THEN quote_ident(table_name)
    ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
    FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache', '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental')
    ORDER BY CASE WHEN quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
      FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
        string_to_array(current_setting('search_path'),',') s) THEN 0 ELSE 1 END, 1`;
  expect(await rowsOf(tables)).toContainEqual({ table: 'metrics' });
  const columns = `SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
    WHERE CASE WHEN array_length(parse_ident('metrics'),1) = 2
      THEN quote_ident(table_schema) = (parse_ident('metrics'))[1] AND quote_ident(table_name) = (parse_ident('metrics'))[2]
      ELSE quote_ident(table_name) = 'metrics' AND quote_ident(table_schema) IN ('public') END`;
  expect(await rowsOf(columns)).toContainEqual({ column: 'value', type: 'double precision' });
  const series = `SELECT floor(extract(epoch from "timestamp")/3600)*3600 AS "time", name AS metric, avg(value) AS "value" FROM metrics
    WHERE "timestamp" BETWEEN '2026-11-21T02:00:00Z' AND '2026-11-21T05:00:00Z' GROUP BY time, name ORDER BY 1, 2`;
  expect(await rowsOf(series.replace('GROUP BY time,', 'GROUP BY 1,'))).toHaveLength(7);
  await asked.end();
});
