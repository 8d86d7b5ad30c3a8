import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findProgram, pythonModule } from '../../harness/programs.ts';
import { runClient, type SqlServer, startSqlServer } from '../../harness/sql-server.ts';

// What clients write: temporary tables, and COPY into them.

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

describe.skipIf(!findProgram('psql'))('psql', () => {
  const psql = (...commands: string[]): Promise<string> =>
    runClient(server, folder, 'psql', [
      ...['-X', '-v', 'ON_ERROR_STOP=1'],
      ...commands.flatMap((command) => ['-c', command]),
    ]);

  test('\\copy into a temporary table, from CSV and text; and why not into a table of the lake', async () => {
    const file = join(folder, 'in.csv');
    writeFileSync(file, 'a,b,c\n1,"x, ""y""\nz",2026-01-02 03:04:05Z\n2,,\n');
    const out = await psql(
      'CREATE TEMP TABLE t (a int, b text, c timestamptz)',
      `\\copy t FROM '${file}' CSV HEADER`,
      'COPY (SELECT a, b, c FROM t ORDER BY 1) TO STDOUT',
      '\\d t',
      '\\dt',
    );
    expect(out).toContain('COPY 2\n1\tx, "y"\\nz\t2026-01-02 03:04:05+00\n2\t\\N\t\\N\n');
    expect(out).toMatch(/Table "pg_temp_1\.t"/);
    expect(out).toMatch(/pg_temp_1 \| t +\| table \| ann/);
    await expect(psql(`\\copy metrics FROM '${file}' CSV HEADER`)).rejects.toThrow(
      /cannot execute COPY in a read-only transaction[\s\S]*HINT: .*CREATE TEMP TABLE/,
    );
    await expect(psql('CREATE TEMP TABLE u (a int)', `\\copy u FROM '${file}' CSV HEADER`)).rejects.toThrow(
      /extra data after last expected column/,
    );
  });

  test('a client that looks for a server to write to takes this one; views, sequences and columns by number are listed', async () => {
    const out = await psql(
      ...['CREATE TEMP TABLE t (id serial PRIMARY KEY, a int)', 'CREATE TEMP SEQUENCE s'],
      ...['CREATE TEMP VIEW v (n) AS SELECT name, value FROM metrics', 'INSERT INTO t (a) VALUES (7)'],
      ...['SELECT id, a FROM t', '\\dv', '\\ds', '\\d+ v', '\\sv v'],
    );
    expect(out).toMatch(/1 \| 7\n/);
    expect(out).toMatch(/pg_temp_1 \| v +\| view/);
    expect(out).toMatch(/pg_temp_1 \| s +\| sequence/);
    expect(out).toContain('View definition:\nSELECT name, value FROM metrics');
    const asked = ['-XAtd', 'target_session_attrs=read-write', '-c', 'SHOW transaction_read_only'];
    expect(await runClient(server, folder, 'psql', asked)).toBe('off\n');
  });

  test('DuckDB’s own SQL, and PREPARE and EXECUTE', async () => {
    expect(await psql('FROM metrics SELECT name, count(*) GROUP BY ALL ORDER BY ALL')).toMatch(/up +\| +7/);
    expect(await psql('SUMMARIZE metrics')).toContain('approx_unique');
    expect(
      await psql('PREPARE p (text) AS SELECT count(*) FROM metrics WHERE name = $1', `EXECUTE p('up')`),
    ).toMatch(/^ +7$/m);
  });
});

describe.skipIf(!pythonModule('psycopg') || !pythonModule('psycopg2'))('Python', () => {
  const python = async (script: string): Promise<string[]> =>
    (await runClient(server, folder, '/usr/bin/python3', ['-c', script])).trim().split('\n');

  test('temporary tables: COPY in from both, in binary from psycopg 3, and a transaction that is rolled back', async () => {
    const script = `
import psycopg, psycopg2, io, datetime
c = psycopg.connect("")
k = c.cursor()
k.execute("CREATE TEMP TABLE t (a int, b text, c timestamptz, d float8, e bytea, f int[])")
row = (7, "ä\\t\\n", datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), 1.5, b"\\x00\\xff", [1, 2])
with k.copy("COPY t FROM STDIN (FORMAT binary)") as copy:
    copy.set_types(["int4", "text", "timestamptz", "float8", "bytea", "int4[]"])
    copy.write_row(row)
with k.copy("COPY t (a, b) FROM STDIN") as copy:
    for i in range(1000): copy.write_row((i, None))
print(k.execute("SELECT * FROM t WHERE c IS NOT NULL").fetchone() == row, k.execute("SELECT count(*) FROM t").fetchone())
k.executemany("INSERT INTO t (a, b) VALUES (%s, %s)", [(5000, "x"), (5001, None)])
print(k.execute("UPDATE t SET b = 'z' WHERE a >= %s RETURNING a, b", (5000,)).fetchall(), k.rowcount)
c.commit()
k.execute("DELETE FROM t")
c.rollback()
print(k.execute("SELECT count(*) FROM t").fetchone())
try:
    with k.copy("COPY t (a) FROM STDIN") as copy:
        copy.write("1\\n")
        raise RuntimeError("no more")
except psycopg.errors.QueryCanceled as e: print(type(e).__name__, c.info.transaction_status.name)
c.rollback()
d = psycopg2.connect("")
k = d.cursor()
k.execute("CREATE TEMP TABLE t (a int, b text) ON COMMIT DELETE ROWS")
k.copy_expert("COPY t FROM STDIN WITH CSV", io.StringIO('1,"a,b"\\n2,\\n'))
k.execute("SELECT * FROM t ORDER BY 1")
print(k.fetchall())
d.commit()
k.execute("SELECT count(*) FROM t")
print(k.fetchall())
`;
    expect(await python(script)).toEqual([
      'True (1001,)',
      "[(5000, 'z'), (5001, 'z')] 2",
      '(1003,)',
      'QueryCanceled INERROR',
      "[(1, 'a,b'), (2, None)]",
      '[(0,)]',
    ]);
  });
});

test.skipIf(!pythonModule('asyncpg'))(
  'asyncpg: types that it looks up, cursors that it moves, COPY in binary, a pool that takes connections back',
  async () => {
    const script = `
import asyncio, asyncpg
async def main():
    async with asyncpg.create_pool(min_size=1, max_size=2) as pool:
        async with pool.acquire() as c:
            print(await c.fetchval("SELECT $1::int[] || $2::int[]", [1, None], [3]), await c.fetchval("SELECT ARRAY[1.5::float8]"))
            async with c.transaction():
                cur = await c.cursor("SELECT value FROM metrics ORDER BY 1")
                print([r[0] for r in await cur.fetch(2)], await cur.forward(3), (await cur.fetchrow())[0])
            await c.execute("CREATE TEMP TABLE t (a int, b text)")
            print(await c.copy_records_to_table("t", records=[(1, "x"), (2, None)]))
            await c.executemany("INSERT INTO t VALUES ($1, $2)", [(3, "y"), (4, "z")])
            print(await c.fetchval("SELECT count(*) FROM t WHERE a = ANY($1::int[])", [1, 3]))
        print(await asyncio.gather(*[pool.fetchval("SELECT $1 + 1", n) for n in range(5)]))
asyncio.run(main())
`;
    expect((await runClient(server, folder, '/usr/bin/python3', ['-c', script])).trim().split('\n')).toEqual([
      '[1, None, 3] [1.5]',
      '[0.0, 1.0] 3 5.0',
      'COPY 2',
      '2',
      '[1, 2, 3, 4, 5]',
    ]);
  },
);
